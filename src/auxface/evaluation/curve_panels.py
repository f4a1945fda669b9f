"""Curves that are no damage: training logs, and the reliability diagram."""

from collections.abc import Mapping, Sequence

import pandas as pd

from auxface.evaluation.charts import Line, line_chart
from auxface.evaluation.damage_panels import CurvePanel
from auxface.evaluation.results import TaskAudit
from auxface.evaluation.vocabulary import METRICS

_NOT_SERIES = {"epoch", "step", "seconds", "learning_rate", "model"}
# Bins with fewer samples than this jump about and say nothing.
_SHOWN_BIN = 10


def training_curves(curves: Mapping[str, pd.DataFrame], models: Sequence[str]) -> list[CurvePanel]:
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
        known = {
            model: frame[frame[name].notna()]
            for model, frame in curves.items()
            if name in frame.columns and frame[name].notna().any()
        }
        lines = [_line(names.index(model), frame, name) for model, frame in known.items()]
        if lines:
            unit = "epoch" if any("epoch" in frame for frame in curves.values()) else "step"
            metric = name.removeprefix("val.")
            title = f"validation {metric.replace('_', ' ')}" if name.startswith("val.") else metric.replace("_", " ")
            share = name.startswith("val.") and metric in METRICS and METRICS[metric].percent
            svg = line_chart(f"training-{name}", lines, x_label=unit, percent=share, marked=False)
            panels.append(CurvePanel(title, svg, f"{title} over {unit}s of {len(lines)} models"))
    return panels


def reliability_diagram(task: str, found: Mapping[str, TaskAudit], places: Sequence[str]) -> CurvePanel | None:
    """How often a score was right, against the score; None where no scores are probabilities."""
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
    said = "; ".join(f"{places[line.place]}: {len(line.x)} bins" for line in lines)
    return CurvePanel(
        "Score against frequency", svg, f"Share that was right against the score, by bins of score. {said}"
    )


def _line(place: int, frame: pd.DataFrame, name: str) -> Line:
    x = frame["epoch"] if "epoch" in frame else frame["step"] if "step" in frame else pd.Series(range(len(frame)))
    return Line(place, x.to_numpy(float).tolist(), frame[name].to_numpy(float).tolist())
