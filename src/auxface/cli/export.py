"""``auxface export``."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from auxface.cli.options import Json, Out, Overwrite


def command(
    model: Annotated[str, typer.Argument(help="A model directory, or a hub name.")],
    out: Out,
    format: Annotated[Literal["onnx", "pt2"], typer.Option("--format", help="ONNX, or torch.export.")] = "onnx",
    int8: Annotated[
        Literal["none", "dynamic", "static"], typer.Option("--int8", help="8-bit integers; audit them before use.")
    ] = "none",
    calibrate: Annotated[
        Path | None, typer.Option("--calibrate", help="For static: a manifest, or a folder of cut faces.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a model for other runtimes, with preprocessing, class names and thresholds inside."""
    from auxface.inference.export import export

    written = export(model, out, format=format, int8=int8, calibrate=calibrate, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps(written | {"output": str(out)}))
        return
    typer.echo(f"{out}: {written['bytes'] / 2**20:.1f} MiB, faces of {written['image_size']} pixels, any batch size")  # pyright: ignore
