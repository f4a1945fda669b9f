"""The command ``auxface export``."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from auxface.cli.options import Json, Out, Overwrite


def command(
    model: Annotated[str, typer.Argument(help="A model directory or a hub name.")],
    out: Out,
    format: Annotated[Literal["onnx", "pt2"], typer.Option("--format", help="onnx, or pt2 (torch.export).")] = "onnx",
    int8: Annotated[
        Literal["none", "dynamic", "static"],
        typer.Option("--int8", help="Quantize to 8-bit integers; evaluate the result by group before using it."),
    ] = "none",
    calibrate: Annotated[
        Path | None, typer.Option("--calibrate", help="For --int8 static: a manifest, or a folder of face crops.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a model as one file for other runtimes, with preprocessing, class names and thresholds inside."""
    from auxface.inference.export import export

    written = export(model, out, format=format, int8=int8, calibrate=calibrate, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps(written | {"output": str(out)}))
        return
    megabytes, size = written["bytes"] / 2**20, written["image_size"]
    typer.echo(f"{out}: {megabytes:.1f} MiB, input of {size}x{size} pixels, any batch size")
