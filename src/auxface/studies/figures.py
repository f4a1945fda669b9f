"""What the page shows of each data set, arranged from the evidence.

Demšar's diagram: methods on an axis of mean ranks, bars over those that are not told apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from auxface.evaluation.intervals import Estimate
from auxface.evaluation.metrics import METRICS, decision_metric, format_value
from auxface.evaluation.report.charts import SERIES, IntervalChart, Line, interval_chart, line_chart
from auxface.evaluation.report.corruption_panels import CurvePanel
from auxface.evaluation.report.table_cell import Cell, metric_cell
from auxface.studies.evidence import DataEvidence, Evidence, StudyComparison
from auxface.studies.statistics import Ranks
from auxface.studies.wording import chance, gap_verdict, measured_groups, points, shown_metrics, span_of_points, verdict


@dataclass(frozen=True)
class TableRow:
    """A row of a table: place of its color (None for what is no method), name, a small note, cells."""

    place: int | None
    name: str
    note: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """Headings with what they mean, and rows."""

    headings: tuple[tuple[str, str], ...]
    rows: tuple[TableRow, ...]


@dataclass(frozen=True)
class Difference:
    """A row of the table of differences."""

    place: int
    first: str
    second: str
    value: str
    span: str
    p: str
    corrected: str
    verdict: str


@dataclass(frozen=True)
class DataView:
    """Everything the page shows of a data set."""

    title: str
    task: str
    samples: int
    clusters: int
    names: tuple[str, ...]
    means: Table
    chart: IntervalChart | None
    references: tuple[tuple[int, str], ...]
    differences: tuple[Difference, ...]
    groups: Table | None
    damage: Table | None
    cost: Table
    curve: CurvePanel | None
    drawn: int


def data_view(one: DataEvidence, metric: str) -> DataView:
    """Arrange one data set."""
    names = list(one.rows)
    metrics = shown_metrics(one, metric)
    rows = [
        TableRow(
            place, name, _seeds(len(row.lines)), tuple(metric_cell(item, row.overall.get(item)) for item in metrics)
        )
        for place, (name, row) in enumerate(one.rows.items())
    ]
    for name, known in one.baselines.items():
        cells = tuple(metric_cell(item, Estimate(known.get(item), None, None, 0, 0)) for item in metrics)
        rows.append(TableRow(None, name, "plain baseline", cells))
    plain = [name for name, known in one.baselines.items() if metric in known]
    places = [*names, *plain]
    chart = interval_chart(
        metric,
        {name: {name: row.overall[metric]} for name, row in one.rows.items()},
        {name: Estimate(one.baselines[name][metric], None, None, 0, 0) for name in plain},
        places,
    )
    drawn = _drawn(one, metric)
    return DataView(
        one.title,
        one.task.name,
        one.samples,
        one.clusters,
        tuple(names),
        Table(tuple((METRICS[item].title, METRICS[item].meaning) for item in metrics), tuple(rows)),
        chart,
        tuple((places.index(name), f"{name} {format_value(metric, one.baselines[name][metric])}") for name in plain),
        tuple(
            Difference(
                names.index(item.first),
                item.first,
                item.second,
                points(metric, item.difference.value),
                span_of_points(metric, item.difference),
                chance(item.p),
                chance(item.p_holm),
                verdict(item),
            )
            for item in one.comparisons
        ),
        _groups(one),
        _damage(one),
        _cost(one, metric),
        learning_curve(one, metric, drawn),
        len(drawn),
    )


def efficiency_curves(evidence: Evidence) -> list[CurvePanel]:
    """Per data set with several shares of the labels: the metric against the share."""
    metric = evidence.metric
    panels = []
    for name in dict.fromkeys(one.name for one in evidence.data):
        parts = sorted((one for one in evidence.data if one.name == name), key=lambda one: one.label_fraction)
        if len(parts) < 2:
            continue
        shares = [one.label_fraction for one in parts]
        names = list(parts[-1].rows)
        lines = []
        for place, method in enumerate(names[:SERIES]):
            known = [
                (at, one.rows[method].overall[metric])
                for at, one in enumerate(parts)
                if method in one.rows and one.rows[method].overall[metric].value is not None
            ]
            y = [float(estimate.value or 0) for _, estimate in known]
            low = [y[at] if item.low is None else item.low for at, (_, item) in enumerate(known)]
            high = [y[at] if item.high is None else item.high for at, (_, item) in enumerate(known)]
            lines.append(Line(place, [at for at, _ in known], y, low, high))
        svg = line_chart(
            f"labels-{name}",
            lines,
            x_label="share of the labels",
            percent=METRICS[metric].percent,
            x_names=[f"{share:.0%}" for share in shares],
        )
        said = "; ".join(
            f"{names[line.place]} from {format_value(metric, line.y[0])} to {format_value(metric, line.y[-1])}"
            for line in lines
            if line.y
        )
        panels.append(CurvePanel(name, svg, f"{name}: {said}"))
    return panels


def learning_curve(one: DataEvidence, metric: str, drawn: Sequence[str]) -> CurvePanel | None:
    """The validation figure over the epochs: mean over seeds, and the band from the lowest to the highest."""
    names = list(one.rows)
    lines = []
    title = ""
    for name in drawn:
        curves = [line["curve"] for line in one.rows[name].lines.values()]
        series = next((key for key in curves[0][0] if key.startswith("val.")), None) if curves[0] else None
        if series is None:
            continue
        title = series.removeprefix("val.")
        epochs = min(len(curve) for curve in curves)
        looks = [at for at in range(epochs) if all(curve[at].get(series) is not None for curve in curves)]
        values = np.array([[curve[at][series] for at in looks] for curve in curves])
        x = [curves[0][at]["epoch"] for at in looks]
        low, high = values.min(axis=0).tolist(), values.max(axis=0).tolist()
        lines.append(Line(names.index(name), x, values.mean(axis=0).tolist(), low, high))
    if not lines:
        return None
    percent = title in METRICS and METRICS[title].percent
    svg = line_chart(f"learning-{one.title}", lines, x_label="epoch", percent=percent, marked=False)
    shown_title = METRICS[title].title if title in METRICS else title
    return CurvePanel(
        f"{one.title}: {shown_title} on validation", svg, f"{shown_title} over epochs of {len(lines)} methods"
    )


def _drawn(one: DataEvidence, metric: str) -> list[str]:
    """As many methods as there are colors: the baselines of comparisons, then the best."""
    bases = list(dict.fromkeys(item.second for item in one.comparisons))
    sign = 1 if METRICS[metric].higher_is_better else -1
    best = sorted(one.rows, key=lambda name: -sign * (one.rows[name].overall[metric].value or 0))
    return list(dict.fromkeys([*bases, *best]))[:SERIES]


def _groups(one: DataEvidence) -> Table | None:
    metric = decision_metric(one.task.kind)
    groups = measured_groups(one)
    if not groups:
        return None
    headings = []
    for name in groups:
        headings += [
            (f"{name}: worst", f"{METRICS[metric].title} of the worst level"),
            (f"{name}: gap", "best level minus worst, mean over seeds"),
            (f"{name}: change of the gap", "gap less that of the baseline; below nought it is narrower"),
        ]
    changes = {(item.first, item.group): item for item in one.gap_comparisons}
    rows = []
    for place, (name, row) in enumerate(one.rows.items()):
        cells = []
        for group in groups:
            cells += [metric_cell(metric, row.worst.get(group)), metric_cell(metric, row.gap.get(group))]
            cells.append(_change(metric, changes.get((name, group))))
        rows.append(TableRow(place, name, "", tuple(cells)))
    return Table(tuple(headings), tuple(rows))


def _change(metric: str, item: StudyComparison | None) -> Cell:
    if item is None:
        return Cell("–", "", None)
    value, span = points(metric, item.difference.value), span_of_points(metric, item.difference)
    return Cell(value, f"{span}, {gap_verdict(item)}", None)


def _damage(one: DataEvidence) -> Table | None:
    metric = decision_metric(one.task.kind)
    if not any(row.damaged for row in one.rows.values()):
        return None
    rows = []
    for place, (name, row) in enumerate(one.rows.items()):
        clean, damaged = row.overall[metric], row.damaged
        kept = "–"
        if damaged is not None and damaged.value is not None and clean.value is not None:
            kept = points(metric, damaged.value - clean.value)
        cells = (metric_cell(metric, clean), metric_cell(metric, damaged), Cell(kept, "", None))
        rows.append(TableRow(place, name, "", cells))
    title = METRICS[metric].title
    headings = ((title, "as taken"), (f"{title} under damage", "mean over damages and severities"), ("lost", ""))
    return Table(headings, tuple(rows))


def _cost(one: DataEvidence, metric: str) -> Table:
    gains = {item.first: item for item in one.comparisons}
    bases = {item.first: one.rows[item.second].seconds() for item in one.comparisons}
    rows = []
    for place, (name, row) in enumerate(one.rows.items()):
        seconds, base = row.seconds(), bases.get(name)
        times = f"{seconds / base:.2f} × the baseline" if base else ""
        gain = gains.get(name)
        cells = (
            Cell(_time(seconds), times, None),
            Cell(f"{row.memory():.2f} GiB", "", None),
            Cell(f"{row.parameters():,}", "", None),
            Cell(points(metric, gain.difference.value) if gain else "–", verdict(gain) if gain else "", None),
        )
        rows.append(TableRow(place, name, "", cells))
    headings = (
        ("training", "time of one run"),
        ("peak memory", "of the process, or of the GPU"),
        ("parameters", "of the encoder, which is all that is used after training"),
        ("gain", f"difference in {METRICS[metric].title} to the baseline"),
    )
    return Table(headings, tuple(rows))


def _time(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 600
        else f"{seconds / 60:.0f} min"
        if seconds < 36000
        else f"{seconds / 3600:.1f} h"
    )


def _seeds(count: int) -> str:
    return f"{count} seed" if count == 1 else f"{count} seeds"


# Space of the axis, and of a letter of the names beside it.
_AXIS, _LETTER = 340, 6.6
_TOP, _STEP, _BAR = 46, 20, 9


def critical_difference_diagram(ranks: Ranks) -> str:
    """An SVG element that takes color and type from the page; the best rank stands left."""
    names = list(ranks.mean)
    left_edge = 40 + _LETTER * max(map(len, names))
    right_edge = left_edge + _AXIS

    def place(rank: float) -> float:
        return left_edge + (rank - 1) / (len(names) - 1) * _AXIS

    half = (len(names) + 1) // 2
    bars = _TOP + 14
    first = bars + _BAR * len(ranks.groups) + 14
    height = first + _STEP * half + 6
    parts = [f'<svg viewBox="0 0 {right_edge + left_edge:.0f} {height}" aria-hidden="true" class="ranks">']
    parts.append(_line(left_edge, _TOP, right_edge, _TOP, "axis"))
    for number in range(1, len(names) + 1):
        x = place(number)
        parts += [_line(x, _TOP - 5, x, _TOP, "axis"), _text(x, _TOP - 9, str(number), "middle")]
    reach = min(ranks.critical, len(names) - 1)
    end = place(1 + reach)
    parts += [
        _line(left_edge, 12, end, 12, "bar"),
        _text(end + 6, 16, f"critical difference {ranks.critical:.2f}", "start"),
    ]
    for number, group in enumerate(ranks.groups):
        y = bars + _BAR * number
        parts.append(
            _line(
                place(ranks.mean[group[0]]) - 4,
                y,
                place(ranks.mean[group[-1]]) + 4,
                y,
                "bar",
            )
        )
    for number, name in enumerate(names):
        left = number < half
        y = first + _STEP * (number if left else len(names) - 1 - number)
        x, edge = place(ranks.mean[name]), left_edge - 8 if left else right_edge + 8
        parts += [_line(x, _TOP, x, y, "lead"), _line(x, y, edge, y, "lead")]
        text = f"{name} {ranks.mean[name]:.2f}" if left else f"{ranks.mean[name]:.2f} {name}"
        parts.append(_text(edge + (-4 if left else 4), y + 4, text, "end" if left else "start"))
    return "".join([*parts, "</svg>"])


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
