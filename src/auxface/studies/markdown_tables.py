"""Write the tables of a study as Markdown, for documents."""

from collections.abc import Iterator, Sequence

from auxface.evaluation.intervals import Estimate
from auxface.evaluation.metrics import METRICS, decision_metric, table_metrics
from auxface.evaluation.report.formatting import metric_cell
from auxface.studies.analysis import DataAnalysis, StudyAnalysis
from auxface.studies.conclusions import conclusions, format_difference, format_interval, format_p, gap_verdict, verdict


def markdown_tables(analysis: StudyAnalysis) -> str:
    """Return the conclusions of a study and, per data set, its tables of means, differences, groups and cost."""
    return "\n".join(_lines(analysis)) + "\n"


def _lines(analysis: StudyAnalysis) -> Iterator[str]:
    state = f"{analysis.done} of {analysis.planned} runs done, {len(analysis.failed)} failed."
    yield " ".join([state, *analysis.notes])
    yield ""
    yield from (f"* {sentence}" for sentence in conclusions(analysis))
    for one in analysis.data:
        yield from ("", f"### {one.title}", "")
        yield f"Task `{one.task.name}`, {one.samples:,} test samples in {one.clusters:,} clusters."
        yield ""
        yield from _means(one, analysis.metric)
        if one.comparisons:
            yield ""
            yield from _differences(one, analysis.metric)
        if groups_with_gap(one):
            yield ""
            yield from _groups(one)
        yield ""
        yield from _cost(one)
    for record in analysis.failed:
        yield from ("", f"Failed: {record['data']}, {record['row']}, seed {record['seed']}: {record['why']}")


def means_columns(one: DataAnalysis, first: str) -> list[str]:
    """Return the metrics of the table of means, the compared one first."""
    measured = next(iter(one.methods.values())).overall
    return [first, *(name for name in table_metrics(one.task.kind) if name != first and name in measured)]


def groups_with_gap(one: DataAnalysis) -> list[str]:
    """Return the groups whose gap is defined."""
    return [name for name, gap in next(iter(one.methods.values())).gap.items() if gap.value is not None]


def _means(one: DataAnalysis, metric: str) -> Iterator[str]:
    metrics = means_columns(one, metric)
    decision = decision_metric(one.task.kind)
    corrupted = any(method.under_corruption for method in one.methods.values())
    last = [f"{METRICS[decision].title} under corruption"] if corrupted else []
    yield _row(["method", "seeds", *(METRICS[name].title for name in metrics), *last])
    yield _rule(2 + len(metrics) + len(last))
    for method in one.methods.values():
        cells = [_cell(name, method.overall.get(name)) for name in metrics]
        cells += [_cell(decision, method.under_corruption)] if corrupted else []
        yield _row([method.name, str(len(method.records)), *cells])
    for name, known in one.baselines.items():
        cells = [metric_cell(item, Estimate(known.get(item), None, None, 0, 0)).value for item in metrics]
        yield _row([f"*{name}*", "", *cells, *("–" for _ in last)])


def _differences(one: DataAnalysis, metric: str) -> Iterator[str]:
    yield _row([f"difference in {METRICS[metric].title}", "mean", "95% interval", "p", "p, corrected", "verdict"])
    yield _rule(6)
    for item in one.comparisons:
        yield _row(
            [
                f"{item.first} − {item.second}",
                format_difference(metric, item.difference.value),
                format_interval(metric, item.difference),
                format_p(item.p),
                format_p(item.p_holm),
                verdict(item),
            ]
        )


def _groups(one: DataAnalysis) -> Iterator[str]:
    metric = decision_metric(one.task.kind)
    groups = groups_with_gap(one)
    parts = ("worst level", "gap", "gap minus the baseline's gap")
    headings = [f"{name}: {part}" for name in groups for part in parts]
    yield _row([f"{METRICS[metric].title} by group", *headings])
    yield _rule(1 + len(headings))
    changes = {(item.first, item.group): item for item in one.gap_comparisons}
    for method in one.methods.values():
        cells = []
        for name in groups:
            change = changes.get((method.name, name))
            cells += [_cell(metric, method.worst.get(name)), _cell(metric, method.gap.get(name))]
            cells.append(
                f"{format_difference(metric, change.difference.value)} "
                f"({format_interval(metric, change.difference)}), {gap_verdict(change)}"
                if change
                else "–"
            )
        yield _row([method.name, *cells])


def _cost(one: DataAnalysis) -> Iterator[str]:
    yield _row(["cost of a run", "training, s", "peak memory, GiB", "parameters of the encoder"])
    yield _rule(4)
    for method in one.methods.values():
        seconds, memory = f"{method.training_seconds():.0f}", f"{method.peak_memory_gib():.2f}"
        yield _row([method.name, seconds, memory, f"{method.encoder_parameters():,}"])


def _cell(metric: str, estimate: Estimate | None) -> str:
    cell = metric_cell(metric, estimate)
    return f"{cell.value} ({cell.span})" if cell.span else cell.value


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _rule(columns: int) -> str:
    return "|" + "---|" * columns
