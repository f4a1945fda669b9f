"""Groups and attributes as rows of intervals, with what may be said of each and the fairness measures behind it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from auxface.evaluation.bootstrap import Estimate
from auxface.evaluation.cells import Cell, ratio_cell, value_cell
from auxface.evaluation.comparing import Comparison
from auxface.evaluation.conclusions import gap_comparison_sentence, gap_sentence
from auxface.evaluation.intervals import IntervalChart, interval_chart
from auxface.evaluation.partition import CROSS
from auxface.evaluation.results import TaskAudit
from auxface.evaluation.vocabulary import METRICS, PRIMARY, decision_metric

FAIRNESS = {
    "demographic_parity": "demographic parity (selection rate)",
    "equal_opportunity": "equal opportunity (true positive rate)",
    "equalized_odds": "equalized odds (true and false positive rate)",
    "predictive_parity": "predictive parity (precision)",
}
BENCHMARK = ("F_FPR", "F_OAE", "F_DP", "F_MEO")


@dataclass(frozen=True)
class Measure:
    """A fairness measure: its name, and per model its difference and its ratio."""

    name: str
    cells: tuple[tuple[Cell, Cell], ...]


@dataclass(frozen=True)
class GroupPanel:
    """A group: its chart, what may be said, whether two groups are crossed in it, the measures by name."""

    name: str
    metric: str
    chart: IntervalChart | None
    sentences: tuple[str, ...]
    crossed: bool
    measures: tuple[Measure, ...]
    unmeasured: str


def group_panels(
    found: Mapping[str, TaskAudit], places: Sequence[str], comparisons: Sequence[Comparison]
) -> list[GroupPanel]:
    """A panel per group that any model has."""
    names = dict.fromkeys(group for audited in found.values() for group in audited.groups)
    return [_group(name, found, places, comparisons) for name in names]


def attribute_chart(found: Mapping[str, TaskAudit], places: Sequence[str]) -> IntervalChart | None:
    """The attributes of a multi-label task; None for other kinds."""
    first = next(iter(found.values()))
    metric = PRIMARY[first.task.kind]
    levels = {
        name: {
            model: audited.attributes[name].overall[metric]
            for model, audited in found.items()
            if name in audited.attributes
        }
        for name in first.attributes
    }
    return interval_chart(metric, levels, {}, places) if levels else None


def _group(
    group: str, found: Mapping[str, TaskAudit], places: Sequence[str], comparisons: Sequence[Comparison]
) -> GroupPanel:
    metric = decision_metric(next(iter(found.values())).task.kind)
    names = dict.fromkeys(level for audited in found.values() for level in audited.groups.get(group, {}))
    levels: dict[str, dict[str, Estimate]] = {
        level: {
            model: audited.groups[group][level][metric]
            for model, audited in found.items()
            if level in audited.groups.get(group, {})
        }
        for level in names
    }
    overall = {model: audited.overall[metric] for model, audited in found.items()}
    crossed = CROSS in group
    unmeasured = ""
    if crossed:
        silent = [level for level, row in levels.items() if all(item.value is None for item in row.values())]
        levels = {level: row for level, row in levels.items() if level not in silent}
        if silent:
            unmeasured = f"{len(silent)} of {len(names)} combinations cannot be measured; csv/groups.csv says why."
    chart = interval_chart(metric, levels, overall, places)
    said = [gap_sentence(model, group, audited) for model, audited in found.items()]
    said += [
        gap_comparison_sentence(item)
        for item in comparisons
        if item.group == group and item.metric == f"{metric}_difference"
    ]
    sentences = tuple(sentence for sentence in said if sentence)
    return GroupPanel(group, METRICS[metric].title, chart, sentences, crossed, _measures(group, found), unmeasured)


def _measures(group: str, found: Mapping[str, TaskAudit]) -> tuple[Measure, ...]:
    gaps = [audited.gaps.get(group, {}) for audited in found.values()]
    rows = []
    for name, title in FAIRNESS.items():
        if all(f"{name}_difference" in gap for gap in gaps):
            pairs = [(value_cell(gap[f"{name}_difference"]), ratio_cell(gap[f"{name}_ratio"])) for gap in gaps]
            rows.append(Measure(title, tuple(pairs)))
    for name in BENCHMARK:
        if all(name in gap for gap in gaps):
            rows.append(Measure(name, tuple((value_cell(gap[name]), Cell("", "", None)) for gap in gaps)))
    return tuple(rows)
