"""``auxface predict``."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from auxface.cli.options import Device, Json, Overwrite

FacesFlag = Annotated[
    Literal["auto", "crop", "whole"],
    typer.Option("--faces", help="auto: as the model was trained; crop: find and cut faces; whole: one face each."),
]
DetectorFlag = Annotated[
    Literal["yunet", "haar"] | None, typer.Option("--detector", help="In place of the model's; haar needs no weight.")
]
WeightsFlag = Annotated[Path | None, typer.Option("--weights", help="YuNet's weight (or set AUXFACE_YUNET).")]


def command(
    model: Annotated[str, typer.Argument(help="A model directory, an exported .onnx file, or a hub name.")],
    inputs: Annotated[list[str], typer.Argument(help="Images, videos, folders of them; addresses if allowed.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for table, JSON, plots, overlays.")] = None,
    overlay: Annotated[bool, typer.Option("--overlay", help="Also draw boxes and scores.")] = False,
    faces: FacesFlag = "auto",
    detector: DetectorFlag = None,
    weights: WeightsFlag = None,
    looks: Annotated[
        float, typer.Option("--looks", help="Frames of a video looked at per second; 0: all.", min=0, max=1000)
    ] = 5.0,
    allow_urls: Annotated[bool, typer.Option("--allow-urls", help="Fetch http(s) addresses.")] = False,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Answer for every face in images, folders and videos."""
    from auxface.errors import InputError
    from auxface.inference.predict import predict
    from auxface.inference.prediction import lines

    results = predict(
        model,
        inputs,
        out=out,
        overlay=overlay,
        overwrite=overwrite,
        faces=faces,
        detector=detector,
        weights=weights,
        looks_per_second=looks,
        allow_urls=allow_urls,
        device=device,
    )
    if as_json:
        typer.echo(json.dumps([result.to_dict() for result in results]))
    else:
        for line in lines(results):
            typer.echo(line)
    if all(result.unreadable for result in results):
        raise InputError(f"not one input could be read ({results[0].input}: {results[0].reason})")
