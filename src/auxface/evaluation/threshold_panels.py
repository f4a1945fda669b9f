"""What thresholds chosen on the validation table give: operating points, and one per level of a group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from auxface.evaluation.bootstrap import Estimate
from auxface.evaluation.cells import Cell, metric_cell, value_cell
from auxface.evaluation.phrasing import words
from auxface.evaluation.results import TaskAudit
from auxface.evaluation.vocabulary import METRICS

_RULES = {
    "balanced_accuracy": "best balanced accuracy",
    "equal_error": "as many misses as false alarms",
    "fpr=0.01": "at most 1% false alarms",
    "fpr=0.001": "at most 0.1% false alarms",
}
_GAPS = {
    "worst_group_balanced_accuracy": "worst level's",
    "equalized_odds_difference": "equalized odds difference",
    "equal_opportunity_difference": "equal opportunity difference",
    "demographic_parity_difference": "demographic parity difference",
}


@dataclass(frozen=True)
class PointRow:
    """A row of the table of operating points."""

    place: int
    model: str
    rule: str
    threshold: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class TradeRow:
    """A row of the table of thresholds per level: whose, of which group ("": one threshold for all), and figures."""

    place: int
    model: str
    rule: str
    thresholds: str
    cells: tuple[Cell, ...]


TRADE_HEADINGS = (METRICS["balanced_accuracy"].title, *_GAPS.values())


def point_metrics(found: Mapping[str, TaskAudit]) -> list[str]:
    """The metrics of operating points, in order."""
    every = [point for audited in found.values() for point in audited.operating_points.values()]
    return list(every[0].rates) if every else []


def point_rows(found: Mapping[str, TaskAudit], places: Sequence[str]) -> list[PointRow]:
    """A row per model and rule."""
    metrics = point_metrics(found)
    return [
        PointRow(
            places.index(model),
            model,
            _RULES.get(rule, words(rule)),
            f"{point.threshold:.3f}",
            tuple(metric_cell(metric, point.rates[metric]) for metric in metrics),
        )
        for model, audited in found.items()
        for rule, point in audited.operating_points.items()
    ]


def trade_rows(found: Mapping[str, TaskAudit], places: Sequence[str]) -> list[TradeRow]:
    """Per model and group two rows: one threshold for all, and one per level."""
    rows = []
    for model, audited in found.items():
        for group, own in audited.group_thresholds.items():
            common = audited.task.threshold(audited.task.classes[1])
            cells = _cells(audited.overall, audited.gaps.get(group, {}))
            rows.append(TradeRow(places.index(model), model, f"one for every {words(group)}", f"{common:.3f}", cells))
            said = ", ".join(f"{level} {value:.3f}" for level, value in own.thresholds.items())
            kept = f"; the one threshold for {', '.join(own.kept)}" if own.kept else ""
            cells = _cells(own.overall, own.gaps)
            rows.append(TradeRow(places.index(model), model, f"one per {words(group)} *", said + kept, cells))
    return rows


def _cells(overall: Mapping[str, Estimate], gaps: Mapping[str, Estimate]) -> tuple[Cell, ...]:
    cells = [metric_cell("balanced_accuracy", overall.get("balanced_accuracy"))]
    cells.append(metric_cell("balanced_accuracy", gaps.get("worst_group_balanced_accuracy")))
    return (*cells, *(value_cell(gaps[name]) if name in gaps else Cell("–", "", None) for name in list(_GAPS)[1:]))
