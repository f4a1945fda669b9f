"""Panels of the report page for groups, attributes, thresholds, confusion matrices and the cross-dataset matrix."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from auxface.evaluation.compare import Comparison
from auxface.evaluation.groups import CROSS
from auxface.evaluation.intervals import Estimate
from auxface.evaluation.measure import ONE_CLASS
from auxface.evaluation.metrics import METRICS
from auxface.evaluation.report.charts import IntervalChart, interval_chart
from auxface.evaluation.report.group_table import GroupTable, group_tables
from auxface.evaluation.report.wording import (
    EMPTY,
    Cell,
    gap_comparison_sentence,
    gap_sentence,
    label_noise_sentence,
    metric_cell,
    power_sentence,
    ratio_cell,
    value_cell,
    words,
)
from auxface.evaluation.results import Audit, TaskAudit

FAIRNESS = {
    "demographic_parity": "demographic parity (selection rate)",
    "equal_opportunity": "equal opportunity (true positive rate)",
    "equalized_odds": "equalized odds (true and false positive rate)",
    "predictive_parity": "predictive parity (precision)",
}
BENCHMARK = ("F_FPR", "F_OAE", "F_DP", "F_MEO")


@dataclass(frozen=True)
class Measure:
    """A fairness measure: its name and, by model, the difference, the smallest detectable difference, and the ratio."""

    name: str
    cells: tuple[tuple[Cell, Cell, Cell], ...]


@dataclass(frozen=True)
class GroupPanel:
    """The chart of a group or of two crossed groups (or why there is none), sentences, and fairness measures.

    ``further`` has the sentences that are folded if several models are compared.
    """

    name: str
    metric: str
    chart: IntervalChart | None
    no_chart: str
    sentences: tuple[str, ...]
    further: tuple[str, ...]
    crossed: bool
    measures: tuple[Measure, ...]
    unmeasured: str
    tables: tuple[GroupTable, ...]


def group_panels(
    found: Mapping[str, TaskAudit], places: Sequence[str], comparisons: Sequence[Comparison]
) -> list[GroupPanel]:
    """Return one panel for each group that any model has."""
    names = dict.fromkeys(group for audited in found.values() for group in audited.groups)
    return [_group(name, found, places, comparisons) for name in names]


def attribute_chart(found: Mapping[str, TaskAudit], places: Sequence[str]) -> IntervalChart | None:
    """Return a chart of the attributes of a multi-label task; None for other kinds."""
    first = next(iter(found.values()))
    metric = first.primary_metric
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
    metric = next(iter(found.values())).decision_metric
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
        hidden = [level for level, row in levels.items() if all(item.value is None for item in row.values())]
        levels = {level: row for level, row in levels.items() if level not in hidden}
        if hidden:
            unmeasured = f"{len(hidden)} of {len(names)} combinations have no value; see csv/groups.csv."
    chart = interval_chart(metric, levels, overall, places)
    sentences = [gap_sentence(model, group, audited) for model, audited in found.items()]
    further = [
        sentence(model, group, audited)
        for model, audited in found.items()
        for sentence in (power_sentence, label_noise_sentence)
    ]
    further += [
        gap_comparison_sentence(item)
        for item in comparisons
        if item.group == group and item.metric == f"{metric}_difference"
    ]
    if len(found) == 1:
        sentences, further = sentences + further, []
    tables = group_tables(group, list(found.items()))
    measures = _measures(group, found)
    no_chart = _why_no_level(METRICS[metric].title, levels) if chart is None else ""
    shown, folded = (tuple(text for text in texts if text) for texts in (sentences, further))
    title = METRICS[metric].title
    return GroupPanel(group, title, chart, no_chart, shown, folded, crossed, measures, unmeasured, tables)


def _why_no_level(title: str, levels: Mapping[str, Mapping[str, Estimate]]) -> str:
    """Return a sentence that states why no level has a value."""
    reasons = {level: one.why or "" for level, row in levels.items() for one in row.values()}
    if reasons and all(why.startswith(ONE_CLASS) for why in reasons.values()):
        return f"No level has a {title}, because each level has only one class; metrics of one class are in the table."
    if len(set(reasons.values())) == 1:
        return f"No level can be measured: {next(iter(reasons.values()))}."
    listed = [f"{level}: {why}" for level, why in list(reasons.items())[:_REASONS]]
    more = f"; and {len(reasons) - _REASONS} more" if len(reasons) > _REASONS else ""
    return f"No level can be measured ({'; '.join(listed)}{more})." if listed else "No level can be measured."


# The sentence that states why no level has a value gives this many reasons.
_REASONS = 4


def _measures(group: str, found: Mapping[str, TaskAudit]) -> tuple[Measure, ...]:
    gaps = [audited.gaps.get(group, {}) for audited in found.values()]
    rows = []
    for name, title in FAIRNESS.items():
        if all(f"{name}_difference" in gap for gap in gaps):
            cells = tuple(
                (
                    value_cell(gap[f"{name}_difference"]),
                    _shown(gap[f"{name}_difference"]),
                    ratio_cell(gap[f"{name}_ratio"]),
                )
                for gap in gaps
            )
            rows.append(Measure(title, cells))
    for name in BENCHMARK:
        if all(name in gap for gap in gaps):
            rows.append(
                Measure(name, tuple((value_cell(gap[name]), _shown(gap[name]), Cell("", "", None)) for gap in gaps))
            )
    return tuple(rows)


def _shown(gap: Estimate) -> Cell:
    smallest = (gap.more or {}).get("smallest_shown")
    return Cell(f"{smallest:.3f}", "", None) if isinstance(smallest, float) else Cell("", "", None)


_RULES = {
    "balanced_accuracy": "highest balanced accuracy",
    "equal_error": "equal error rate",
    "fpr=0.01": "FPR of at most 1%",
    "fpr=0.001": "FPR of at most 0.1%",
}
_GAPS = {
    "worst_group_balanced_accuracy": "balanced accuracy of the worst level",
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
    """A row of the table of level thresholds: either one threshold for all levels, or one for each level."""

    place: int
    model: str
    rule: str
    thresholds: str
    cells: tuple[Cell, ...]


TRADE_HEADINGS = (METRICS["balanced_accuracy"].title, *_GAPS.values())


def point_metrics(found: Mapping[str, TaskAudit]) -> list[str]:
    """Return the names of the metrics of operating points, in order."""
    every = [point for audited in found.values() for point in audited.operating_points.values()]
    return list(every[0].rates) if every else []


def point_rows(found: Mapping[str, TaskAudit], places: Sequence[str]) -> list[PointRow]:
    """Return one row per model and rule."""
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
    """Return two rows per model and group: with one threshold for all levels, and with one for each level."""
    rows = []
    for model, audited in found.items():
        for group, own in audited.group_thresholds.items():
            common = audited.task.threshold(audited.task.classes[1])
            cells = _cells(audited.overall, audited.gaps.get(group, {}))
            rows.append(
                TradeRow(places.index(model), model, f"one for all levels of {words(group)}", f"{common:.3f}", cells)
            )
            listed = ", ".join(f"{level} {value:.3f}" for level, value in own.thresholds.items())
            kept = f"; the common threshold for {', '.join(own.kept)}" if own.kept else ""
            cells = _cells(own.overall, own.gaps)
            rows.append(
                TradeRow(places.index(model), model, f"one per level of {words(group)} *", listed + kept, cells)
            )
    return rows


def _cells(overall: Mapping[str, Estimate], gaps: Mapping[str, Estimate]) -> tuple[Cell, ...]:
    cells = [metric_cell("balanced_accuracy", overall.get("balanced_accuracy"))]
    cells.append(metric_cell("balanced_accuracy", gaps.get("worst_group_balanced_accuracy")))
    return (*cells, *(value_cell(gaps[name]) if name in gaps else EMPTY for name in list(_GAPS)[1:]))


SHOWN_CLASSES = 16


@dataclass(frozen=True)
class Confusion:
    """Fractions of each true class by predicted class: rows of (class, samples, cells of (fraction in 0..1, text))."""

    model: str
    classes: tuple[str, ...]
    rows: tuple[tuple[str, int, tuple[tuple[float, str], ...]], ...]


@dataclass(frozen=True)
class MatrixCell:
    """A cell of the matrix: value, shade in 0..1 (None if not measured), and whether both data sets are the same."""

    cell: Cell
    n: str
    shade: float | None
    same: bool


@dataclass(frozen=True)
class Matrix:
    """The cross-dataset matrix, with one row per model, named after its training set, and one column per test set."""

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
    """Return the cross-dataset matrix of a task for its primary metric; None if there is only one dataset."""
    tests = tuple(dict.fromkeys(name for audited in found.values() for name in audited.datasets))
    if not tests:
        return None
    metric = next(iter(found.values())).primary_metric
    values = [
        estimate.value
        for audited in found.values()
        for estimates in audited.datasets.values()
        if metric in estimates and (estimate := estimates[metric]).value is not None
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
