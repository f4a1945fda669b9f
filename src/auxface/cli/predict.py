"""The commands that use a trained model: ``auxface predict``, ``auxface explain`` and ``auxface export``."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from auxface.cli.options import Device, Json, Out, Overwrite

if TYPE_CHECKING:
    from auxface.inference.prediction import Prediction

FacesFlag = Annotated[
    Literal["auto", "crop", "whole"],
    typer.Option("--faces", help="auto: as in training; crop: detect and crop faces; whole: one face per image."),
]
DetectorFlag = Annotated[
    Literal["yunet", "haar"] | None,
    typer.Option("--detector", help="Face detector to use in place of the recorded one; haar needs no weights."),
]
WeightsFlag = Annotated[
    Path | None, typer.Option("--weights", help="File with YuNet's weights (or set AUXFACE_YUNET).")
]


def predict_command(
    model: Annotated[str, typer.Argument(help="A model directory, an exported .onnx file, or a Hub name.")],
    inputs: Annotated[list[str], typer.Argument(help="Images, videos, or folders of them; URLs with --allow-urls.")],
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
    """Predict the tasks of every face in images, folders and videos."""
    from auxface.errors import InputError, escape_controls
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
    # For a single input, the reason is in the error below.
    elif len(results) > 1 or not results[0].unreadable:
        for line in _lines(results):
            typer.echo(escape_controls(line))
    if all(result.unreadable for result in results):
        first = f"{results[0].input}: {results[0].reason}"
        raise InputError(first if len(results) == 1 else f"none of the {len(results)} inputs could be read ({first})")


def _lines(results: Sequence["Prediction"]) -> Iterator[str]:
    """Yield one line per face and task, or the reason why there is no face."""
    for result in results:
        if not result.faces:
            yield f"{result.input}: no prediction ({result.reason})"
        for name, answer in getattr(result, "tasks", {}).items():
            yield f"{result.input}: {name} {answer} (whole video)"
        for number, face in enumerate(result.faces):
            label = f" face {number}" if len(result.faces) > 1 else ""
            for name, answer in face.tasks.items():
                yield f"{result.input}:{label} {name} {answer}"


def explain_command(
    model: Annotated[str, typer.Argument(help="A model directory or a Hub name.")],
    image: Annotated[Path, typer.Argument(help="The image.")],
    out: Out,
    task: Annotated[str | None, typer.Option("--task", help="Task to explain; default: the first.")] = None,
    face: Annotated[
        int | None,
        typer.Option("--face", help="Index of the face to explain, counted from 0; default: all faces.", min=0),
    ] = None,
    faces: FacesFlag = "auto",
    detector: DetectorFlag = None,
    weights: WeightsFlag = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Draw attention, input gradients and reconstruction errors for the faces of an image."""
    from auxface.inference.explain import explain

    explanations = explain(
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
        typer.echo(json.dumps([one.to_dict() for one in explanations]))
        return
    for number, one in enumerate(explanations):
        typer.echo(f"face {number}: {one.task} {one.face.tasks[one.task]}")
    others = [name for name in explanations[0].face.tasks if name != explanations[0].task] if explanations else []
    if others and task is None:
        typer.echo(f"other tasks, with --task: {', '.join(others)}")
    typer.echo(f"figure: {out}")


def export_command(
    model: Annotated[str, typer.Argument(help="A model directory or a Hub name.")],
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
    """Export a model as one file for other runtimes, including preprocessing, class names and thresholds."""
    from auxface.inference.export import export

    written = export(model, out, format=format, int8=int8, calibrate=calibrate, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps(written | {"output": str(out)}))
        return
    megabytes, size = written["bytes"] / 2**20, written["image_size"]
    typer.echo(f"{out}: {megabytes:.1f} MiB, input of {size}x{size} pixels, any batch size")
