"""The table of a group on the report page: counts, and rates and gaps to the reference level with their intervals."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from auxface.evaluation.groups import CROSS
from auxface.evaluation.intervals import Estimate
from auxface.evaluation.metrics import METRICS, format_value
from auxface.evaluation.report.wording import Cell, format_difference, metric_cell
from auxface.evaluation.results import TaskAudit

# Metrics of a table for tasks with two classes. The false negative rate is one minus the true positive rate.
_RATES = ("true_positive_rate", "false_positive_rate", "false_negative_rate", "selection_rate", "precision")
_NUMBERS = ("mean_absolute_error", "cumulative_score_1", "cumulative_score_5")
_OTHERS = ("accuracy", "balanced_accuracy", "macro_f1", *_NUMBERS)
_SHORT = {"true_positive_rate": "TPR", "false_positive_rate": "FPR", "false_negative_rate": "FNR"}
# The reason of the level of samples without a value of the group.
_NOT_INCLUDED = "not included in gaps"


@dataclass(frozen=True)
class LevelRow:
    """A level: numbers of samples, clusters and positives, metrics, and gap to the reference level.

    ``more`` is the number of additional clusters needed to detect a gap of 5 points.
    """

    level: str
    samples: str
    clusters: str
    positives: str
    cells: tuple[Cell, ...]
    gap: Cell
    more: Cell


@dataclass(frozen=True)
class GroupTable:
    """The levels of a group for one model."""

    model: str
    headings: tuple[str, ...]
    metric: str
    reference: str
    positive: str
    with_more: bool
    rows: tuple[LevelRow, ...]


def group_table(model: str, group: str, audited: TaskAudit) -> GroupTable | None:
    """Return the table of a group; None for crossed groups."""
    levels = audited.groups.get(group, {})
    if CROSS in group or not levels:
        return None
    known = next(iter(levels.values()))
    binary = "true_positive_rate" in known
    metrics = _RATES if binary else tuple(name for name in _OTHERS if name in known)
    to_reference = audited.to_reference.get(group, {})
    reference = next((str((gap.more or {}).get("reference", "")) for gap in to_reference.values()), "")
    gap = audited.gaps.get(group, {}).get(f"{audited.decision_metric}_difference")
    precision = (gap.more or {}).get("levels") if gap is not None else None
    needed = (
        {level: one.get("more_clusters") for level, one in precision.items()} if isinstance(precision, dict) else {}
    )
    rows = []
    for level, found in levels.items():
        every = found.get("accuracy") or found[metrics[0]]
        positive = found.get("true_positive_rate")
        rows.append(
            LevelRow(
                level,
                f"{every.n:,}",
                f"{every.clusters:,}",
                "" if positive is None else f"{positive.n:,}",
                tuple(_cell(name, found) for name in metrics),
                _gap_cell(audited.decision_metric, to_reference.get(level), is_reference=level == reference),
                _more_cell(needed.get(level), to_reference.get(level)),
            )
        )
    headings = tuple(_SHORT.get(name) or METRICS[name].title for name in metrics)
    title = METRICS[audited.decision_metric].title
    return GroupTable(
        model, headings, title, reference, audited.task.classes[1] if binary else "", any(needed.values()), tuple(rows)
    )


def group_tables(group: str, found: Sequence[tuple[str, TaskAudit]]) -> tuple[GroupTable, ...]:
    """Return a table of the group for each model whose results include the group."""
    tables = (group_table(model, group, audited) for model, audited in found)
    return tuple(table for table in tables if table is not None)


def _cell(metric: str, found: dict[str, Estimate]) -> Cell:
    if metric != "false_negative_rate":
        return metric_cell(metric, found.get(metric))
    rate = found["true_positive_rate"]
    value, low, high = (None if end is None else 1 - end for end in (rate.value, rate.high, rate.low))
    return metric_cell("true_positive_rate", replace(rate, value=value, low=low, high=high))


def _more_cell(needed: int | None, to_reference: Estimate | None) -> Cell:
    """Return the number of additional clusters, or the reason why the level is not included in gaps."""
    if needed is None:
        return Cell("–", "", _NOT_INCLUDED if to_reference is None else to_reference.why)
    return Cell(f"{needed:,}", "", None)


def _gap_cell(metric: str, gap: Estimate | None, *, is_reference: bool) -> Cell:
    if is_reference:
        return Cell("reference", "", None)
    if gap is None or gap.value is None:
        return Cell(format_value(metric, None), "", _NOT_INCLUDED if gap is None else gap.why)
    span = ""
    if gap.low is not None and gap.high is not None:
        span = f"{format_difference(metric, gap.low)} to {format_difference(metric, gap.high)}"
    return Cell(format_difference(metric, gap.value), span, gap.why)
