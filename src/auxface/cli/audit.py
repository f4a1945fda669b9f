"""The command ``auxface audit``."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from auxface.cli.options import Json, Out, Overwrite, Resamples

Clusters = Literal["auto", "source", "row"]


def command(
    tables: Annotated[list[Path], typer.Argument(help="Predictions (.parquet or .csv), one file per model.")],
    out: Out,
    names: Annotated[str | None, typer.Option("--names", help="Names of the models, such as ours,theirs.")] = None,
    task: Annotated[list[str] | None, typer.Option("--task", help="Measure only this task. Repeatable.")] = None,
    split: Annotated[str | None, typer.Option("--split", help="Measure only the rows of this split.")] = None,
    validation: Annotated[
        list[Path] | None,
        typer.Option("--validation", help="Predictions on the validation split, to choose thresholds. One per model."),
    ] = None,
    robustness: Annotated[
        list[Path] | None,
        typer.Option(
            "--robustness", help="Predictions on corrupted images (columns corruption, severity). One per model."
        ),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="The model that mean corruption errors are relative to.")
    ] = None,
    matrix: Annotated[bool, typer.Option("--matrix", help="Cross-dataset matrix: one row per training set.")] = False,
    cluster: Annotated[
        Clusters,
        typer.Option("--cluster", help="What is resampled: auto (videos, else sources, else rows), source or row."),
    ] = "auto",
    *,
    resamples: Resamples,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the bootstrap.", min=0)] = 0,
    title: Annotated[str | None, typer.Option("--title", help="Title of the page.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Measure any model from a table of its predictions; write report.html, report.json and CSV files."""
    from auxface.cli.table import audit_lines
    from auxface.evaluation.audit import audit

    found = audit(
        tables,
        out,
        names=None if names is None else [name.strip() for name in names.split(",")],
        tasks=task,
        split=split,
        validation=validation or (),
        robustness=robustness or (),
        baseline=baseline,
        matrix=matrix,
        clusters=cluster,
        resamples=resamples,
        seed=seed,
        title=title,
        overwrite=overwrite,
    )
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
        return
    for line in audit_lines(found):
        typer.echo(line)
    typer.echo(f"report: {out / 'report.html'}")
