"""The command ``auxface demo``."""

from pathlib import Path
from typing import Annotated

import typer

from auxface.cli.options import Device, Json, Overwrite


def command(
    out: Annotated[Path, typer.Option("--out", "-o", help="The output folder.")] = Path("runs/demo"),
    faces: Annotated[int, typer.Option("--faces", help="Number of synthetic faces.", min=200, max=100_000)] = 4000,
    epochs: Annotated[int, typer.Option("--epochs", help="Passes over the training split, for each model.", min=1)] = 9,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the faces and of the trainings.", min=0)] = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Render faces, train three models on them and write a report: about four minutes on two processor cores."""
    from auxface.cli.table import print_audit
    from auxface.demo import demo

    done = demo(out, faces=faces, epochs=epochs, seed=seed, device=device, overwrite=overwrite)
    print_audit(done.audit, done.page, as_json=as_json)
