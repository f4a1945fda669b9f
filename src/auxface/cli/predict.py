"""The command ``auxface predict``."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from auxface.cli.options import Device, Json, Overwrite

if TYPE_CHECKING:
    from auxface.inference.prediction import Prediction

FacesFlag = Annotated[
    Literal["auto", "crop", "whole"],
    typer.Option("--faces", help="auto: as in training; crop: detect and crop faces; whole: one face per image."),
]
DetectorFlag = Annotated[
    Literal["yunet", "haar"] | None,
    typer.Option("--detector", help="Replaces the recorded face detector; haar needs no weights."),
]
WeightsFlag = Annotated[
    Path | None, typer.Option("--weights", help="File with YuNet's weights (or set AUXFACE_YUNET).")
]


def command(
    model: Annotated[str, typer.Argument(help="A model directory, an exported .onnx file, or a hub name.")],
    inputs: Annotated[list[str], typer.Argument(help="Images, videos, folders of both; URLs with --allow-urls.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to write: tables, JSON, plots, overlays.")
    ] = None,
    overlay: Annotated[bool, typer.Option("--overlay", help="Also draw boxes and labels.")] = False,
    faces: FacesFlag = "auto",
    detector: DetectorFlag = None,
    weights: WeightsFlag = None,
    looks: Annotated[
        float, typer.Option("--looks", help="Frames to score per second of video; 0: every frame.", min=0, max=1000)
    ] = 5.0,
    allow_urls: Annotated[bool, typer.Option("--allow-urls", help="Fetch http and https URLs.")] = False,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Predict for every face in images, folders and videos."""
    from auxface.errors import InputError
    from auxface.inference.predict import predict

    results = predict(
        model,
        inputs,
        out=out,
        overlay=overlay,
        overwrite=overwrite,
        faces=faces,
        detector=detector,
        weights=weights,
        frames_per_second=looks,
        allow_urls=allow_urls,
        device=device,
    )
    if as_json:
        typer.echo(json.dumps([result.to_dict() for result in results]))
    else:
        for line in _lines(results):
            typer.echo(line)
    if all(result.unreadable for result in results):
        raise InputError(f"none of the inputs could be read ({results[0].input}: {results[0].reason})")


def _lines(results: Sequence["Prediction"]) -> Iterator[str]:
    """Yield a line per face and task, or the reason why there is no face."""
    for result in results:
        if not result.faces:
            yield f"{result.input}: no answer ({result.reason})"
        for name, answer in getattr(result, "tasks", {}).items():
            yield f"{result.input}: {name} {answer} (whole video)"
        for number, face in enumerate(result.faces):
            label = f" face {number}" if len(result.faces) > 1 else ""
            for name, answer in face.tasks.items():
                yield f"{result.input}:{label} {name} {answer}"
