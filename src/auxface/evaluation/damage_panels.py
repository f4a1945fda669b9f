"""What breaks it: a curve per kind of damage, the means over them, and what becomes of the gaps between groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from auxface.evaluation.bootstrap import Estimate
from auxface.evaluation.cells import Cell, metric_cell, value_cell
from auxface.evaluation.charts import Line, line_chart
from auxface.evaluation.phrasing import damage_words, points
from auxface.evaluation.results import Severity, TaskAudit
from auxface.evaluation.vocabulary import METRICS, decision_metric, shown

_SUMMARIES = {
    "mean_under_corruption": "mean under damage",
    "mean_corruption_error": "mean corruption error",
    "relative_mean_corruption_error": "relative mean corruption error",
}


@dataclass(frozen=True)
class CurvePanel:
    """A small chart with its heading and what it says to those who cannot see it."""

    name: str
    svg: str
    alt: str


@dataclass(frozen=True)
class Summary:
    """Means over the common corruptions: headings, a row of cells per model, how many corruptions, the baseline."""

    headings: tuple[str, ...]
    rows: tuple[tuple[int, str, tuple[Cell, ...]], ...]
    corruptions: int
    baseline: str


@dataclass(frozen=True)
class Survival:
    """A model's gaps on undamaged pictures and at the worst severity: groups, then a row of texts per damage."""

    model: str
    groups: tuple[str, ...]
    clean: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[str, bool], ...]], ...]


def damage_curves(task: str, found: Mapping[str, TaskAudit], places: Sequence[str]) -> list[CurvePanel]:
    """One small chart per kind of damage, all on one scale."""
    metric = decision_metric(next(iter(found.values())).task.kind)
    steps: dict[str, list[Severity]] = {}
    for audited in found.values():
        for corruption, own in audited.robustness.items():
            known = steps.setdefault(corruption, [])
            known += [severity for severity in own if severity not in known]
    curves: dict[str, list[Line]] = {}
    ends: list[float] = []
    for corruption, severities in steps.items():
        curves[corruption] = []
        for model, audited in found.items():
            if corruption not in audited.robustness:
                continue
            at = [audited.overall, *(audited.robustness[corruption].get(severity, {}) for severity in severities)]
            known = [(float(x), row[metric]) for x, row in enumerate(at) if metric in row]
            line = _line(places.index(model), known)
            ends += [*line.y, *(line.low or ()), *(line.high or ())]
            curves[corruption].append(line)
    if not ends:
        return []
    room = 0.04 * (max(ends) - min(ends) or 1)
    limits = (min(ends) - room, max(ends) + room)
    panels = []
    for corruption, lines in curves.items():
        numbered = all(isinstance(severity, int) for severity in steps[corruption])
        svg = line_chart(
            f"robustness-{task}-{corruption}",
            lines,
            x_label="severity (0 = as taken)" if numbered else "",
            percent=METRICS[metric].percent,
            limits=limits,
            x_names=["none" if not numbered else "0", *map(str, steps[corruption])],
        )
        said = [f"{places[x.place]} from {shown(metric, x.y[0])} to {shown(metric, x.y[-1])}" for x in lines if x.y]
        panels.append(CurvePanel(damage_words(corruption), svg, f"{damage_words(corruption)}: {'; '.join(said)}"))
    return panels


def damage_summary(found: Mapping[str, TaskAudit], places: Sequence[str]) -> Summary | None:
    """The means over the common corruptions; None where none was measured."""
    summaries = {model: audited.robustness_summary for model, audited in found.items() if audited.robustness_summary}
    if not summaries:
        return None
    names = [name for name in _SUMMARIES if any(name in own for own in summaries.values())]
    metric = decision_metric(next(iter(found.values())).task.kind)
    rows = []
    for model, own in summaries.items():
        cells = [
            metric_cell(metric, own.get(name))
            if name == "mean_under_corruption"
            else value_cell(own[name])
            if name in own
            else Cell("–", "", None)
            for name in names
        ]
        rows.append((places.index(model), model, tuple(cells)))
    facts = [item.more or {} for own in summaries.values() for item in own.values()]
    baseline = next((str(fact["baseline"]) for fact in facts if "baseline" in fact), "")
    count = max(int(str(fact.get("corruptions", 0))) for fact in facts)
    return Summary(tuple(_SUMMARIES[name] for name in names), tuple(rows), count, baseline)


def fairness_survival(found: Mapping[str, TaskAudit]) -> list[Survival]:
    """Per model, the gap of every group on undamaged pictures and where each damage is worst."""
    panels = []
    for model, audited in found.items():
        metric = decision_metric(audited.task.kind)
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
            rows.append((f"{damage_words(corruption)}, {severity}", tuple(cells)))
        clean = tuple(_gap_text(metric, audited.gaps.get(group, {}).get(name)) for group in groups)
        panels.append(Survival(model, groups, clean, tuple(rows)))
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
    return points(metric, estimate.value, signed=False)


def _wider(after: Estimate | None, before: Estimate | None) -> bool:
    """Whether the whole interval lies above the gap on undamaged pictures."""
    return bool(after and before and after.low is not None and before.value is not None and after.low > before.value)
