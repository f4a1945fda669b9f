"""Line charts as inline SVG that takes its colours and type from the page."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, MaxNLocator

# Drawn in these colours, then replaced by the page's variables, so that a chart follows light, dark and print.
_INK, _FAINT = "#010203", "#040506"
_SERIES = tuple(f"#0a0b{place:02x}" for place in range(8))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SERIES = len(_SERIES)


@dataclass(frozen=True)
class Line:
    """One curve: x, y and, where known, the ends of its band; ``place`` chooses colour and marker."""

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
    """An SVG element of 245 by 166 points; ``name`` is unique on the page, so that its ids are.

    ``x_names`` are written below x = 0, 1, ... in place of numbers.
    """
    from matplotlib import rc_context

    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.size": 10,
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
            colour = _SERIES[line.place % SERIES]
            if line.low is not None and line.high is not None:
                axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.13, linewidth=0)
            axes.plot(
                line.x,
                line.y,
                color=colour,
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
    colours: Mapping[str, str] = {_INK: "--muted", _FAINT: "--rule"} | {
        colour: f"--series-{place}" for place, colour in enumerate(_SERIES)
    }
    for colour, name in colours.items():
        svg = svg.replace(colour, f"var({name})")
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', svg, count=1)
    return svg.strip()
