"""The commands ``auxface plan`` and ``auxface train``."""

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auxface.cli.options import Device, Json, Overwrite, Seed, Set, Unlabeled
from auxface.errors import InputError

if TYPE_CHECKING:
    from auxface.model.saved_model import SavedModel
    from auxface.training.dry_run import DryRun


def plan_command(
    data: Annotated[Path, typer.Argument(help="Manifest (.parquet or .csv), or folder of shards.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Recipe file to write; default: print the plan only.")
    ] = None,
    budget: Annotated[
        str, typer.Option("--budget", help="Time for planning and training on this machine, such as 30m, 1h30m or 90s.")
    ] = "30m",
    start: Annotated[
        Path | None,
        typer.Option(
            "--start", help="Initial weights: a safetensors file or a model directory; scratch: random weights."
        ),
    ] = None,
    unlabeled: Unlabeled = None,
    baselines: Annotated[
        bool,
        typer.Option("--baselines/--no-baselines", help="Also evaluate simple baselines; this takes about a minute."),
    ] = True,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Plan a training run from the data and a time budget, and write it as a recipe."""
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
    typer.echo(
        f"estimated time: {minutes:.1f} of the budgeted {limit:.1f} minutes, including "
        f"{made.planning_seconds:.0f} s of planning"
    )
    if out is not None:
        typer.echo(f"recipe written to {out}; to train: auxface train {out} --data {data} --out runs/a")


def train_command(
    recipe: Annotated[
        str | None, typer.Argument(help="Recipe file, or name of a packaged recipe such as l_ssat; auto plans one.")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Manifest, or folder of shards.")] = None,
    unlabeled: Unlabeled = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Model directory to write.")] = None,
    resume: Annotated[Path | None, typer.Option("--resume", help="Resume the interrupted run in this folder.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Train one step and estimate the time and memory of the run; write nothing.")
    ] = False,
    budget: Annotated[
        str | None, typer.Option("--budget", help="With recipe auto: time for planning and training, such as 30m.")
    ] = None,
    settings: Set = None,
    seed: Seed = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train a model on a manifest and write the model directory."""
    if resume is not None:
        if (
            recipe is not None
            or out is not None
            or settings
            or seed is not None
            or overwrite
            or check
            or budget is not None
        ):
            raise InputError(
                "--resume reads the recipe from the run's folder; only --data, --unlabeled, --device and --json may "
                "be added"
            )
        from auxface.training import train as training

        with _resumable(resume):
            resumed = training.resume(resume, data=data, device=device, unlabeled=unlabeled or (), warn=_warn)
        _print_result(resume, resumed, as_json)
        return
    if recipe is None or data is None or (out is None and not check):
        raise InputError("train needs RECIPE, --data and --out (or --resume FOLDER alone)")
    from auxface.training import train as training

    if check:
        result = training.check(
            recipe,
            data,
            overrides=settings or (),
            seed=seed,
            device=device,
            unlabeled=unlabeled or (),
            warn=lambda text: typer.echo(f"note: {text}", err=True),
        )
        _print_check(result, as_json)
        return
    assert out is not None
    with _resumable(out):
        saved = training.train(
            recipe,
            data,
            out,
            overrides=settings or (),
            seed=seed,
            device=device,
            overwrite=overwrite,
            unlabeled=unlabeled or (),
            budget=budget,
            warn=_warn,
        )
    _print_result(out, saved, as_json)


@contextmanager
def _resumable(out: Path) -> Iterator[None]:
    """If the block is interrupted, print how to resume the run."""
    from auxface.training.checkpoint import has_record

    try:
        yield
    except KeyboardInterrupt:
        if not has_record(out):
            raise
        typer.echo(f"auxface: interrupted; resume with: auxface train --resume {shlex.quote(str(out))}", err=True)
        raise typer.Exit(130) from None


def _warn(text: str) -> None:
    typer.echo(f"warning: {text}", err=True)


def _print_check(result: "DryRun", as_json: bool) -> None:
    from auxface.training.distributed import is_main_rank

    if not is_main_rank():
        return
    if as_json:
        typer.echo(json.dumps(asdict(result)))
        return
    minutes = result.hours * 60
    if minutes >= 90:
        duration = f"about {result.hours:.1f} hours"
    else:
        duration = f"about {minutes:.0f} minutes" if minutes >= 2 else "less than two minutes"
    typer.echo(
        f"ready to train: {result.parameters / 1e6:.1f} million parameters, loss {result.loss:.3f} on two "
        f"{result.unit}, {result.steps} steps of {result.batch_size} {result.unit} at {result.step_seconds:.2f} s, "
        f"{result.memory_gib:.1f} GiB; the run takes {duration} on this machine"
    )


def _print_result(out: Path, saved: "SavedModel", as_json: bool) -> None:
    from auxface.sample_kind import kind_of
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
        "auxiliary_effect": saved.config.provenance.get("auxiliary_effect"),
        "validation": saved.config.provenance.get("validation", {}),
        "conclusions": saved.config.provenance.get("conclusions", []),
    }
    if as_json:
        typer.echo(json.dumps(result))
        return
    value = "not measurable" if selection.value is None else f"{selection.value:.3f}"
    typer.echo(f"{out}: weights of epoch {selection.epoch}, {result['chosen_by']} {value}, {result['seconds']:.0f} s")
    if result["auxiliary_effect"]:
        typer.echo(result["auxiliary_effect"])
    for sentence in result["conclusions"]:
        typer.echo(sentence)
    if result["unreadable"]:
        unit = kind_of(saved.config.crop).images
        typer.echo(f"{result['unreadable']} {unit} could not be read; they are listed in {out / 'rejected.csv'}")
