"""Training curves on the report page, and the panel that shows whether an auxiliary task had an effect."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from auxface.evaluation.metrics import METRICS
from auxface.evaluation.report.charts import Line, line_chart
from auxface.evaluation.report.corruption_panels import CurvePanel
from auxface.evaluation.results import Audit

Curves = Mapping[str, pd.DataFrame]
"""Training log of each model, by name."""

_NOT_SERIES = {"epoch", "step", "seconds", "learning_rate", "model"}
_RATIO, _SKILL = ".gradient_ratio", "skill."


@dataclass(frozen=True)
class AuxiliaryPanel:
    """The panel on auxiliary tasks.

    Attributes:
        sentences: color index, name and sentence of each model that was trained with an auxiliary task.
        curves: charts of the panel.
        columns: columns of the training logs that the charts show.
    """

    sentences: tuple[tuple[int, str, str], ...]
    curves: tuple[CurvePanel, ...]
    columns: frozenset[str]


@dataclass(frozen=True)
class _Chart:
    """The series of one small chart: the log columns drawn as solid and dashed lines, and their names."""

    title: str
    solid: str
    dashed: str = ""
    dashed_name: str = ""


def auxiliary_panel(audit: Audit, curves: Curves | None) -> AuxiliaryPanel | None:
    """Return the panel on auxiliary tasks; None if no model of the audit was trained with one.

    The sentences are those printed at the end of training, which the tables store as ``auxiliary_effect`` in their
    provenance.
    """
    names = list(audit.models)
    found = {name: str(model.provenance.get("auxiliary_effect") or "") for name, model in audit.models.items()}
    sentences = tuple((names.index(name), name, sentence) for name, sentence in found.items() if sentence)
    if not sentences:
        return None
    curves = {name: frame for name, frame in (curves or {}).items() if name in names}
    panels: list[CurvePanel] = []
    columns: set[str] = set()
    for chart in _auxiliary_charts(curves):
        solid, dashed = _lines(chart.solid, curves, names), _lines(chart.dashed, curves, names, dashed=True)
        title = f"{chart.title} (dashed: {chart.dashed_name})" if dashed else chart.title
        if solid or dashed:
            panels.append(_panel(f"auxiliary-{chart.solid}", title, [*solid, *dashed], curves))
            columns |= {chart.solid, chart.dashed}
    return AuxiliaryPanel(sentences, tuple(panels), frozenset(columns))


def training_curves(curves: Curves, models: Sequence[str], omitted: Collection[str] = ()) -> list[CurvePanel]:
    """Return one small chart per series of the training logs: validation metrics first, then losses.

    Args:
        curves: training log of each model, by name.
        models: model names in the order of their colors.
        omitted: columns of the logs to omit.
    """
    names = [*models, *(name for name in curves if name not in models)]
    series = [column for column in _columns(curves) if column not in omitted]
    panels = []
    drawn: list[list[Line]] = []
    for column in sorted(series, key=lambda item: (not item.startswith("val."), series.index(item))):
        lines = _lines(column, curves, names)
        # With a single task, the loss of the task equals the total loss.
        if lines and lines not in drawn:
            drawn.append(lines)
            metric = column.removeprefix("val.")
            title = f"{'validation ' if column.startswith('val.') else ''}{_words(metric).replace('.', ': ')}"
            percent = column.startswith("val.") and metric in METRICS and METRICS[metric].percent
            panels.append(_panel(f"training-{column}", title, lines, curves, percent=percent))
    return panels


def _auxiliary_charts(curves: Curves) -> Iterator[_Chart]:
    """Yield the charts of each auxiliary task whose gradient ratio or skill is in the logs."""
    columns = _columns(curves)
    auxiliaries = {column.removesuffix(_RATIO): None for column in columns if column.endswith(_RATIO)}
    for column in columns:
        if column.startswith("val.") and f".{_SKILL}" in column:
            auxiliaries[column.removeprefix("val.").partition(f".{_SKILL}")[0]] = None
    for name in auxiliaries:
        prefix = f"{_words(name)}: " if len(auxiliaries) > 1 else ""
        yield _Chart(f"{prefix}gradient ratio", f"{name}{_RATIO}", f"{name}.set_ratio", "set value")
        yield _Chart(f"{prefix}cosine of the gradients", f"{name}.cosine")
        for target in dict.fromkeys(_targets(columns, name)):
            skill = f"{name}.{_SKILL}{target}"
            title = f"{prefix}validation skill, {_words(target)}"
            yield _Chart(title, f"val.{skill}", skill, "training")
        yield _Chart(f"{prefix}auxiliary loss", f"{name}.loss")
        yield _Chart(f"{prefix}weighted loss", f"{name}.weighted", "primary.weighted", "task")
        yield _Chart(f"{prefix}weight", f"{name}.weight", "primary.weight", "task")


def _targets(columns: Sequence[str], name: str) -> Iterator[str]:
    for column in columns:
        before, skill, target = column.removeprefix("val.").partition(f".{_SKILL}")
        if skill and before == name:
            yield target


def _columns(curves: Curves) -> list[str]:
    numeric = (
        str(column)
        for frame in curves.values()
        for column in frame.columns
        if column not in _NOT_SERIES and pd.api.types.is_numeric_dtype(frame[column])
    )
    return list(dict.fromkeys(numeric))


def _lines(column: str, curves: Curves, names: Sequence[str], *, dashed: bool = False) -> list[Line]:
    """Return the line of every model whose log has the column; ``names`` gives their colors."""
    lines = []
    for model, frame in curves.items():
        if column in frame.columns and frame[column].notna().any():
            known = frame[frame[column].notna()]
            at = known["epoch"] if "epoch" in known else known["step"] if "step" in known else pd.Series(known.index)
            x, y = at.to_numpy(float).tolist(), known[column].to_numpy(float).tolist()
            lines.append(Line(names.index(model), x, y, dashed=dashed))
    return lines


def _panel(name: str, title: str, lines: Sequence[Line], curves: Curves, *, percent: bool = False) -> CurvePanel:
    unit = "epoch" if any("epoch" in frame for frame in curves.values()) else "step"
    # A line through a single epoch is invisible without a marker.
    marked = all(len(line.x) == 1 for line in lines)
    svg = line_chart(name, lines, x_label=unit, percent=percent, marked=marked)
    ends = "; ".join(f"{'dashed ' if line.dashed else ''}from {line.y[0]:.3g} to {line.y[-1]:.3g}" for line in lines)
    return CurvePanel(title, svg, f"{title} over {unit}s: {ends}")


def _words(name: str) -> str:
    return name.replace("_", " ")
