"""``auxface evaluate``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from auxface.cli.options import Data, Device, Json, Out, Overwrite


def command(
    models: Annotated[list[Path], typer.Argument(help="Model directories; several are shown side by side.")],
    data: Data,
    out: Out,
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "test",
    corruption: Annotated[
        list[str] | None, typer.Option("--corruption", help="Corruption to test, or 'none'. Repeatable.")
    ] = None,
    resamples: Annotated[int, typer.Option("--resamples", help="Bootstrap resamples.", min=100, max=100_000)] = 1000,
    seed: Annotated[int, typer.Option("--seed", help="Of the bootstrap and the corruptions.", min=0)] = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Measure models on a split: predictions, report.html, report.json and CSVs."""
    from auxface.cli.table import audit_lines
    from auxface.verbs.evaluate import DEFAULT_CORRUPTIONS, evaluate

    chosen = DEFAULT_CORRUPTIONS if corruption is None else tuple(name for name in corruption if name != "none")
    audit = evaluate(
        models[0] if len(models) == 1 else _named(models),
        data,
        out,
        split=split,
        corruptions=chosen,
        resamples=resamples,
        seed=seed,
        device=device,
        overwrite=overwrite,
    )
    if as_json:
        typer.echo(json.dumps(audit.to_dict()))
        return
    for line in audit_lines(audit):
        typer.echo(line)
    typer.echo(f"report: {out / 'report.html'}")


def _named(models: list[Path]) -> dict[str, Path]:
    """Models by the shortest tail of their path that tells them apart."""
    for depth in range(1, 1 + max(len(model.parts) for model in models)):
        names = ["/".join(model.parts[-depth:]) for model in models]
        if len(set(names)) == len(names):
            return dict(zip(names, models, strict=True))
    from auxface.errors import InputError

    raise InputError("the same model directory is named twice")
