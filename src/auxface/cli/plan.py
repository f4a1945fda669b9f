"""``auxface plan``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from auxface.cli.options import Device, Json, Overwrite, Unlabeled


def command(
    data: Annotated[Path, typer.Argument(help="Manifest (.parquet or .csv), or folder of shards.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Recipe file to write; default: only print.")] = None,
    budget: Annotated[
        str, typer.Option("--budget", help="Time for planning and training on this machine: 30m, 1h30m, 90s.")
    ] = "30m",
    start: Annotated[
        Path | None,
        typer.Option("--start", help="Weights to start from: a safetensors file or a model directory; scratch: none."),
    ] = None,
    unlabeled: Unlabeled = None,
    baselines: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Measure plain baselines, in about a minute.")
    ] = True,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Plan a training from the data and a time budget, and write it as a recipe."""
    from auxface.training.baselines import NAMES
    from auxface.training.plan import plan

    made = plan(
        data,
        out,
        budget=budget,
        device=device,
        start=start,
        unlabeled=unlabeled or (),
        baselines=baselines,
        overwrite=overwrite,
    )
    if as_json:
        typer.echo(json.dumps(made.to_dict()))
        return
    for choice in made.choices:
        typer.echo(f"{choice.key} = {choice.value}" + (f": {choice.reason}" if choice.reason else ""))
    for timed in made.timings:
        typer.echo(f"measured: {timed.candidate}: {timed.images_per_second:.1f} images/s")
    for task, found in made.baselines.items():
        for name, value in found.items():
            typer.echo(f"measured: {task}: {NAMES[name]}: balanced accuracy {value:.3f} on the validation split")
    minutes, limit = made.estimated_seconds / 60, made.budget_seconds / 60
    typer.echo(f"estimated {minutes:.1f} of {limit:.1f} minutes, with {made.planning_seconds:.0f} s of planning")
    if out is not None:
        typer.echo(f"{out}: the recipe; run: auxface train {out} --data {data} --out runs/a")
