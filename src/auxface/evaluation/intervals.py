"""Dots with whiskers on a shared axis, as positions in percent: drawn by the page itself, so they fit any width."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator

from auxface.evaluation.bootstrap import Estimate
from auxface.evaluation.vocabulary import METRICS, shown


@dataclass(frozen=True)
class Mark:
    """One model's value in one row; positions are percent of the axis, None where there is nothing to draw."""

    place: int
    model: str
    text: str
    span: str
    at: float | None
    start: float | None
    length: float | None
    why: str | None


@dataclass(frozen=True)
class Row:
    """One level: its name, its count, a mark per model."""

    label: str
    count: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class IntervalChart:
    """Rows on an axis with ticks (position in percent, text)."""

    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, str], ...]
    references: tuple[tuple[float, int], ...]


def interval_chart(
    metric: str, levels: Mapping[str, Mapping[str, Estimate]], overall: Mapping[str, Estimate], places: Sequence[str]
) -> IntervalChart | None:
    """Arrange levels and models; None where nothing can be measured.

    Args:
        metric: what is shown.
        levels: level to model to estimate.
        overall: model to estimate of everybody, drawn as a line through all rows.
        places: model names in order of their colours.
    """
    ends = [
        end
        for found in [*levels.values(), overall]
        for estimate in found.values()
        for end in (estimate.value, estimate.low, estimate.high)
        if end is not None
    ]
    if not any(estimate.value is not None for found in levels.values() for estimate in found.values()):
        return None
    low, high = min(ends), max(ends)
    edges = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high if high > low else low + 0.1)
    ticks = [tick for tick in edges if 0 <= tick <= 1 or not METRICS[metric].percent]
    start, end = min(low, ticks[0]), max(high, ticks[-1])

    def position(value: float) -> float:
        return round(100 * (value - start) / (end - start), 2)

    def mark(model: str, estimate: Estimate) -> Mark:
        place = places.index(model)
        if estimate.value is None:
            return Mark(place, model, "–", "", None, None, None, estimate.why)
        left = None if estimate.low is None else position(estimate.low)
        right = None if estimate.high is None else position(estimate.high)
        length = None if left is None or right is None else round(right - left, 2)
        span = "" if length is None else f"{shown(metric, estimate.low)} to {shown(metric, estimate.high)}"
        text = shown(metric, estimate.value)
        return Mark(place, model, text, span, position(estimate.value), left, length, estimate.why)

    rows = []
    for level, found in levels.items():
        counts = sorted({estimate.n for estimate in found.values()})
        text = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,}–{counts[-1]:,}"
        rows.append(Row(level, text, tuple(mark(model, estimate) for model, estimate in found.items())))
    labels = tuple((position(tick), _tick(metric, float(tick))) for tick in ticks)
    lines = tuple(
        (position(estimate.value), places.index(model))
        for model, estimate in overall.items()
        if estimate.value is not None
    )
    return IntervalChart(tuple(rows), labels, lines)


def _tick(metric: str, value: float) -> str:
    if METRICS[metric].percent:
        return f"{np.round(100 * value, 1):g}%"
    return f"{np.round(value, 4):g}"
