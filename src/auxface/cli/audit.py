"""The command ``auxface audit``, and the results of an audit as text for a terminal."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auxface.cli.options import Json, Out, Overwrite, Resamples
from auxface.errors import InputError, escape_controls

if TYPE_CHECKING:
    from auxface.evaluation import Audit, Estimate, TaskAudit

# Exit code if a condition of --fail-if is met.
GATE_FAILED = 3
_COLUMNS = 4


def command(
    tables: Annotated[
        list[Path], typer.Argument(help="Predictions (Parquet, CSV, JSON lines, Excel), one file per model.")
    ],
    out: Out,
    true: Annotated[str | None, typer.Option("--true", help="Column of the true label.")] = None,
    score: Annotated[
        list[str] | None,
        typer.Option(
            "--score", help="Column of the score of the positive class. Repeatable, to compare models of one table."
        ),
    ] = None,
    group: Annotated[list[str] | None, typer.Option("--group", help="Column of a group. Repeatable.")] = None,
    positive: Annotated[
        str | None, typer.Option("--positive", help="The true label that a high score indicates (the positive class).")
    ] = None,
    predicted: Annotated[
        str | None, typer.Option("--predicted", help="Column of predicted classes, with or without scores.")
    ] = None,
    score_for: Annotated[
        list[str] | None, typer.Option("--score-for", help="CLASS=COLUMN: the score of a class. Repeatable.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Lowest score that is predicted positive.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="Kind of the task: class, binary, ordinal or verification.")
    ] = None,
    weight: Annotated[str | None, typer.Option("--weight", help="Column of sample weights.")] = None,
    clean_levels: Annotated[
        bool, typer.Option("--clean-levels", help="Merge levels that differ only in spaces or letter case.")
    ] = False,
    reference: Annotated[
        list[str] | None,
        typer.Option("--reference", help="GROUP=LEVEL: the reference level of a group. Repeatable."),
    ] = None,
    properties: Annotated[
        list[str] | None,
        typer.Option(
            "--property", help="Column, such as brightness, in which to search for weak segments. Repeatable."
        ),
    ] = None,
    names: Annotated[str | None, typer.Option("--names", help="Names of the models, such as ours,theirs.")] = None,
    task: Annotated[list[str] | None, typer.Option("--task", help="Evaluate only this task. Repeatable.")] = None,
    split: Annotated[str | None, typer.Option("--split", help="Evaluate only the rows of this split.")] = None,
    validation: Annotated[
        list[Path] | None,
        typer.Option(
            "--validation", help="Predictions on the validation split, to choose thresholds. One file per model."
        ),
    ] = None,
    robustness: Annotated[
        list[Path] | None,
        typer.Option(
            "--robustness", help="Predictions on corrupted images (columns corruption, severity). One file per model."
        ),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="Reference model for the mean corruption errors.")
    ] = None,
    matrix: Annotated[
        bool, typer.Option("--matrix", help="Write a cross-dataset matrix with one row per training set.")
    ] = False,
    cluster: Annotated[
        str,
        typer.Option(
            "--cluster",
            help="Unit of resampling: auto (videos if present, otherwise sources, otherwise rows), source, row or "
            "a column.",
        ),
    ] = "auto",
    *,
    resamples: Resamples,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the bootstrap.", min=0)] = 0,
    title: Annotated[str | None, typer.Option("--title", help="Title of the page.")] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="Earlier report.json for conditions with 'against'.")
    ] = None,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-if",
            help="Condition such as PATH > NUMBER, or a YAML file of conditions; exit with code 3 if one is met. "
            "Repeatable.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> int:
    """Evaluate any model from a table of its predictions; write report.html, report.json and CSV files."""
    from auxface.evaluation import gate
    from auxface.evaluation.audit import audit

    conditions = gate.read_conditions(fail_if or [])
    older = None if against is None else gate.read_report(against)
    if older is not None and not any(one.against for one in conditions):
        raise InputError("--against needs a --fail-if condition that uses it, such as 'PATH < against - 0.01'")
    if older is None:
        gate.require_numbers(conditions)
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
        properties=properties or (),
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
        raise InputError(f"the gate was not applied (the report in {out} is complete): {error}") from None
    for sentence in failed:
        typer.echo(escape_controls(f"auxface: gate failed: {sentence}"), err=True)
    return GATE_FAILED if failed else 0


def plan_command(
    report: Annotated[
        Path | None, typer.Argument(help="report.json of an audit, or its folder; the plan covers the audited groups.")
    ] = None,
    gap: Annotated[float, typer.Option("--gap", help="The gap to detect, such as 0.05 for 5 points.")] = 0.05,
    power: Annotated[float, typer.Option("--power", help="Probability of detecting the gap.")] = 0.8,
    value: Annotated[float, typer.Option("--value", help="Without a report: expected rate, such as accuracy.")] = 0.9,
    levels: Annotated[int, typer.Option("--levels", help="Without a report: number of levels of the group.")] = 2,
    per_cluster: Annotated[
        int, typer.Option("--per-cluster", help="Without a report: samples per cluster, such as frames per video.")
    ] = 1,
    correlation: Annotated[
        float,
        typer.Option(
            "--correlation", help="Without a report: correlation between two samples of the same cluster, from 0 to 1."
        ),
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """Print how many clusters (videos, people or single faces) an audit needs to detect a gap."""
    from auxface.evaluation import TableError, clusters_per_level
    from auxface.evaluation.audit_plan import plan_audit

    shown = f"a gap of {100 * gap:g} points with a probability of {power:.0%}"
    if report is None:
        try:
            needed = clusters_per_level(
                value, levels=levels, gap=gap, samples_per_cluster=per_cluster, correlation=correlation, power=power
            )
        except TableError as error:
            raise InputError(str(error)) from None
        if as_json:
            typer.echo(json.dumps({"gap": gap, "power": power, "clusters_per_level": needed}))
        else:
            of = f" of {per_cluster:,} samples" if per_cluster > 1 else ""
            typer.echo(
                f"{needed:,} clusters{of} in each of {levels} levels are needed to detect {shown}, assuming a rate of "
                f"{value:g}"
            )
        return
    if (value, levels, per_cluster, correlation) != (0.9, 2, 1, 0.0):
        raise InputError(
            "--value, --levels, --per-cluster and --correlation apply only without a report; remove them, since "
            f"{report} holds these values"
        )
    planned = plan_audit(report, gap, power)
    if as_json:
        typer.echo(json.dumps(planned))
        return
    for one in planned:
        name = f"{one['model']}, {one['task']}" if one["model"] else one["task"]
        if "why" in one:
            typer.echo(f"{name}, {one['group']}: no gap was measured: {one['why']}")
            continue
        metric = one["metric"].replace("_", " ")
        typer.echo(
            f"{name}, {one['group']}: the table detects gaps in {metric} of at least {one['smallest_gap']:.3f}; "
            f"to detect {shown}:"
        )
        for level, counts in one["levels"].items():
            typer.echo(f"  {level}: {counts['clusters']:,} clusters; {counts['more_clusters']:,} more are needed")


def _pairs(option: str, form: str, given: list[str]) -> dict[str, str]:
    pairs = dict(one.split("=", 1) for one in given if "=" in one)
    if len(pairs) < len(given):
        wrong = next((one for one in given if "=" not in one), given[0])
        raise InputError(f"{option} {wrong} must have the form {form}, and each name may occur only once")
    return pairs


def print_audit(audit: "Audit", page: Path, *, as_json: bool) -> None:
    """Print an audit as one JSON document, or as tables with the path of its page."""
    if as_json:
        typer.echo(json.dumps(audit.to_dict()))
        return
    for line in _lines(audit):
        typer.echo(escape_controls(line))
    typer.echo(escape_controls(f"report: {page}"))


def _lines(audit: "Audit") -> Iterator[str]:
    """Yield the lines of a small table per task: metrics with 95% intervals, then the largest gap of each model."""
    from auxface.evaluation.metrics import table_metrics

    tasks = dict.fromkeys(task for model in audit.models.values() for task in model.tasks)
    width = max(map(len, audit.models))
    for task in tasks:
        found = {name: model.tasks[task] for name, model in audit.models.items() if task in model.tasks}
        known = {metric for audited in found.values() for metric in audited.overall}
        metrics = [metric for metric in table_metrics(next(iter(found.values())).task.kind) if metric in known][
            :_COLUMNS
        ]
        yield task
        yield "  " + " ".join([" " * width] + [f"{metric.replace('_', ' '):>22}" for metric in metrics])
        for name, audited in found.items():
            cells = [_cell(audited.overall.get(metric)) for metric in metrics]
            yield "  " + " ".join([f"{name:<{width}}"] + [f"{cell:>22}" for cell in cells])
        for name, audited in found.items():
            gap = _widest(audited)
            if gap is not None:
                yield f"  {name}: {gap}"
            for reason in _without_gap(audited):
                yield f"  {name}: {reason}"
    for note in audit.notes:
        yield f"note: {note}"


def _cell(estimate: "Estimate | None") -> str:
    if estimate is None or estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f}-{estimate.high:.3f})"


def _without_gap(audited: "TaskAudit") -> Iterator[str]:
    """Yield a text for each uncrossed group whose gap in the decision metric cannot be measured."""
    from auxface.evaluation.groups import CROSS

    metric = audited.decision_metric
    for group, gaps in audited.gaps.items():
        gap = gaps.get(f"{metric}_difference")
        if CROSS not in group and gap is not None and gap.value is None and gap.why:
            yield f"no gap in {metric.replace('_', ' ')} for {group}: {gap.why}"


def _widest(audited: "TaskAudit") -> str | None:
    from auxface.evaluation.groups import CROSS
    from auxface.evaluation.report.wording import format_difference, gap_significance

    metric = audited.decision_metric
    known = [
        (gap.value, group, gap)
        for group, gaps in audited.gaps.items()
        if CROSS not in group
        and (gap := gaps.get(f"{metric}_difference")) is not None
        and gap.value is not None
        and gap.more is not None
    ]
    if not known:
        return None
    value, group, gap = max(known, key=lambda item: item[0])
    more = gap.more or {}
    significance, size = gap_significance(metric, gap), format_difference(metric, value, signed=False)
    return f"widest gap in {metric.replace('_', ' ')} {size} ({group}: best {more['best']}, worst {more['worst']})" + (
        f"; {significance}" if significance else ""
    )
