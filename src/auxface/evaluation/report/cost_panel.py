"""Prevalence and costs on the page: a table at stated prevalences, and the data of the sliders."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from auxface.evaluation.metrics import format_value
from auxface.evaluation.report.wording import Cell, metric_cell, value_cell
from auxface.evaluation.results import CostPoint, TaskAudit


@dataclass(frozen=True)
class CostRow:
    """A model at one prevalence: its precision, and per cost of a miss its cost and its cheapest threshold."""

    place: int
    model: str
    prevalence: str
    precision: Cell
    costs: tuple[tuple[Cell, Cell], ...]


@dataclass(frozen=True)
class CostPanel:
    """The table, the headings of its costs, and the curves of all models as JSON for the sliders."""

    miss_costs: tuple[str, ...]
    with_cheapest: bool
    rows: tuple[CostRow, ...]
    data: str


def cost_panel(found: Mapping[str, TaskAudit], places: Sequence[str]) -> CostPanel | None:
    """Return the panel of a task; None if no model has rates of two classes."""
    measured = {model: audited for model, audited in found.items() if audited.prevalence}
    if not measured:
        return None
    first = next(iter(next(iter(measured.values())).prevalence.values()))
    rows = [
        CostRow(
            places.index(model),
            model,
            f"{100 * prevalence:g}%",
            metric_cell("precision", at.precision),
            tuple((value_cell(cost), _cheapest(at.cheapest.get(miss))) for miss, cost in at.costs.items()),
        )
        for model, audited in measured.items()
        for prevalence, at in audited.prevalence.items()
    ]
    data = []
    for model, audited in measured.items():
        rates = [audited.overall[name].value for name in ("true_positive_rate", "false_positive_rate")]
        curve = [list(point.to_dict().values()) for point in audited.cost_curve]
        data.append({"model": model, "rates": rates, "curve": curve})
    return CostPanel(tuple(f"{miss:g}" for miss in first.costs), bool(first.cheapest), tuple(rows), json.dumps(data))


def _cheapest(point: CostPoint | None) -> Cell:
    if point is None:
        return Cell("–", "", None)
    rates = [
        f"{name} {format_value('true_positive_rate', rate)}"
        for name, rate in (("TPR", point.true_positive_rate), ("FPR", point.false_positive_rate))
    ]
    return Cell(f"{point.threshold:.3f}", ", ".join(rates), None)
