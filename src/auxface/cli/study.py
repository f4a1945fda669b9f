"""``auxface study``, ``auxface study report`` and ``auxface study power``."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from auxface.cli.options import Device, Json, Overwrite, Resamples
from auxface.errors import InputError

_RUN = "run"
_MOST_JOBS = 256


class _DefaultToRun(TyperGroup):
    """A group that accepts ``auxface study STUDY.yaml`` as short for ``auxface study run STUDY.yaml``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        known = {*self.commands, "-h", "--help"}
        return super().parse_args(ctx, [_RUN, *args] if args and args[0] not in known else args)


app = typer.Typer(
    cls=_DefaultToRun,
    help="Run a grid of training runs and compare them using confidence intervals: auxface study STUDY.yaml --out DIR",
    no_args_is_help=True,
)


@app.command(name=_RUN)
def run(
    definition: Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study file.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder of the results; default: the study file's path without .yaml."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", help="Time limit, such as 25m, 1h30m or 90s; default: no limit.")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option("--where", help="Run only where key=value, such as task=emotion. Repeatable.")
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(
            "--data-root", help="Folder of the manifests; default: AUXFACE_DATA if set, otherwise the study's folder."
        ),
    ] = None,
    jobs: Annotated[
        str,
        typer.Option(
            "--jobs", "-j", help="Number of parallel runs, each in its own process; auto: the number of free cores."
        ),
    ] = "auto",
    device: Device = "auto",
    keep_models: Annotated[bool, typer.Option("--keep-models", help="Keep every run's model in DIR/runs.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Repeat failed runs.")] = False,
    as_json: Json = False,
) -> None:
    """Execute the runs that have no result in results.jsonl."""
    from auxface.studies.study import study

    out = out or definition.with_suffix("")
    progress = study(
        definition,
        out,
        budget=budget,
        where=where or (),
        data_root=data_root,
        jobs=_number_of_jobs(jobs),
        device=device,
        keep_models=keep_models,
        retry_failed=retry_failed,
        log=lambda line: typer.echo(line, err=True),
    )
    if as_json:
        typer.echo(
            json.dumps({"done": progress.done, "failed": progress.failed, "left": progress.left, "now": progress.now})
        )
        return
    typer.echo(
        f"{out}: {progress.done} runs done, {progress.failed} failed, {progress.left} left "
        f"({progress.now} finished in this call)"
    )


def _number_of_jobs(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return text
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_JOBS:
        raise InputError(f"--jobs {text}: expected auto or a number from 1 to {_MOST_JOBS}")
    return int(text)


@app.command(name="report")
def report(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Folders with the results of one study, from one or more machines."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The HTML page to write.")],
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Also write the tables to this Markdown file.")
    ] = None,
    *,
    resamples: Resamples,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the bootstrap.", min=0)] = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compare the finished runs on one HTML page, and in Markdown tables for documents."""
    from auxface.studies.conclusions import conclusions
    from auxface.studies.study_report import json_document, study_report

    analysis = study_report(folders, out, markdown=markdown, resamples=resamples, seed=seed, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps(json_document(analysis)))
        return
    for line in conclusions(analysis):
        typer.echo(line)
    typer.echo(f"report: {out}")


@app.command(name="power")
def power(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="Folders with the results of a pilot, at least three seeds."),
    ],
    difference: Annotated[
        float,
        typer.Option("--difference", "-d", help="Difference to be detected, such as 0.015 for 1.5 percentage points."),
    ],
    *,
    resamples: Resamples,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the bootstrap.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Print how many seeds are needed to detect a difference with 80% power."""
    from auxface.progress import progress_steps
    from auxface.studies.power import study_power

    with progress_steps("measure runs", "runs") as progress:
        found = study_power(folders, difference=difference, resamples=resamples, seed=seed, progress=progress)
    if as_json:
        typer.echo(json.dumps([vars(one) for one in found]))
        return
    for one in found:
        typer.echo(one.sentence())
