"""Prepare the sections of a study's page, with their tables and charts, from its analysis."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auxface.evaluation.intervals import Estimate
from auxface.evaluation.metrics import METRICS, decision_metric, format_value
from auxface.evaluation.report.charts import SERIES, IntervalChart, Line, interval_chart, line_chart
from auxface.evaluation.report.corruption_panels import CurvePanel
from auxface.evaluation.report.wording import Cell, metric_cell
from auxface.studies.analysis import DataAnalysis, StudyAnalysis, StudyComparison
from auxface.studies.conclusions import (
    format_difference,
    format_interval,
    format_p,
    format_seeds,
    gap_verdict,
    groups_with_gap,
    means_columns,
    verdict,
)


@dataclass(frozen=True)
class TableRow:
    """A row of a table: color index (None for a simple baseline), name, note and cells."""

    place: int | None
    name: str
    note: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A table: column headings with their explanations, and rows."""

    headings: tuple[tuple[str, str], ...]
    rows: tuple[TableRow, ...]


@dataclass(frozen=True)
class DifferenceRow:
    """A row of the table of differences."""

    place: int
    first: str
    second: str
    value: str
    interval: str
    p: str
    corrected: str
    verdict: str


@dataclass(frozen=True)
class DataSection:
    """The page's section on one data set."""

    title: str
    task: str
    samples: int
    clusters: int
    names: tuple[str, ...]
    means: Table
    chart: IntervalChart | None
    references: tuple[tuple[int, str], ...]
    differences: tuple[DifferenceRow, ...]
    groups: Table | None
    corruption: Table | None
    cost: Table
    curve: CurvePanel | None


def data_section(one: DataAnalysis, metric: str) -> DataSection:
    """Return the section on one data set."""
    names = list(one.methods)
    plain = [name for name, known in one.baselines.items() if metric in known]
    order = [*names, *plain]
    chart = interval_chart(
        metric,
        {name: {name: method.overall[metric]} for name, method in one.methods.items()},
        {name: Estimate(one.baselines[name][metric], None, None, 0, 0) for name in plain},
        order,
    )
    return DataSection(
        title=one.title,
        task=one.task.name,
        samples=one.samples,
        clusters=one.clusters,
        names=tuple(names),
        means=_means(one, metric),
        chart=chart,
        references=tuple(
            (order.index(name), f"{name} {format_value(metric, one.baselines[name][metric])}") for name in plain
        ),
        differences=tuple(
            DifferenceRow(
                names.index(item.first),
                item.first,
                item.second,
                format_difference(metric, item.difference.value),
                format_interval(metric, item.difference),
                format_p(item.p),
                format_p(item.p_holm),
                verdict(item),
            )
            for item in one.comparisons
        ),
        groups=_groups(one),
        corruption=_corruption(one),
        cost=_cost(one, metric),
        curve=_learning_curve(one, _drawn_methods(one, metric)),
    )


def _means(one: DataAnalysis, metric: str) -> Table:
    metrics = means_columns(one, metric)
    rows = [
        TableRow(
            place,
            name,
            format_seeds(len(method.records)),
            tuple(metric_cell(item, method.overall.get(item)) for item in metrics),
        )
        for place, (name, method) in enumerate(one.methods.items())
    ]
    for name, known in one.baselines.items():
        cells = tuple(metric_cell(item, Estimate(known.get(item), None, None, 0, 0)) for item in metrics)
        rows.append(TableRow(None, name, "simple baseline", cells))
    return Table(tuple((METRICS[item].title, METRICS[item].meaning) for item in metrics), tuple(rows))


def _groups(one: DataAnalysis) -> Table | None:
    metric = decision_metric(one.task.kind)
    groups = groups_with_gap(one)
    if not groups:
        return None
    headings = []
    for name in groups:
        headings += [
            (f"{name}: worst level", f"{METRICS[metric].title} of the worst level"),
            (f"{name}: gap", "best level minus worst level, mean over seeds"),
            (f"{name}: change of the gap", "gap minus the baseline's gap; negative: narrower"),
        ]
    changes = {(item.first, item.group): item for item in one.gap_comparisons}
    rows = []
    for place, (name, method) in enumerate(one.methods.items()):
        cells = []
        for group in groups:
            cells += [metric_cell(metric, method.worst.get(group)), metric_cell(metric, method.gap.get(group))]
            cells.append(_gap_change(metric, changes.get((name, group))))
        rows.append(TableRow(place, name, "", tuple(cells)))
    return Table(tuple(headings), tuple(rows))


def _gap_change(metric: str, item: StudyComparison | None) -> Cell:
    if item is None:
        return Cell("–", "", None)
    value, interval = format_difference(metric, item.difference.value), format_interval(metric, item.difference)
    return Cell(value, f"{interval}, {gap_verdict(item)}", None)


