"""What the page shows of each task: tables, interval rows and curves, arranged from the audit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from auxface.evaluation.audit import Audit, TaskAudit
from auxface.evaluation.bootstrap import Estimate
from auxface.evaluation.charts import Line, line_chart
from auxface.evaluation.intervals import IntervalChart, interval_chart
from auxface.evaluation.partition import CROSS
from auxface.evaluation.sentences import (
    Sentence,
    best_model,
    comparison_sentence,
    five_sentences,
    gap_sentence,
    group_metric,
)
from auxface.evaluation.vocabulary import METRICS, PRIMARY, TABLE, shown

SHOWN_CLASSES = 16
_NOT_SERIES = {"epoch", "step", "seconds", "learning_rate", "model"}


@dataclass(frozen=True)
class Cell:
    """A value, its interval as text, and why it is missing."""

    value: str
    span: str
    why: str | None


@dataclass(frozen=True)
class GroupPanel:
    """A group: its chart, what may be said, whether two groups are crossed in it."""

    name: str
    metric: str
    chart: IntervalChart | None
    sentences: tuple[str, ...]
    crossed: bool


@dataclass(frozen=True)
class CurvePanel:
    """A small chart with its heading and what it says to those who cannot see it."""

    name: str
    svg: str
    alt: str


@dataclass(frozen=True)
class Confusion:
    """Shares of each true class by predicted class: rows of (share 0..1, text)."""

    model: str
    classes: tuple[str, ...]
    rows: tuple[tuple[str, int, tuple[tuple[float, str], ...]], ...]


@dataclass(frozen=True)
class TaskView:
    """Everything the page shows of a task."""

    name: str
    kind: str
    sentences: list[Sentence]
    headings: list[tuple[str, str]]
    rows: list[tuple[int, str, list[Cell]]]
    conclusions: list[str]
    groups: list[GroupPanel]
    robustness: list[CurvePanel]
    robustness_metric: str
    confusion: Confusion | None
    attributes: IntervalChart | None


def task_view(audit: Audit, task: str) -> TaskView:
    """Arrange one task of all models."""
    found = {name: model.tasks[task] for name, model in audit.models.items() if task in model.tasks}
    places = list(audit.models)
    first = next(iter(found.values()))
    metrics = [name for name in TABLE[first.task.kind] if name in first.overall]
    primary = PRIMARY[first.task.kind]
    best = best_model(audit, task)
    pairs = [item for item in audit.comparisons if item.task == task and item.metric == primary]
    return TaskView(
        task,
        first.task.kind,
        five_sentences(audit, task),
        [(METRICS[name].title, METRICS[name].meaning) for name in metrics],
        [
            (places.index(name), name, [_cell(metric, audited.overall.get(metric)) for metric in metrics])
            for name, audited in found.items()
        ],
        [comparison_sentence(item) for item in pairs],
        [_group(name, found, places) for name in first.groups],
        _robustness(task, found, places),
        METRICS[group_metric(first)].title,
        _confusion(best, found[best]),
        _attributes(found, places),
    )


def training_view(curves: Mapping[str, pd.DataFrame], models: Sequence[str]) -> list[CurvePanel]:
    """One small chart per series: validation metrics first, then losses."""
    names = [*models, *(name for name in curves if name not in models)]
    series = dict.fromkeys(
        str(column)
        for frame in curves.values()
        for column in frame.columns
        if column not in _NOT_SERIES and pd.api.types.is_numeric_dtype(frame[column])
    )
    panels = []
    for name in sorted(series, key=lambda item: (not item.startswith("val."), list(series).index(item))):
        lines = []
        for model, frame in curves.items():
            if name in frame.columns and frame[name].notna().any():
                kept = frame[frame[name].notna()]
                x = (
                    kept["epoch"]
                    if "epoch" in kept
                    else kept["step"]
                    if "step" in kept
                    else pd.Series(range(len(kept)))
                )
                y = kept[name].to_numpy(float)
                lines.append(Line(names.index(model), x.to_numpy(float).tolist(), y.tolist()))
        if lines:
            unit = "epoch" if any("epoch" in frame for frame in curves.values()) else "step"
            metric = name.removeprefix("val.")
            title = f"validation {metric.replace('_', ' ')}" if name.startswith("val.") else metric.replace("_", " ")
            share = name.startswith("val.") and metric in METRICS and METRICS[metric].percent
            svg = line_chart(f"training-{name}", lines, x_label=unit, percent=share, marked=False)
            panels.append(CurvePanel(title, svg, f"{title} over {unit}s of {len(lines)} models"))
    return panels


def _cell(metric: str, estimate: Estimate | None) -> Cell:
    if estimate is None:
        return Cell("–", "", None)
    span = "" if estimate.low is None else f"{shown(metric, estimate.low)} to {shown(metric, estimate.high)}"
    return Cell(shown(metric, estimate.value), span, estimate.why)


def _group(group: str, found: Mapping[str, TaskAudit], places: Sequence[str]) -> GroupPanel:
    metric = group_metric(next(iter(found.values())))
    names = dict.fromkeys(level for audited in found.values() for level in audited.groups.get(group, {}))
    levels = {
        level: {
            model: audited.groups[group][level][metric]
            for model, audited in found.items()
            if level in audited.groups.get(group, {})
        }
        for level in names
    }
    overall = {model: audited.overall[metric] for model, audited in found.items()}
    chart = interval_chart(metric, levels, overall, places)
    said = tuple(filter(None, (gap_sentence(model, group, audited) for model, audited in found.items())))
    return GroupPanel(group, METRICS[metric].title, chart, said, CROSS in group)


def _robustness(task: str, found: Mapping[str, TaskAudit], places: Sequence[str]) -> list[CurvePanel]:
    metric = group_metric(next(iter(found.values())))
    names = dict.fromkeys(name for audited in found.values() for name in audited.robustness)
    curves: dict[str, list[Line]] = {}
    ends: list[float] = []
    for corruption in names:
        curves[corruption] = []
        for model, audited in found.items():
            steps = {0: audited.overall, **audited.robustness.get(corruption, {})}
            points = [(severity, steps[severity][metric]) for severity in sorted(steps)]
            points = [(severity, estimate) for severity, estimate in points if estimate.value is not None]
            y = [float(estimate.value or 0) for _, estimate in points]
            low = [y[at] if estimate.low is None else estimate.low for at, (_, estimate) in enumerate(points)]
            high = [y[at] if estimate.high is None else estimate.high for at, (_, estimate) in enumerate(points)]
            ends += low + high
            x = [float(severity) for severity, _ in points]
            curves[corruption].append(Line(places.index(model), x, y, low, high))
    if not ends:
        return []
    room = 0.04 * (max(ends) - min(ends) or 1)
    limits = (min(ends) - room, max(ends) + room)
    return [
        CurvePanel(
            corruption.replace("_", " "),
            line_chart(
                f"robustness-{task}-{corruption}",
                lines,
                x_label="severity (0 = as taken)",
                percent=METRICS[metric].percent,
                limits=limits,
            ),
            "; ".join(
                f"{places[line.place]} from {shown(metric, line.y[0])} to {shown(metric, line.y[-1])}" for line in lines
            ),
        )
        for corruption, lines in curves.items()
    ]


def _confusion(model: str, audited: TaskAudit) -> Confusion | None:
    counts = audited.confusion
    if counts is None or len(counts) > SHOWN_CLASSES:
        return None
    total = counts.sum(axis=1)
    share = counts / np.maximum(total, 1)[:, None]
    rows = tuple(
        (name, int(total[place]), tuple((float(value), f"{100 * value:.0f}") for value in share[place]))
        for place, name in enumerate(audited.task.classes)
    )
    return Confusion(model, audited.task.classes, rows)


def _attributes(found: Mapping[str, TaskAudit], places: Sequence[str]) -> IntervalChart | None:
    first = next(iter(found.values()))
    if not first.attributes:
        return None
    metric = PRIMARY[first.task.kind]
    levels = {
        name: {
            model: audited.attributes[name].overall[metric]
            for model, audited in found.items()
            if name in audited.attributes
        }
        for name in first.attributes
    }
    return interval_chart(metric, levels, {}, places)
