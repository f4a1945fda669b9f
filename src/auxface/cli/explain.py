"""The command ``auxface explain``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from auxface.cli.options import Device, Json, Out, Overwrite
from auxface.cli.predict import DetectorFlag, FacesFlag, WeightsFlag


def command(
    model: Annotated[str, typer.Argument(help="A model directory or a hub name.")],
    image: Annotated[Path, typer.Argument(help="The image.")],
    out: Out,
    task: Annotated[str | None, typer.Option("--task", help="The task to explain; by default the first.")] = None,
    face: Annotated[
        int | None, typer.Option("--face", help="Index of the one face to explain, from 0; by default all.", min=0)
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
    typer.echo(f"figure: {out}")
