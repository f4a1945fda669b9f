"""Panels of the report page for metrics by corruption severity, gaps under corruption, and reliability."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from auxface.evaluation.intervals import Estimate
from auxface.evaluation.metrics import METRICS, format_value
from auxface.evaluation.report.charts import Line, line_chart
from auxface.evaluation.report.wording import (
    EMPTY,
    Cell,
    corruption_title,
    format_difference,
    metric_cell,
    value_cell,
)
from auxface.evaluation.results import Severity, TaskAudit

_SUMMARIES = {
    "mean_under_corruption": "mean under corruption",
    "mean_corruption_error": "mean corruption error",
    "relative_mean_corruption_error": "relative mean corruption error",
}


@dataclass(frozen=True)
class CurvePanel:
    """A small chart with its heading and alternative text."""

    name: str
    svg: str
    alt: str


@dataclass(frozen=True)
class Summary:
    """Means over the common corruptions: headings, one row of cells per model, number of corruptions, and baseline."""

    headings: tuple[str, ...]
    rows: tuple[tuple[int, str, tuple[Cell, ...]], ...]
    corruptions: int
    baseline: str


@dataclass(frozen=True)
class CorruptedGaps:
    """The gaps of a model on clean images and at the highest severity of each corruption.

    Attributes:
        model: name of the model.
        groups: names of the groups, in the order of the columns.
        clean: the gap of each group on clean images, as text.
        rows: for each corruption, its name with the severity and, for each group, the gap as text and whether it is
            wider than on clean images.
    """

    model: str
    groups: tuple[str, ...]
    clean: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[str, bool], ...]], ...]


def corruption_curves(task: str, found: Mapping[str, TaskAudit], places: Sequence[str]) -> list[CurvePanel]:
    """Return one small chart per corruption, all with the same axis."""
    metric = next(iter(found.values())).decision_metric
    steps: dict[str, list[Severity]] = {}
    for audited in found.values():
        for corruption, own in audited.robustness.items():
            known = steps.setdefault(corruption, [])
            known += [severity for severity in own if severity not in known]
    curves: dict[str, list[Line]] = {}
    drawn: list[float] = []
    for corruption, severities in steps.items():
        curves[corruption] = []
        for model, audited in found.items():
            if corruption not in audited.robustness:
                continue
            at = [audited.overall, *(audited.robustness[corruption].get(severity, {}) for severity in severities)]
            known = [(float(x), row[metric]) for x, row in enumerate(at) if metric in row]
            line = _line(places.index(model), known)
            drawn += [*line.y, *(line.low or ()), *(line.high or ())]
            curves[corruption].append(line)
    if not drawn:
        return []
    room = 0.04 * (max(drawn) - min(drawn) or 1)
    limits = (min(drawn) - room, max(drawn) + room)
    panels = []
    for corruption, lines in curves.items():
        numbered = all(isinstance(severity, int) for severity in steps[corruption])
        svg = line_chart(
            f"robustness-{task}-{corruption}",
            lines,
            x_label="severity (0 = clean)" if numbered else "",
            percent=METRICS[metric].percent,
            limits=limits,
            x_names=["none" if not numbered else "0", *map(str, steps[corruption])],
        )
        ends = [
            f"{places[x.place]} from {format_value(metric, x.y[0])} to {format_value(metric, x.y[-1])}"
            for x in lines
            if x.y
        ]
        panels.append(
            CurvePanel(corruption_title(corruption), svg, f"{corruption_title(corruption)}: {'; '.join(ends)}")
        )
    return panels


def corruption_summary(found: Mapping[str, TaskAudit], places: Sequence[str]) -> Summary | None:
    """Return the means over the common corruptions; None if none was measured."""
    summaries = {model: audited.robustness_summary for model, audited in found.items() if audited.robustness_summary}
    if not summaries:
        return None
    names = [name for name in _SUMMARIES if any(name in own for own in summaries.values())]
    metric = next(iter(found.values())).decision_metric
    rows = []
    for model, own in summaries.items():
        cells = [
            metric_cell(metric, own.get(name))
            if name == "mean_under_corruption"
            else value_cell(own[name])
            if name in own
            else EMPTY
            for name in names
        ]
        rows.append((places.index(model), model, tuple(cells)))
    facts = [item.more or {} for own in summaries.values() for item in own.values()]
    baseline = next((str(fact["baseline"]) for fact in facts if "baseline" in fact), "")
    count = max(int(str(fact.get("corruptions", 0))) for fact in facts)
    return Summary(tuple(_SUMMARIES[name] for name in names), tuple(rows), count, baseline)


def corrupted_gaps(found: Mapping[str, TaskAudit]) -> list[CorruptedGaps]:
    """Return the gap of every group on clean images and at the highest severity of each corruption, for each model."""
    panels = []
    for model, audited in found.items():
        metric = audited.decision_metric
        name = f"{metric}_difference"
        groups = tuple(
            dict.fromkeys(
                group for steps in audited.robustness_groups.values() for by in steps.values() for group in by.gaps
            )
        )
        if not groups:
            continue
        rows = []
        for corruption, steps in audited.robustness_groups.items():
            severity, by_group = list(steps.items())[-1]
            cells = []
            for group in groups:
                estimate, before = by_group.gaps.get(group, {}).get(name), audited.gaps.get(group, {}).get(name)
                cells.append((_gap_text(metric, estimate), _wider(estimate, before)))
            rows.append((f"{corruption_title(corruption)}, {severity}", tuple(cells)))
        clean = tuple(_gap_text(metric, audited.gaps.get(group, {}).get(name)) for group in groups)
        panels.append(CorruptedGaps(model, groups, clean, tuple(rows)))
    return panels


def _line(place: int, known: Sequence[tuple[float, Estimate]]) -> Line:
    known = [(x, estimate) for x, estimate in known if estimate.value is not None]
    y = [float(estimate.value or 0) for _, estimate in known]
    low = [y[at] if estimate.low is None else estimate.low for at, (_, estimate) in enumerate(known)]
    high = [y[at] if estimate.high is None else estimate.high for at, (_, estimate) in enumerate(known)]
    return Line(place, [x for x, _ in known], y, low, high)


def _gap_text(metric: str, estimate: Estimate | None) -> str:
    if estimate is None or estimate.value is None:
        return "–"
    return format_difference(metric, estimate.value, signed=False)


def _wider(after: Estimate | None, before: Estimate | None) -> bool:
    """Return whether the whole interval lies above the gap on clean images."""
    return bool(after and before and after.low is not None and before.value is not None and after.low > before.value)


# Bins with fewer samples are too noisy to draw.
_SHOWN_BIN = 10


def reliability_diagram(task: str, found: Mapping[str, TaskAudit], places: Sequence[str]) -> CurvePanel | None:
    """Return a chart of observed frequency against score; None if no model's scores are probabilities."""
    lines = []
    for model, audited in found.items():
        bins = [part for part in audited.reliability if part.n >= _SHOWN_BIN]
        if bins:
            x, y = [part.score for part in bins], [part.share for part in bins]
            lines.append(Line(places.index(model), x, y, [part.low for part in bins], [part.high for part in bins]))
    if not lines:
        return None
    svg = line_chart(
        f"reliability-{task}",
        lines,
        x_label="score",
        percent=True,
        limits=(0.0, 1.0),
        whole_x=False,
        diagonal=True,
    )
    bins = "; ".join(f"{places[line.place]}: {len(line.x)} bins" for line in lines)
    return CurvePanel("Frequency against score", svg, f"Observed frequency against score, by bins of score. {bins}")
