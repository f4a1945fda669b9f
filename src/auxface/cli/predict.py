"""``auxface predict``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from auxface.cli.options import Device, Json


def command(
    model: Annotated[Path, typer.Argument(help="A model directory.")],
    inputs: Annotated[list[Path], typer.Argument(help="Pictures.")],
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Answer for pictures with a trained model."""
    from auxface.verbs.predict import predict

    results = predict(model, inputs, device=device)
    if as_json:
        typer.echo(json.dumps([result.to_dict() for result in results]))
        return
    for result in results:
        if not result.faces:
            typer.echo(f"{result.input}: no answer ({result.reason})")
        for face in result.faces:
            for name, answer in face.tasks.items():
                said = ", ".join(answer.answer) if isinstance(answer.answer, list) else answer.answer
                sure = "" if answer.probability is None else f" ({answer.probability:.0%})"
                typer.echo(f"{result.input}: {name} {said or 'none'}{sure}")
