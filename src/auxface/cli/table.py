"""The results of an audit as text for a terminal."""

import json
from collections.abc import Iterator
from pathlib import Path

import typer

from auxface.evaluation import Audit, Estimate, TaskAudit
from auxface.evaluation.groups import CROSS
from auxface.evaluation.metrics import table_metrics

_COLUMNS = 4


def print_audit(audit: Audit, page: Path, *, as_json: bool) -> None:
    """Print an audit as one JSON document, or as tables with the path of its page."""
    if as_json:
        typer.echo(json.dumps(audit.to_dict()))
        return
    for line in _lines(audit):
        typer.echo(line)
    typer.echo(f"report: {page}")


def _lines(audit: Audit) -> Iterator[str]:
    """Yield the lines of a small table per task: metrics with 95% intervals, then the widest gap of each model."""
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
    for note in audit.notes:
        yield f"note: {note}"


def _cell(estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f}-{estimate.high:.3f})"


def _widest(audited: TaskAudit) -> str | None:
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
    chance = more.get("by_chance_of_all", more.get("by_chance"))
    limit = f"; expected under equal performance: up to {chance:.3f}" if isinstance(chance, float) else ""
    return (
        f"widest gap in {metric.replace('_', ' ')} {value:.3f} ({group}: best {more['best']}, worst {more['worst']}"
        f"{limit})"
    )
