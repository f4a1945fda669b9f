"""Prepare the sections of a study's page, with their tables and charts, from its analysis."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auxface.evaluation.intervals import Estimate
from auxface.evaluation.metrics import METRICS, decision_metric, format_value
from auxface.evaluation.report.charts import SERIES, IntervalChart, Line, interval_chart, line_chart
from auxface.evaluation.report.corruption_panels import CurvePanel
from auxface.evaluation.report.wording import Cell, metric_cell
from auxface.studies.analysis import DataAnalysis, StudyAnalysis
from auxface.studies.comparisons import StudyComparison
from auxface.studies.conclusions import (
    AUXILIARY_HEADINGS,
    auxiliary_cells,
    auxiliary_checks,
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
    """The page's section on one task of a data set."""

    title: str
    task: str
    metric: str
    samples: int
    clusters: int
    names: tuple[str, ...]
    means: Table
    chart: IntervalChart | None
    references: tuple[tuple[int, str], ...]
    differences: tuple[DifferenceRow, ...]
    auxiliaries: Table | None
    groups: Table | None
    corruption: Table | None
    cost: Table
    curve: CurvePanel | None


def data_section(one: DataAnalysis) -> DataSection:
    """Return the section on one task of a data set."""
    metric = one.metric
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
        metric=METRICS[metric].title,
        samples=one.samples,
        clusters=one.clusters,
        names=tuple(names),
        means=_means(one),
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
        auxiliaries=_auxiliaries(one),
        groups=_groups(one),
        corruption=_corruption(one),
        cost=_cost(one),
        curve=_learning_curve(one, _drawn_methods(one)),
    )


def _means(one: DataAnalysis) -> Table:
    metrics = means_columns(one)
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


def _auxiliaries(one: DataAnalysis) -> Table | None:
    names = list(one.methods)
    rows = [
        TableRow(names.index(name), name, "", tuple(Cell(text, "", None) for text in auxiliary_cells(check)))
        for name, check in auxiliary_checks(one).items()
    ]
    return Table(AUXILIARY_HEADINGS, tuple(rows)) if rows else None


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


def _cost(one: DataAnalysis) -> Table:
    metric = one.metric
    comparisons = {item.first: item for item in one.comparisons if not item.with_control}
    baseline_seconds = {name: one.methods[item.second].training_seconds() for name, item in comparisons.items()}
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


def _drawn_methods(one: DataAnalysis) -> list[str]:
    """Return as many methods as the chart has colors: first the baselines, then the best methods."""
    metric = one.metric
    baselines = list(dict.fromkeys(item.second for item in one.comparisons if not item.with_control))
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
        # The name of an auxiliary's skill contains further points.
        column = next((key for key in curves[0][-1] if re.fullmatch(r"val\.\w+", key)), None) if curves[0] else None
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
    panels = []
    for name, task in dict.fromkeys((one.name, one.task.name) for one in analysis.data):
        found = [one for one in analysis.data if (one.name, one.task.name) == (name, task)]
        parts = sorted(found, key=lambda one: one.label_fraction)
        if len(parts) < 2:
            continue
        metric = parts[0].metric
        name = f"{name}: {task.replace('_', ' ')}" if parts[0].several_tasks else name
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
