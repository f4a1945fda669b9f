"""The tables of a study as Markdown, for documents."""

from collections.abc import Iterator, Sequence

from auxface.evaluation.bootstrap import Estimate
from auxface.evaluation.cells import metric_cell
from auxface.evaluation.vocabulary import METRICS, TABLE, decision_metric
from auxface.studies.evidence import DataEvidence, Evidence
from auxface.studies.wording import chance, conclusions, gap_verdict, points, span_of_points, verdict


def markdown_tables(evidence: Evidence) -> str:
    """All tables; each data set has a heading, each table a caption line."""
    return "\n".join(_lines(evidence)) + "\n"


def _lines(evidence: Evidence) -> Iterator[str]:
    stands = f"{evidence.done} of {evidence.planned} runs done, {len(evidence.failed)} failed."
    yield " ".join([stands, *evidence.notes])
    yield ""
    yield from (f"* {sentence}" for sentence in conclusions(evidence))
    for one in evidence.data:
        yield from ("", f"### {one.title}", "")
        yield f"Task `{one.task.name}`, {one.samples:,} test samples in {one.clusters:,} clusters."
        yield ""
        yield from _means(one, evidence.metric)
        if one.comparisons:
            yield ""
            yield from _differences(one, evidence.metric)
        if measured_groups(one):
            yield ""
            yield from _groups(one)
        yield ""
        yield from _cost(one)
    for line in evidence.failed:
        yield from ("", f"Failed: {line['data']}, {line['row']}, seed {line['seed']}: {line['why']}")


def shown_metrics(one: DataEvidence, first: str) -> list[str]:
    """The metrics of a table, the compared one first."""
    known = next(iter(one.rows.values())).overall
    return [first, *(name for name in TABLE[one.task.kind] if name != first and name in known)]


def measured_groups(one: DataEvidence) -> list[str]:
    """Groups whose gap can be measured."""
    return [name for name, gap in next(iter(one.rows.values())).gap.items() if gap.value is not None]


def _means(one: DataEvidence, metric: str) -> Iterator[str]:
    metrics = shown_metrics(one, metric)
    damaged = any(row.damaged for row in one.rows.values())
    last = [f"{METRICS[decision_metric(one.task.kind)].title} under damage"] if damaged else []
    yield _row(["method", "seeds", *(METRICS[name].title for name in metrics), *last])
    yield _rule(2 + len(metrics) + len(last))
    for row in one.rows.values():
        cells = [_cell(name, row.overall.get(name)) for name in metrics]
        cells += [_cell(decision_metric(one.task.kind), row.damaged)] if damaged else []
        yield _row([row.name, str(len(row.lines)), *cells])
    for name, known in one.baselines.items():
        cells = [metric_cell(item, Estimate(known.get(item), None, None, 0, 0)).value for item in metrics]
        yield _row([f"*{name}*", "", *cells, *("–" for _ in last)])


def _differences(one: DataEvidence, metric: str) -> Iterator[str]:
    yield _row([f"difference in {METRICS[metric].title}", "mean", "95% interval", "p", "p, corrected", "verdict"])
    yield _rule(6)
    for item in one.comparisons:
        yield _row(
            [
                f"{item.first} − {item.second}",
                points(metric, item.difference.value),
                span_of_points(metric, item.difference),
                chance(item.p),
                chance(item.p_holm),
                verdict(item),
            ]
        )


def _groups(one: DataEvidence) -> Iterator[str]:
    metric = decision_metric(one.task.kind)
    groups = measured_groups(one)
    parts = ("worst", "gap", "gap less the baseline's")
    headings = [f"{name}: {part}" for name in groups for part in parts]
    yield _row([f"{METRICS[metric].title} by group", *headings])
    yield _rule(1 + len(headings))
    changes = {(item.first, item.group): item for item in one.gap_comparisons}
    for row in one.rows.values():
        cells = []
        for name in groups:
            change = changes.get((row.name, name))
            cells += [_cell(metric, row.worst.get(name)), _cell(metric, row.gap.get(name))]
            cells.append(
                f"{points(metric, change.difference.value)} ({span_of_points(metric, change.difference)}), "
                f"{gap_verdict(change)}"
                if change
                else "–"
            )
        yield _row([row.name, *cells])


def _cost(one: DataEvidence) -> Iterator[str]:
    yield _row(["cost of a run", "training, s", "peak memory, GiB", "parameters of the encoder"])
    yield _rule(4)
    for row in one.rows.values():
        yield _row([row.name, f"{row.seconds():.0f}", f"{row.memory():.2f}", f"{row.parameters():,}"])


def _cell(metric: str, estimate: Estimate | None) -> str:
    cell = metric_cell(metric, estimate)
    return f"{cell.value} ({cell.span})" if cell.span else cell.value


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _rule(columns: int) -> str:
    return "|" + "---|" * columns
