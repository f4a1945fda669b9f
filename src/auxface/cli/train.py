"""``auxface train``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from auxface.cli.options import Data, Device, Json, Out, Overwrite, Seed, Set


def command(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of a packaged recipe: l_ssat.")],
    data: Data,
    out: Out,
    settings: Set = None,
    seed: Seed = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train a model on a manifest and write its directory."""
    from auxface.verbs.train import train

    saved = train(recipe, data, out, overrides=settings or (), seed=seed, device=device, overwrite=overwrite)
    selection = saved.config.selection
    assert selection is not None
    result = {
        "model": str(out),
        "epoch": selection.epoch,
        "chosen_by": f"{selection.split} {selection.metric}",
        "value": selection.value,
        "unreadable": saved.config.provenance["unreadable"],
        "seconds": saved.config.provenance["training_seconds"],
    }
    if as_json:
        typer.echo(json.dumps(result))
        return
    value = "not measurable" if selection.value is None else f"{selection.value:.3f}"
    typer.echo(f"{out}: weights of epoch {selection.epoch}, {result['chosen_by']} {value}, {result['seconds']:.0f} s")
    if result["unreadable"]:
        typer.echo(
            f"{result['unreadable']} pictures could not be read; they are listed in {Path(out) / 'rejected.csv'}"
        )
