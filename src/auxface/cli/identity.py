"""The commands on embeddings: ``auxface embed`` and ``auxface search``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from auxface.cli.options import Device, Json, Out, Overwrite
from auxface.cli.predict import DetectorFlag, FacesFlag, WeightsFlag


def embed_command(
    model: Annotated[str, typer.Argument(help="A model directory or a Hub name.")],
    source: Annotated[Path, typer.Argument(help="A folder of images, an image, or a manifest.")],
    out: Out,
    split: Annotated[str | None, typer.Option("--split", help="With a manifest: embed only this split.")] = None,
    faces: FacesFlag = "auto",
    detector: DetectorFlag = None,
    weights: WeightsFlag = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write the embeddings of all faces, or of all excerpts of music, as a table."""
    from auxface.errors import escape_controls
    from auxface.inference.embed import embed

    made = embed(
        model,
        source,
        out,
        split=split,
        faces=faces,
        detector=detector,
        weights=weights,
        device=device,
        overwrite=overwrite,
    )
    skipped = made.skipped.to_dict("records")
    if as_json:
        typer.echo(json.dumps({"output": str(out), "rows": len(made.table), "skipped": skipped} | made.header))
        return
    typer.echo(f"{out}: {len(made.table)} {made.header['samples']}, vectors of length {made.header['width']}")
    for item in skipped:
        typer.echo(escape_controls(f"no embedding: {item['path']} ({item['reason']})"))


def search_command(
    embeddings: Annotated[Path, typer.Argument(help="A table written by auxface embed.")],
    image: Annotated[Path, typer.Argument(help="An image with one or more faces, or a log-mel image.")],
    k: Annotated[int, typer.Option("-k", help="Number of nearest faces or excerpts.", min=1, max=1000)] = 10,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="HTML page to write.")] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Directory of the model that wrote the table; needed if the directory was moved."),
    ] = None,
    faces: FacesFlag = "auto",
    detector: DetectorFlag = None,
    weights: WeightsFlag = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Find the faces or excerpts of a table that are nearest to those of an image."""
    from auxface.errors import escape_controls
    from auxface.inference.search import search

    found = search(
        embeddings,
        image,
        k=k,
        out=out,
        model=model,
        faces=faces,
        detector=detector,
        weights=weights,
        device=device,
        overwrite=overwrite,
    )
    if as_json:
        typer.echo(json.dumps([hits.to_dict() for hits in found]))
        return
    for number, hits in enumerate(found):
        for place, hit in enumerate(hits.faces, start=1):
            label = f"face {number}, " if len(found) > 1 else ""
            same = ", above the threshold" if hit.same_person else ""
            same = ", the same file" if hit.same_file else same
            found_at = escape_controls(hit.path)
            typer.echo(
                f"{label}{place}. {found_at}: similarity {hit.similarity:.3f}, distance {hit.distance:.3f}{same}"
            )
    if out is not None:
        typer.echo(f"page: {out}")
