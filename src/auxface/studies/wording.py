"""The tables of a study as Markdown, for documents.

What the figures of a study come to, in plain sentences.
"""

from collections.abc import Iterator, Sequence

from auxface.evaluation.intervals import Estimate
from auxface.evaluation.metrics import METRICS, decision_metric, format_value, table_metrics
from auxface.evaluation.report.table_cell import metric_cell
from auxface.studies.evidence import LEVEL, DataEvidence, Evidence, Row, StudyComparison

UNCLEAR = "not told apart"
UNTESTED = "not tested"


def verdict(item: StudyComparison) -> str:
    """``better``, ``worse`` or ``not told apart`` at 5%, corrected for all comparisons of the study, or ``not tested``.

    The last is for methods that did not do what is compared, as the study file says.
    """
    value = item.difference.value
    if item.not_tested:
        return UNTESTED
    if value is None or item.p_holm is None or item.p_holm >= LEVEL:
        return UNCLEAR
    return "better" if (value > 0) == METRICS[item.metric].higher_is_better else "worse"


def gap_verdict(item: StudyComparison) -> str:
    """``narrower``, ``wider``, ``not told apart`` or ``not tested``, of a gap."""
    value = item.difference.value
    if item.not_tested:
        return UNTESTED
    if value is None or item.p_holm is None or item.p_holm >= LEVEL:
        return UNCLEAR
    return "narrower" if value < 0 else "wider"


def against_plain(metric: str, estimate: Estimate, plain: float) -> str:
    """Whether the whole interval of a method lies beyond a plain baseline."""
    if estimate.low is None or estimate.high is None:
        return UNCLEAR
    if estimate.low <= plain <= estimate.high:
        return UNCLEAR
    return "better" if (estimate.low > plain) == METRICS[metric].higher_is_better else "worse"


def points(metric: str, value: float | None) -> str:
    """A difference as it is read: percentage points where the metric is a share."""
    if value is None:
        return "–"
    text = f"{100 * value:+.1f} points" if METRICS[metric].percent else format_value(metric, value, signed=True)
    return text.replace("-", "−")


def span_of_points(metric: str, estimate: Estimate) -> str:
    """The interval of a difference."""
    if estimate.low is None or estimate.high is None:
        return ""
    low, high = points(metric, estimate.low), points(metric, estimate.high)
    return f"{low.removesuffix(' points')} to {high.removesuffix(' points')}"


def chance(p: float | None) -> str:
    """A p as it is read."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def conclusions(evidence: Evidence) -> list[str]:
    """A sentence or two per data set, and one on ranks."""
    found = [_data_conclusion(one, evidence.metric) for one in evidence.data]
    return [sentence for sentence in found if sentence] + [ranks_sentence(evidence)]


def ranks_sentence(evidence: Evidence) -> str:
    """What the ranks over data sets allow to say."""
    ranks = evidence.ranks
    if isinstance(ranks, str):
        return ranks
    many = f"{len(ranks.data)} data sets and {len(ranks.mean)} methods"
    if not ranks.can_tell:
        return (
            f"Over {many} ranks can tell nothing apart: the critical difference is {ranks.critical:.2f}, the best and "
            f"the worst mean rank differ by {len(ranks.mean) - 1} at most."
        )
    p = "all are equal" if ranks.p is None else f"Friedman's test that all are alike: p = {chance(ranks.p)}"
    return f"Over {many}, mean ranks that differ by more than {ranks.critical:.2f} are told apart; {p}."


def _data_conclusion(one: DataEvidence, metric: str) -> str:
    known = {name: row for name, row in one.rows.items() if row.overall[metric].value is not None}
    title = METRICS[metric].title
    if not known:
        return f"{one.title}: {title} cannot be measured."
    sign = 1 if METRICS[metric].higher_is_better else -1
    # A method of which fewer seeds are done may owe its mean to the seeds alone.
    most = max(len(row.lines) for row in known.values())
    whole = [row for row in known.values() if len(row.lines) == most]
    best = max(whole, key=lambda row: sign * (row.overall[metric].value or 0))
    parts = [f"{one.title}: {best.name} has the best mean {title}, {_figure(metric, best)}."]
    for kind in ("better", "worse"):
        found = [item for item in one.comparisons if verdict(item) == kind]
        if found:
            listed = ", ".join(f"{item.first} ({points(metric, item.difference.value)})" for item in found)
            parts.append(f"{kind.capitalize()} than {found[0].second}: {listed}.")
    unclear = [item for item in one.comparisons if verdict(item) == UNCLEAR]
    if unclear:
        who = "No method" if len(unclear) == len(one.comparisons) else ", ".join(item.first for item in unclear)
        verb = "is" if len(unclear) == len(one.comparisons) or len(unclear) == 1 else "are"
        apart = "told apart" if who == "No method" else "not told apart"
        parts.append(f"{who} {verb} {apart} from {unclear[0].second}.")
    for item in one.comparisons:
        if verdict(item) == UNTESTED:
            parts.append(f"{item.first} against {item.second} is not tested: {item.not_tested}")
    for name, metrics in one.baselines.items():
        if metric in metrics:
            parts.append(_beside(known, metric, name, metrics[metric]))
    return " ".join(parts)


def _beside(known: dict[str, Row], metric: str, name: str, plain: float) -> str:
    beaten = [row.name for row in known.values() if against_plain(metric, row.overall[metric], plain) == "better"]
    if len(beaten) == len(known) > 1:
        who = "All methods lie"
    elif beaten:
        who = f"{', '.join(beaten)} {'lies' if len(beaten) == 1 else 'lie'}"
    else:
        who = "No method lies"
    side = "above" if METRICS[metric].higher_is_better else "below"
    return f"{who} {side} {name} ({format_value(metric, plain)}) with the whole interval."


def _figure(metric: str, row: Row) -> str:
    estimate = row.overall[metric]
    span = (
        ""
        if estimate.low is None
        else f" ({format_value(metric, estimate.low)} to {format_value(metric, estimate.high)})"
    )
    seeds = len(row.lines)
    return f"{format_value(metric, estimate.value)}{span}, {seeds} seed{'s' if seeds > 1 else ''}"


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
    return [first, *(name for name in table_metrics(one.task.kind) if name != first and name in known)]


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
