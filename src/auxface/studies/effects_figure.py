"""The first figure of a study's page: the effect of every method on every data set, with intervals.

An effect is the difference between a method and the baseline, or between a method and its control, in hundredths of a
metric whose values lie between 0 and 1 (percentage points, or hundredths of an AUC). It is positive if the method is
better. Effects in other metrics are only in the tables.
"""

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

from auxface.evaluation.metrics import METRICS
from auxface.studies.analysis import DataAnalysis, StudyAnalysis
from auxface.studies.comparisons import StudyComparison
from auxface.studies.conclusions import format_seeds, verdict


@dataclass(frozen=True)
class EffectRow:
    """One effect; positions are in percent of the axis, or None if there is nothing to draw.

    Attributes:
        place: index of the color of the method.
        name: name of the method.
        minus: name of the baseline or control.
        seeds: number of seeds, as text.
        text: effect with its interval.
        verdict: verdict of the comparison.
        why: reason why the effect was not tested; "" if it was.
        at: position of the effect.
        start: position of the lower end of the interval.
        length: length of the interval.
    """

    place: int
    name: str
    minus: str
    seeds: str
    text: str
    verdict: str
    why: str
    at: float | None
    start: float | None
    length: float | None


@dataclass(frozen=True)
class EffectPanel:
    """The effects on one data set: title, title of the metric, and rows."""

    title: str
    metric: str
    rows: tuple[EffectRow, ...]


@dataclass(frozen=True)
class EffectsFigure:
    """All panels on one axis: ticks (position in percent, text) and the position of zero."""

    panels: tuple[EffectPanel, ...]
    ticks: tuple[tuple[float, str], ...]
    zero: float


def effects_figure(analysis: StudyAnalysis) -> EffectsFigure | None:
    """Return the figure, or None if the study has no comparison in a metric between 0 and 1."""
    shown = [one for one in analysis.data if one.comparisons and METRICS[one.metric].bounds == (0.0, 1.0)]
    ends = [end for one in shown for item in one.comparisons for end in _signed(item) if end is not None]
    if not ends:
        return None
    low, high = min(0.0, *ends), max(0.0, *ends)
    steps = MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(100 * low, 100 * max(high, low + 0.01))
    first, last = float(steps[0]), float(steps[-1])

    def position(value: float) -> float:
        return round(100 * (100 * value - first) / (last - first), 2)

    panels = tuple(
        EffectPanel(one.title, METRICS[one.metric].title, tuple(_row(one, item, position) for item in one.comparisons))
        for one in shown
    )
    ticks = tuple((position(float(step) / 100), _number(float(step), digits=None)) for step in steps)
    return EffectsFigure(panels, ticks, position(0.0))


def _row(one: DataAnalysis, item: StudyComparison, position: Callable[[float], float]) -> EffectRow:
    value, low, high = _signed(item)
    text = "–" if value is None else f"{_number(100 * value)}"
    if low is not None and high is not None:
        text += f" ({_number(100 * low)} to {_number(100 * high)})"
    at, start, end = (None if edge is None or item.not_tested else position(edge) for edge in (value, low, high))
    return EffectRow(
        list(one.methods).index(item.first),
        item.first,
        item.second,
        format_seeds(len(one.methods[item.first].records)),
        text,
        verdict(item),
        item.not_tested,
        at,
        start,
        None if start is None or end is None else round(end - start, 2),
    )


def _signed(item: StudyComparison) -> tuple[float | None, float | None, float | None]:
    """Return an effect and the ends of its interval, positive if the first method is better."""
    found = item.difference
    if METRICS[item.metric].higher_is_better:
        return found.value, found.low, found.high
    value, low, high = (None if end is None else -end for end in (found.value, found.high, found.low))
    return value, low, high


def _number(value: float, digits: int | None = 1) -> str:
    text = f"{value:+g}" if digits is None else f"{value:+.{digits}f}"
    return "0" if digits is None and value == 0 else text.replace("-", "−")
