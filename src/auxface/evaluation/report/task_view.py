"""The content of the report page for one task, assembled from the results of an audit."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from auxface.evaluation.compare import ranks
from auxface.evaluation.metrics import METRICS, format_value, table_metrics
from auxface.evaluation.report.charts import IntervalChart
from auxface.evaluation.report.corruption_panels import (
    CorruptedGaps,
    CurvePanel,
    Summary,
    corrupted_gaps,
    corruption_curves,
    corruption_summary,
    reliability_diagram,
)
from auxface.evaluation.report.group_panels import (
    TRADE_HEADINGS,
    Confusion,
    GroupPanel,
    Matrix,
    PointRow,
    TradeRow,
    attribute_chart,
    confusion_panel,
    group_panels,
    matrix_panel,
    point_metrics,
    point_rows,
    trade_rows,
)
from auxface.evaluation.report.opening import Sentence, best_model, opening_sentences
from auxface.evaluation.report.property_panels import SegmentPanel, feature_sentences, file_sentences, segment_panels
from auxface.evaluation.report.wording import Cell, comparison_sentence, interval_text, metric_cell, value_cell, words
from auxface.evaluation.results import Audit, CostPoint, TaskAudit


@dataclass(frozen=True)
class ModelRow:
    """A row of the table of models: index of its color, name, unit (frame or video), and cells."""

    place: int
    name: str
    unit: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class RankRow:
    """A model, its value in the primary metric, its ranks, and the models from which it does not differ."""

    place: int
    model: str
    value: Cell
    ranks: str
    tied: str


# With fewer models, sentences on all pairs are shorter than a table of ranks.
_RANKED_FROM = 4


@dataclass(frozen=True)
class MissingRow:
    """Samples without a score, as (reason, number, fraction), and the metric without them and with them as errors."""

    place: int
    model: str
    reasons: tuple[tuple[str, str, str], ...]
    metric: str
    measured: str
    counted: str


@dataclass(frozen=True)
class CostRow:
    """A model at one prevalence: its precision and, for each miss cost, its expected cost and cheapest threshold."""

    place: int
    model: str
    prevalence: str
    precision: Cell
    costs: tuple[tuple[Cell, Cell], ...]


@dataclass(frozen=True)
class CostPanel:
    """The table of costs, its headings, and the cost curves of all models as JSON for the sliders."""

    miss_costs: tuple[str, ...]
    with_cheapest: bool
    rows: tuple[CostRow, ...]
    data: str


@dataclass(frozen=True)
class TaskView:
    """The content of the report page for one task."""

    name: str
    kind: str
    sentences: list[Sentence]
    headings: list[tuple[str, str]]
    rows: list[ModelRow]
    conclusions: list[str]
    ranking: list[RankRow]
    matrix: Matrix | None
    groups: list[GroupPanel]
    curves: list[CurvePanel]
    primary_metric: str
    decision_metric: str
    summary: Summary | None
    corrupted_gaps: list[CorruptedGaps]
    confusion: Confusion | None
    attributes: IntervalChart | None
    reliability: CurvePanel | None
    calibrated: list[str]
    abstaining: list[str]
    points: list[PointRow]
    point_headings: list[str]
    trades: list[TradeRow]
    trade_headings: list[str]
    costs: CostPanel | None
    segments: list[SegmentPanel]
    files: list[str]
    features: list[str]
    missing: list[MissingRow]


def task_view(audit: Audit, task: str) -> TaskView:
    """Return the content of the report page for one task, over all models."""
    found = {name: model.tasks[task] for name, model in audit.models.items() if task in model.tasks}
    places = list(audit.models)
    first = next(iter(found.values()))
    metrics = [
        name for name in table_metrics(first.task.kind) if any(name in audited.overall for audited in found.values())
    ]
    best = best_model(audit, task)
    own = [item for item in audit.comparisons if item.task == task]
    primary = first.primary_metric
    return TaskView(
        name=task,
        kind=first.task.kind,
        sentences=opening_sentences(audit, task),
        headings=[(METRICS[name].title, METRICS[name].meaning) for name in metrics],
        rows=_rows(found, places, metrics),
        conclusions=[comparison_sentence(item) for item in own if item.metric == primary and not item.group],
        ranking=_ranking(audit, task, found),
        matrix=matrix_panel(audit, task, found),
        groups=group_panels(found, places, own),
        curves=corruption_curves(task, found, places),
        primary_metric=METRICS[primary].title,
        decision_metric=METRICS[first.decision_metric].title,
        summary=corruption_summary(found, places),
        corrupted_gaps=corrupted_gaps(found),
        confusion=confusion_panel(best, found[best]),
        attributes=attribute_chart(found, places),
        reliability=reliability_diagram(task, found, places),
        calibrated=_calibrated(found),
        abstaining=_abstaining(found),
        points=point_rows(found, places),
        point_headings=[METRICS[name].title for name in point_metrics(found)],
        trades=trade_rows(found, places),
        trade_headings=list(TRADE_HEADINGS),
        costs=_cost_panel(found, places),
        segments=segment_panels(found),
        files=file_sentences(found),
        features=feature_sentences(found),
        missing=_missing(audit, found, places),
    )


def _rows(found: Mapping[str, TaskAudit], places: Sequence[str], metrics: Sequence[str]) -> list[ModelRow]:
    by_video = any(audited.videos is not None for audited in found.values())
    rows = []
    for name, audited in found.items():
        parts = [("frame" if by_video else "", audited)]
        parts += [("video", audited.videos)] if audited.videos is not None else []
        for unit, part in parts:
            cells = tuple(metric_cell(metric, part.overall.get(metric)) for metric in metrics)
            rows.append(ModelRow(places.index(name), name, unit, cells))
    return rows


def _ranking(audit: Audit, task: str, found: Mapping[str, TaskAudit]) -> list[RankRow]:
    """Return the models from best to worst with the ranks that all significant differences permit."""
    metric = next(iter(found.values())).primary_metric
    measured = {name: audited.overall[metric] for name, audited in found.items() if metric in audited.overall}
    values = {name: one.value for name, one in measured.items() if one.value is not None}
    if len(values) < _RANKED_FROM:
        return []
    allowed = ranks(list(values), audit.comparisons, task, metric)
    if not allowed:
        return []
    places = list(audit.models)
    ordered = sorted(values, key=lambda name: values[name], reverse=METRICS[metric].higher_is_better)
    return [
        RankRow(
            places.index(name),
            name,
            metric_cell(metric, measured[name]),
            str(one.best) if one.best == one.worst else f"{one.best} to {one.worst}",
            ", ".join(one.tied) or "none",
        )
        for name, one in ((name, allowed[name]) for name in ordered)
    ]


def _calibrated(found: Mapping[str, TaskAudit]) -> list[str]:
    metric = "expected_calibration_error"
    sentences = []
    for model, audited in found.items():
        before, after = audited.overall.get(metric), audited.calibrated.get(metric)
        if audited.temperature is None or before is None or after is None:
            continue
        old, new = format_value(metric, before.value), format_value(metric, after.value)
        effect = f"would change the calibration error from {old} to {new}"
        if old == new:
            effect = f"would not change the calibration error of {old}"
        sentences.append(
            f"{model}: temperature scaling with T = {audited.temperature:.2f}, fitted on the validation table, "
            f"{effect}."
        )
    return sentences


def _abstaining(found: Mapping[str, TaskAudit]) -> list[str]:
    """Return a sentence for each model with an abstain band: the fraction of samples outside it, and their accuracy."""
    sentences = []
    for model, audited in found.items():
        answered, right = audited.overall.get("answered"), audited.overall.get("accuracy_when_answered")
        if audited.task.abstain is None or answered is None or answered.value is None:
            continue
        low, high = audited.task.abstain
        text = (
            f"{model} abstains for scores from {low:.3f} to {high:.3f}. It answers "
            f"{format_value('answered', answered.value)}{interval_text('answered', answered)} of the samples"
        )
        if right is not None and right.value is not None:
            text += f", with an accuracy of {format_value('accuracy', right.value)}{interval_text('accuracy', right)}"
        sentences.append(text + ".")
    return sentences


def _missing(audit: Audit, found: Mapping[str, TaskAudit], places: Sequence[str]) -> list[MissingRow]:
    rows = []
    for model, audited in found.items():
        whole = audit.models[model]
        counts = {words(reason): count for reason, count in whole.left_out.items() if count}
        counts |= {"no score": audited.unscored} if audited.unscored else {}
        every = whole.rows + sum(whole.left_out.values())
        reasons = tuple((reason, f"{count:,}", f"{100 * count / every:.1f}%") for reason, count in counts.items())
        metric = next(iter(audited.counted_as_errors), None)
        if not reasons:
            continue
        title = "" if metric is None else METRICS[metric].title
        measured = "" if metric is None else format_value(metric, audited.overall[metric].value)
        counted = "" if metric is None else format_value(metric, audited.counted_as_errors[metric].value)
        rows.append(MissingRow(places.index(model), model, reasons, title, measured, counted))
    return rows


def _cost_panel(found: Mapping[str, TaskAudit], places: Sequence[str]) -> CostPanel | None:
    """Return the cost panel of a task; None if no model has the rates of a binary task."""
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
