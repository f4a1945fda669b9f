"""``auxface study`` and ``auxface study report``."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from auxface.cli.options import Device, Json, Overwrite

_RUN = "run"


class _RunUnlessNamed(TyperGroup):
    """``auxface study STUDY.yaml`` is ``auxface study run STUDY.yaml``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        known = {*self.commands, "-h", "--help"}
        return super().parse_args(ctx, [_RUN, *args] if args and args[0] not in known else args)


app = typer.Typer(
    cls=_RunUnlessNamed,
    help="Many trainings, planned before they run, and compared with intervals: auxface study STUDY.yaml --out DIR",
    no_args_is_help=True,
)


@app.command(name=_RUN)
def run(
    definition: Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study file.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the results; default: the study's name beside it.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", help="Time to spend: 25m, 1h30m, 90s. Default: until all is done.")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option("--where", help="Only runs with key=value: task=emotion. Repeatable.")
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option("--data-root", help="Folder of the manifests; default: AUXFACE_DATA, else the study's folder."),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Runs at a time, each a process.", min=1, max=256)] = 1,
    device: Device = "auto",
    keep_models: Annotated[bool, typer.Option("--keep-models", help="Keep every run's model in DIR/runs.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Take up runs that failed.")] = False,
    as_json: Json = False,
) -> None:
    """Carry out the runs that results.jsonl does not have yet."""
    from auxface.studies.study import study

    out = out or definition.with_suffix("")
    stands = study(
        definition,
        out,
        budget=budget,
        where=where or (),
        data_root=data_root,
        jobs=jobs,
        device=device,
        keep_models=keep_models,
        retry_failed=retry_failed,
        tell=lambda line: typer.echo(line, err=True),
    )
    if as_json:
        typer.echo(json.dumps({"done": stands.done, "failed": stands.failed, "left": stands.left, "now": stands.now}))
        return
    typer.echo(
        f"{out}: {stands.done} runs done, {stands.failed} failed, {stands.left} left ({stands.now} ended just now)"
    )


@app.command(name="report")
def report(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Results of one study, of one machine or more.")
    ],
    out: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")],
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Write the tables as Markdown too.")] = None,
    resamples: Annotated[int, typer.Option("--resamples", help="Bootstrap resamples.", min=100, max=100_000)] = 1000,
    seed: Annotated[int, typer.Option("--seed", help="Of the bootstrap.", min=0)] = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compare what is done so far: one page, and Markdown tables for the docs."""
    from auxface.studies.study_report import document, study_report
    from auxface.studies.wording import conclusions

    found = study_report(folders, out, markdown=markdown, resamples=resamples, seed=seed, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps(document(found)))
        return
    for line in conclusions(found):
        typer.echo(line)
    typer.echo(f"report: {out}")
