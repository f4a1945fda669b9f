"""``auxface explain``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from auxface.cli.options import Device, Json, Out, Overwrite
from auxface.cli.predict import DetectorFlag, FacesFlag, WeightsFlag


def command(
    model: Annotated[str, typer.Argument(help="A model directory, or a hub name.")],
    image: Annotated[Path, typer.Argument(help="The image.")],
    out: Out,
    task: Annotated[str | None, typer.Option("--task", help="Which answer; the first by default.")] = None,
    face: Annotated[int | None, typer.Option("--face", help="One face alone, counted from 0.", min=0)] = None,
    faces: FacesFlag = "auto",
    detector: DetectorFlag = None,
    weights: WeightsFlag = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Draw where a model looked, what moved its answer, and what it could not rebuild."""
    from auxface.inference.explain import explain

    explained = explain(
        model,
        image,
        out,
        task=task,
        face=face,
        faces=faces,
        detector=detector,
        weights=weights,
        device=device,
        overwrite=overwrite,
    )
    if as_json:
        typer.echo(json.dumps([one.to_dict() for one in explained]))
        return
    for number, one in enumerate(explained):
        typer.echo(f"face {number}: {one.task} {one.face.tasks[one.task]}")
    typer.echo(f"figure: {out}")