def _corruption(one: DataAnalysis) -> Table | None:
    metric = decision_metric(one.task.kind)
    if not any(method.under_corruption for method in one.methods.values()):
        return None
    rows = []
    for place, (name, method) in enumerate(one.methods.items()):
        clean, corrupted = method.overall[metric], method.under_corruption
        change = "–"
        if corrupted is not None and corrupted.value is not None and clean.value is not None:
            change = format_difference(metric, corrupted.value - clean.value)
        cells = (metric_cell(metric, clean), metric_cell(metric, corrupted), Cell(change, "", None))
        rows.append(TableRow(place, name, "", cells))
    title = METRICS[metric].title
    headings = (
        (title, "on the original test images"),
        (f"{title} under corruption", "mean over corruptions and severities"),
        ("change", "under corruption minus original"),
    )
    return Table(headings, tuple(rows))


def _cost(one: DataAnalysis, metric: str) -> Table:
    comparisons = {item.first: item for item in one.comparisons}
    baseline_seconds = {item.first: one.methods[item.second].training_seconds() for item in one.comparisons}
    rows = []
    for place, (name, method) in enumerate(one.methods.items()):
        seconds, baseline = method.training_seconds(), baseline_seconds.get(name)
        relative = f"{seconds / baseline:.2f} × the baseline" if baseline else ""
        gain = comparisons.get(name)
        cells = (
            Cell(_duration(seconds), relative, None),
            Cell(f"{method.peak_memory_gib():.2f} GiB", "", None),
            Cell(f"{method.encoder_parameters():,}", "", None),
            Cell(
                format_difference(metric, gain.difference.value) if gain else "–", verdict(gain) if gain else "", None
            ),
        )
        rows.append(TableRow(place, name, "", cells))
    headings = (
        ("training", "time of one run"),
        ("peak memory", "of the process, or of the GPU"),
        ("parameters", "of the encoder, which is the part used after training"),
        ("gain", f"difference in {METRICS[metric].title} from the baseline"),
    )
    return Table(headings, tuple(rows))


def _duration(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 36000 else f"{seconds / 3600:.1f} h"


def _drawn_methods(one: DataAnalysis, metric: str) -> list[str]:
    """Return as many methods as the chart has colors: first the baselines, then the best methods."""
    baselines = list(dict.fromkeys(item.second for item in one.comparisons))
    sign = 1 if METRICS[metric].higher_is_better else -1
    best = sorted(one.methods, key=lambda name: -sign * (one.methods[name].overall[metric].value or 0))
    return list(dict.fromkeys([*baselines, *best]))[:SERIES]


def _learning_curve(one: DataAnalysis, drawn: Sequence[str]) -> CurvePanel | None:
    """Return a chart of the validation metric over epochs: the mean over seeds, with a band from minimum to maximum."""
    names = list(one.methods)
    lines = []
    metric = ""
    for name in drawn:
        curves = [record["curve"] for record in one.methods[name].records.values()]
        column = next((key for key in curves[0][0] if key.startswith("val.")), None) if curves[0] else None
        if column is None:
            continue
        metric = column.removeprefix("val.")
        epochs = min(len(curve) for curve in curves)
        validated = [at for at in range(epochs) if all(curve[at].get(column) is not None for curve in curves)]
        values = np.array([[curve[at][column] for at in validated] for curve in curves])
        x = [curves[0][at]["epoch"] for at in validated]
        low, high = values.min(axis=0).tolist(), values.max(axis=0).tolist()
        lines.append(Line(names.index(name), x, values.mean(axis=0).tolist(), low, high))
    if not lines:
        return None
    percent = metric in METRICS and METRICS[metric].percent
    svg = line_chart(f"learning-{one.title}", lines, x_label="epoch", percent=percent, marked=False)
    title = METRICS[metric].title if metric in METRICS else metric
    return CurvePanel(f"{one.title}: {title} on the validation split", svg, f"{title} of {len(lines)} methods by epoch")


def label_fraction_curves(analysis: StudyAnalysis) -> list[CurvePanel]:
    """Return a chart of the metric against the fraction of the labels for each data set with several fractions."""
    metric = analysis.metric
    panels = []
    for name in dict.fromkeys(one.name for one in analysis.data):
        parts = sorted((one for one in analysis.data if one.name == name), key=lambda one: one.label_fraction)
        if len(parts) < 2:
            continue
        names = list(parts[-1].methods)
        lines = []
        for place, method in enumerate(names[:SERIES]):
            known = [
                (at, one.methods[method].overall[metric])
                for at, one in enumerate(parts)
                if method in one.methods and one.methods[method].overall[metric].value is not None
            ]
            y = [float(estimate.value or 0) for _, estimate in known]
            low = [y[at] if item.low is None else item.low for at, (_, item) in enumerate(known)]
            high = [y[at] if item.high is None else item.high for at, (_, item) in enumerate(known)]
            lines.append(Line(place, [at for at, _ in known], y, low, high))
        svg = line_chart(
            f"labels-{name}",
            lines,
            x_label="fraction of the labels",
            percent=METRICS[metric].percent,
            x_names=[f"{one.label_fraction:.0%}" for one in parts],
        )
        ends = [
            f"{names[line.place]} from {format_value(metric, line.y[0])} to {format_value(metric, line.y[-1])}"
            for line in lines
            if line.y
        ]
        panels.append(CurvePanel(name, svg, f"{name}: {'; '.join(ends)}"))
    return panels
