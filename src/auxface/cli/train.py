"""``auxface train``."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auxface.cli.options import Device, Json, Overwrite, Seed, Set
from auxface.errors import InputError

if TYPE_CHECKING:
    from auxface.model.directory import SavedModel
    from auxface.training.dry_run import Rehearsal


def command(
    recipe: Annotated[
        str | None, typer.Argument(help="A recipe file, or the name of a packaged recipe: l_ssat.")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="The manifest, or a folder of shards.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The model directory to make.")] = None,
    resume: Annotated[Path | None, typer.Option("--resume", help="Go on with the run in this folder.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Build everything, take one step, say how long the whole will take.")
    ] = False,
    settings: Set = None,
    seed: Seed = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train a model on a manifest and write its directory."""
    if resume is not None:
        if recipe is not None or out is not None or settings or seed is not None or overwrite or check:
            raise InputError("--resume takes the recipe from the run's folder; give no other argument but --data")
        from auxface.training import train as verb

        _tell(resume, verb.resume(resume, data=data, device=device), as_json)
        return
    if recipe is None or data is None or (out is None and not check):
        raise InputError("train needs RECIPE, --data and --out (or --resume FOLDER alone)")
    from auxface.training import train as verb

    if check:
        _tell_check(verb.check(recipe, data, overrides=settings or (), seed=seed, device=device), as_json)
        return
    assert out is not None
    saved = verb.train(recipe, data, out, overrides=settings or (), seed=seed, device=device, overwrite=overwrite)
    _tell(out, saved, as_json)


def _tell_check(found: "Rehearsal", as_json: bool) -> None:
    from auxface.training.distributed import is_main_rank

    if not is_main_rank():
        return
    if as_json:
        typer.echo(json.dumps(asdict(found)))
        return
    minutes = found.hours * 60
    time = f"{found.hours:.1f} hours" if minutes >= 90 else f"{minutes:.0f} minutes" if minutes >= 2 else "two minutes"
    typer.echo(
        f"all is well: {found.parameters / 1e6:.1f} million parameters, loss {found.loss:.3f} on two samples, "
        f"{found.steps} steps of {found.batch_size} images at {found.step_seconds:.2f} s, "
        f"{found.memory_gib:.1f} GiB; the whole will take about {time} on this machine"
    )


def _tell(out: Path, saved: "SavedModel", as_json: bool) -> None:
    from auxface.training.distributed import is_main_rank

    if not is_main_rank():
        return
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
        typer.echo(f"{result['unreadable']} images could not be read; they are listed in {out / 'rejected.csv'}")
