"""Charts of the report page: line charts as inline SVG, and interval charts as positions in percent.

Line charts take their colors and font from the page. Interval charts are drawn with HTML and CSS and fit any width.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, MaxNLocator

from auxface.evaluation.intervals import Estimate
from auxface.evaluation.metrics import METRICS, format_value

# Charts are drawn in these colors, which are then replaced with CSS variables for light and dark mode.
_INK, _FAINT = "#010203", "#040506"
_SERIES = tuple(f"#0a0b{place:02x}" for place in range(8))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SERIES = len(_SERIES)


@dataclass(frozen=True)
class Line:
    """One curve: x, y and, if known, the limits of its band; ``place`` is the index of its color and marker."""

    place: int
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    dashed: bool = False


def line_chart(
    name: str,
    lines: Sequence[Line],
    *,
    x_label: str,
    percent: bool,
    limits: tuple[float, float] | None = None,
    whole_x: bool = True,
    x_names: Sequence[str] | None = None,
    diagonal: bool = False,
    marked: bool = True,
) -> str:
    """Draw a line chart and return it as an SVG element of 245 by 166 points.

    Args:
        name: name of the chart, from which the ids in the SVG are derived; it must be unique on the page.
        lines: curves to draw.
        x_label: label of the x axis.
        percent: whether y is shown in percent.
        limits: limits of the y axis.
        whole_x: whether ticks of the x axis are integers.
        x_names: tick labels at x = 0, 1, ..., used in place of numbers.
        diagonal: whether to draw the line y = x.
        marked: whether to draw a marker at each point.
    """
    from matplotlib import rc_context

    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.size": 10,
        "text.parse_math": False,
        "axes.edgecolor": _FAINT,
        "axes.labelcolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
    }
    with rc_context(style):
        canvas = Canvas(figsize=(3.4, 2.3), dpi=100, layout="constrained")
        FigureCanvasSVG(canvas)
        axes = canvas.add_subplot()
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.grid(axis="y", color=_FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        if diagonal:
            axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=1)
        for line in lines:
            color = _SERIES[line.place % SERIES]
            if line.low is not None and line.high is not None:
                axes.fill_between(line.x, line.low, line.high, color=color, alpha=0.13, linewidth=0)
            axes.plot(
                line.x,
                line.y,
                color=color,
                linewidth=1.7,
                linestyle=(0, (4, 2)) if line.dashed else "solid",
                marker=MARKERS[line.place % SERIES] if marked else None,
                markersize=4.5,
                clip_on=False,
            )
        axes.set_xlabel(x_label)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=whole_x))
        if x_names is not None:
            axes.set_xticks(range(len(x_names)), x_names)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        if limits is not None:
            axes.set_ylim(*limits)
        if percent:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}%"))
        return _inline(canvas)


def _inline(canvas: Canvas) -> str:
    sink = io.StringIO()
    canvas.savefig(sink, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = sink.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r"font: [^;\"]*;?", "", svg)
    colors: Mapping[str, str] = {_INK: "--muted", _FAINT: "--rule"} | {
        color: f"--series-{place}" for place, color in enumerate(_SERIES)
    }
    for color, name in colors.items():
        svg = svg.replace(color, f"var({name})")
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', svg, count=1)
    return svg.strip()


@dataclass(frozen=True)
class Mark:
    """The value of one model in one row; positions are in percent of the axis, or None if there is nothing to draw."""

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
    """One level: its name, its number of samples, and one mark per model."""

    label: str
    count: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class IntervalChart:
    """Rows on a common axis, with ticks (position in percent, text) and references (position, index of the color)."""

    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, str], ...]
    references: tuple[tuple[float, int], ...]


def interval_chart(
    metric: str, levels: Mapping[str, Mapping[str, Estimate]], overall: Mapping[str, Estimate], places: Sequence[str]
) -> IntervalChart | None:
    """Return a chart of levels and models; None if no level has a value.

    Args:
        metric: name of the metric shown.
        levels: estimates by level and model.
        overall: estimate over all samples for each model, drawn as a vertical line.
        places: model names in the order of their colors.
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
        span = (
            "" if length is None else f"{format_value(metric, estimate.low)} to {format_value(metric, estimate.high)}"
        )
        text = format_value(metric, estimate.value)
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
