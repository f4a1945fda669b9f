"""Matrices with shaded cells: the confusion matrix, and training sets against test sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from auxface.evaluation.metrics import METRICS, PRIMARY
from auxface.evaluation.report.formatting import Cell, metric_cell
from auxface.evaluation.results import Audit, TaskAudit

SHOWN_CLASSES = 16


@dataclass(frozen=True)
class Confusion:
    """Shares of each true class by predicted class: rows of (class, samples, cells of (share in 0..1, text))."""

    model: str
    classes: tuple[str, ...]
    rows: tuple[tuple[str, int, tuple[tuple[float, str], ...]], ...]


@dataclass(frozen=True)
class MatrixCell:
    """One training set on one test set: value, shade in 0..1 (None: not measured), whether both are the same."""

    cell: Cell
    n: str
    shade: float | None
    same: bool


@dataclass(frozen=True)
class Matrix:
    """Models, named by their training sets, against test sets."""

    metric: str
    tests: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[MatrixCell, ...]], ...]


def confusion_panel(model: str, audited: TaskAudit) -> Confusion | None:
    """Return the confusion matrix of one model; None if there is none or it has too many classes for the page."""
    counts = audited.confusion
    if counts is None or len(counts) > SHOWN_CLASSES:
        return None
    total = counts.sum(axis=1)
    rows = []
    for place, name in enumerate(audited.task.classes):
        share = counts[place] / max(int(total[place]), 1)
        rows.append((name, int(total[place]), tuple((float(value), f"{100 * value:.0f}") for value in share)))
    return Confusion(model, audited.task.classes, tuple(rows))


def matrix_panel(audit: Audit, task: str, found: Mapping[str, TaskAudit]) -> Matrix | None:
    """Return the cross-dataset matrix of a task in its primary metric; None if all tables are of one dataset."""
    tests = tuple(dict.fromkeys(name for audited in found.values() for name in audited.datasets))
    if not tests:
        return None
    metric = PRIMARY[next(iter(found.values())).task.kind]
    values = [
        estimate.value
        for audited in found.values()
        for estimates in audited.datasets.values()
        if (estimate := estimates[metric]).value is not None
    ]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    rows = []
    for model, audited in found.items():
        trained = _trained_on(audit.models[model].provenance)
        cells = []
        for test in tests:
            estimate = audited.datasets.get(test, {}).get(metric)
            shade = None
            if estimate is not None and estimate.value is not None:
                shade = (estimate.value - low) / (high - low) if high > low else 0.5
                shade = shade if METRICS[metric].higher_is_better else 1 - shade
            n = "" if estimate is None else f"{estimate.n:,}"
            cells.append(MatrixCell(metric_cell(metric, estimate), n, shade, test in trained))
        rows.append((model, ", ".join(name for name in trained if name != model), tuple(cells)))
    return Matrix(METRICS[metric].title, tests, tuple(rows))


def _trained_on(provenance: Mapping[str, object]) -> Sequence[str]:
    named = provenance.get("trained_on")
    if isinstance(named, str):
        return (named,)
    return tuple(map(str, named)) if isinstance(named, list | tuple) else ()
