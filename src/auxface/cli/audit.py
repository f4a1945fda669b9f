"""The command ``auxface audit``."""

from pathlib import Path
from typing import Annotated

import typer

from auxface.cli.options import Json, Out, Overwrite, Resamples
from auxface.errors import InputError

# The exit code if a condition of --fail-if holds.
GATE_FAILED = 3


def command(
    tables: Annotated[
        list[Path], typer.Argument(help="Predictions (Parquet, CSV, JSON lines, Excel), one file per model.")
    ],
    out: Out,
    true: Annotated[str | None, typer.Option("--true", help="Column of the true label.")] = None,
    score: Annotated[str | None, typer.Option("--score", help="Column of the score of the positive class.")] = None,
    group: Annotated[list[str] | None, typer.Option("--group", help="Column of a group. Repeatable.")] = None,
    positive: Annotated[
        str | None, typer.Option("--positive", help="Value of the true label that a high score indicates.")
    ] = None,
    predicted: Annotated[
        str | None, typer.Option("--predicted", help="Column of decisions, with or without scores.")
    ] = None,
    score_for: Annotated[
        list[str] | None, typer.Option("--score-for", help="CLASS=COLUMN: the score of a class. Repeatable.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Score from which a sample counts as positive.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="Kind of the task: class, binary, ordinal or verification.")
    ] = None,
    weight: Annotated[str | None, typer.Option("--weight", help="Column of sample weights.")] = None,
    clean_levels: Annotated[
        bool, typer.Option("--clean-levels", help="Merge levels that differ only in blanks or capital letters.")
    ] = False,
    reference: Annotated[
        list[str] | None,
        typer.Option("--reference", help="GROUP=LEVEL: the level that others are compared with. Repeatable."),
    ] = None,
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
        str,
        typer.Option(
            "--cluster", help="What is resampled: auto (videos, else sources, else rows), source, row or a column."
        ),
    ] = "auto",
    *,
    resamples: Resamples,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the bootstrap.", min=0)] = 0,
    title: Annotated[str | None, typer.Option("--title", help="Title of the page.")] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="An older report.json, for conditions with 'against'.")
    ] = None,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-if",
            help="Exit with code 3 if PATH > NUMBER holds in report.json; or a YAML file of conditions. Repeatable.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> int:
    """Measure any model from a table of its predictions; write report.html, report.json and CSV files."""
    from auxface.cli.table import print_audit
    from auxface.evaluation import gate
    from auxface.evaluation.audit import audit

    conditions = gate.read_conditions(fail_if or [])
    older = None if against is None else gate.read_report(against)
    if older is not None and not any(one.against for one in conditions):
        raise InputError("--against needs a --fail-if that compares with it, such as 'PATH < against - 0.01'")
    found = audit(
        tables,
        out,
        true=true,
        score=score,
        groups=group or (),
        positive=positive,
        predicted=predicted,
        score_for=_pairs("--score-for", "CLASS=COLUMN", score_for or []),
        references=_pairs("--reference", "GROUP=LEVEL", reference or []),
        threshold=threshold,
        kind=kind,
        weight=weight,
        clean_levels=clean_levels,
        names=None if names is None else [name.strip() for name in names.split(",")],
        tasks=task,
        split=split,
        validation=validation or (),
        robustness=robustness or (),
        baseline=baseline,
        matrix=matrix,
        cluster=cluster,
        resamples=resamples,
        seed=seed,
        title=title,
        overwrite=overwrite,
    )
    print_audit(found, out / "report.html", as_json=as_json)
    try:
        failed = gate.failed_conditions(found.to_dict(), conditions, older) if conditions else []
    except InputError as error:
        raise InputError(f"the gate was not applied, the report in {out} is complete: {error}") from None
    for sentence in failed:
        typer.echo(f"auxface: gate failed: {sentence}", err=True)
    return GATE_FAILED if failed else 0


def _pairs(option: str, form: str, given: list[str]) -> dict[str, str]:
    pairs = dict(one.split("=", 1) for one in given if "=" in one)
    if len(pairs) < len(given):
        wrong = next((one for one in given if "=" not in one), given[0])
        raise InputError(f"{option} {wrong} must be {form}, and each name may occur once")
    return pairs
