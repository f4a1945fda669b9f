"""Describe the results of a study in sentences and as Markdown tables."""

from collections.abc import Iterator, Sequence

from auxface.evaluation.intervals import Estimate
from auxface.evaluation.metrics import METRICS, decision_metric, format_value, table_metrics
from auxface.evaluation.report.wording import metric_cell
from auxface.model.card import markdown_text
from auxface.studies.analysis import DataAnalysis, MethodSummary, StudyAnalysis
from auxface.studies.auxiliary_check import AuxiliaryCheck
from auxface.studies.comparisons import StudyComparison
from auxface.studies.statistics import SIGNIFICANCE

NOT_SIGNIFICANT = "no significant difference"
NOT_TESTED = "not tested"
ONE_SEED = "one seed"


_DECIDED = ("better", "worse", NOT_SIGNIFICANT)


def verdict(item: StudyComparison) -> str:
    """Return ``better``, ``worse``, ``no significant difference``, ``not tested`` or ``one seed``.

    The significance level is 5% and applies to the p-value after correction for all comparisons of the study.
    ``not tested`` takes precedence. A single seed does not show how much results vary between training runs, so there
    is no verdict.
    """
    higher_is_better = METRICS[item.metric].higher_is_better
    return _verdict(item, *("better", "worse") if higher_is_better else ("worse", "better"))


def gap_verdict(item: StudyComparison) -> str:
    """Return ``narrower``, ``wider``, ``no significant difference`` or ``not tested`` for the change of a gap."""
    return _verdict(item, "wider", "narrower")


def _verdict(item: StudyComparison, positive: str, negative: str) -> str:
    value = item.difference.value
    if item.not_tested:
        return NOT_TESTED
    if (item.difference.more or {}).get("seeds") == 1:
        return ONE_SEED
    if value is None or item.p_holm is None or item.p_holm >= SIGNIFICANCE:
        return NOT_SIGNIFICANT
    return positive if value > 0 else negative


def conclusions(analysis: StudyAnalysis) -> list[str]:
    """Return one paragraph per data set, and a sentence about the ranks over data sets."""
    paragraphs = [_data_conclusion(one) for one in analysis.data]
    return [*paragraphs, ranks_sentence(analysis)]


def _data_conclusion(one: DataAnalysis) -> str:
    metric = one.metric
    measured = {name: method for name, method in one.methods.items() if method.overall[metric].value is not None}
    title = METRICS[metric].title
    if not measured:
        return f"{one.title}: {title} is undefined for every method."
    sign = 1 if METRICS[metric].higher_is_better else -1
    # A mean over few seeds may be the best by chance, so only methods with the largest number of seeds are compared.
    most = max(len(method.records) for method in measured.values())
    complete = [method for method in measured.values() if len(method.records) == most]
    best = max(complete, key=lambda method: sign * (method.overall[metric].value or 0))
    sentences = [f"{one.title}: {best.name} has the best mean {title}, {_mean_text(metric, best)}."]
    if len(complete) == 1 and len(measured) > 1:
        sentences = [f"{one.title}: no method has the best mean {title} yet, because other methods have fewer seeds."]
    with_baseline = [item for item in one.comparisons if not item.with_control]
    for kind in ("better", "worse"):
        found = [item for item in with_baseline if verdict(item) == kind]
        if found:
            listed = ", ".join(f"{item.first} ({format_difference(metric, item.difference.value)})" for item in found)
            sentences.append(f"Significantly {kind} than {found[0].second}: {listed}.")
    single = [item for item in one.comparisons if verdict(item) == ONE_SEED]
    if single:
        listed = ", ".join(
            f"{item.first} minus {item.second} {format_difference(metric, item.difference.value)}" for item in single
        )
        sentences.append(f"One seed allows no conclusion: {listed}.")
    equal = [item for item in with_baseline if verdict(item) == NOT_SIGNIFICANT]
    if equal and len(equal) == len(with_baseline):
        sentences.append(f"No method differs significantly from {equal[0].second}.")
    elif equal:
        verb = "does" if len(equal) == 1 else "do"
        listed = ", ".join(item.first for item in equal)
        sentences.append(f"{listed} {verb} not differ significantly from {equal[0].second}.")
    sentences += [
        _control_sentence(item) for item in one.comparisons if item.with_control and verdict(item) in _DECIDED
    ]
    for item in one.comparisons:
        if verdict(item) == NOT_TESTED:
            sentences.append(f"The difference between {item.first} and {item.second} is not tested: {item.not_tested}")
    for name, metrics in one.baselines.items():
        if metric in metrics:
            sentences.append(_plain_baseline_sentence(measured, metric, name, metrics[metric]))
    return " ".join(sentences)


def _control_sentence(item: StudyComparison) -> str:
    found = verdict(item)
    relation = "does not differ significantly from" if found == NOT_SIGNIFICANT else f"is significantly {found} than"
    difference = format_difference(item.metric, item.difference.value)
    return f"{item.first} {relation} its control {item.second} ({difference})."


def _mean_text(metric: str, method: MethodSummary) -> str:
    estimate = method.overall[metric]
    text = format_value(metric, estimate.value)
    if estimate.low is not None:
        text += f" ({format_value(metric, estimate.low)} to {format_value(metric, estimate.high)})"
    return f"{text}, {format_seeds(len(method.records))}"


def _plain_baseline_sentence(measured: dict[str, MethodSummary], metric: str, name: str, plain: float) -> str:
    better = [method.name for method in measured.values() if _exceeds(metric, method.overall[metric], plain)]
    if len(better) == len(measured) > 1:
        intervals = "The 95% intervals of all methods lie"
    elif len(better) > 1:
        intervals = f"The 95% intervals of {', '.join(better)} lie"
    elif better:
        intervals = f"The 95% interval of {better[0]} lies"
    else:
        intervals = "No method's 95% interval lies"
    side = "above" if METRICS[metric].higher_is_better else "below"
    return f"{intervals} {side} {name} ({format_value(metric, plain)})."


def _exceeds(metric: str, estimate: Estimate, plain: float) -> bool:
    """Return whether the entire interval is better than the value of a simple baseline."""
    if estimate.low is None or estimate.high is None:
        return False
    return estimate.low > plain if METRICS[metric].higher_is_better else estimate.high < plain


def ranks_sentence(analysis: StudyAnalysis) -> str:
    """Return the result of the ranks over data sets as a sentence."""
    ranks = analysis.ranks
    if isinstance(ranks, str):
        return ranks
    counts = f"{len(ranks.data)} data sets and {len(ranks.mean)} methods"
    if not ranks.can_be_significant:
        return (
            f"With {counts}, no difference in mean ranks can be significant: the critical difference is "
            f"{ranks.critical_difference:.2f}, and mean ranks differ by at most {len(ranks.mean) - 1}."
        )
    p = "all methods are equal" if ranks.p is None else f"Friedman's test: p = {format_p(ranks.p)}"
    critical = f"{ranks.critical_difference:.2f}"
    return f"With {counts}, mean ranks differ significantly if they differ by more than {critical}; {p}."


def format_difference(metric: str, value: float | None) -> str:
    """Format a difference of a metric, in percentage points for metrics in percent."""
    if value is None:
        return "–"
    text = f"{100 * value:+.1f} points" if METRICS[metric].percent else format_value(metric, value, signed=True)
    return text.replace("-", "−")


def format_interval(metric: str, estimate: Estimate) -> str:
    """Format the interval of a difference without its unit; return "" if there is no interval."""
    if estimate.low is None or estimate.high is None:
        return ""
    low, high = format_difference(metric, estimate.low), format_difference(metric, estimate.high)
    return f"{low.removesuffix(' points')} to {high.removesuffix(' points')}"


def format_p(p: float | None) -> str:
    """Format a p-value with three decimals, or as ``< 0.001``."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def format_seeds(count: int) -> str:
    """Format a number of seeds, such as ``3 seeds``."""
    return f"{count} seed" if count == 1 else f"{count} seeds"


def markdown_tables(analysis: StudyAnalysis) -> str:
    """Return the conclusions of a study and, for each data set, tables of means, differences, groups and cost."""
    return "\n".join(_lines(analysis)) + "\n"


def _lines(analysis: StudyAnalysis) -> Iterator[str]:
    state = f"{analysis.done} of {analysis.planned} runs done, {len(analysis.failed)} failed."
    yield " ".join([state, *map(markdown_text, analysis.notes)])
    yield ""
    yield from (f"* {markdown_text(sentence)}" for sentence in conclusions(analysis))
    for one in analysis.data:
        yield from ("", f"### {markdown_text(one.title)}", "")
        yield f"Task {markdown_text(one.task.name)}, {one.samples:,} test samples in {one.clusters:,} clusters."
        yield ""
        yield from _means(one)
        if one.comparisons:
            yield ""
            yield from _differences(one)
        if auxiliary_checks(one):
            yield ""
            yield from _auxiliaries(one)
        if groups_with_gap(one):
            yield ""
            yield from _groups(one)
        yield ""
        yield from _cost(one)
    for record in analysis.failed:
        what = f"{record['data']}, {record['row']}, seed {record['seed']}: {record['why']}"
        yield from ("", f"Failed: {markdown_text(what)}")


def means_columns(one: DataAnalysis) -> list[str]:
    """Return the metrics in the columns of the table of means, starting with the compared metric."""
    measured = next(iter(one.methods.values())).overall
    return [one.metric, *(name for name in table_metrics(one.task.kind) if name != one.metric and name in measured)]


def auxiliary_checks(one: DataAnalysis) -> dict[str, AuxiliaryCheck]:
    """Return the check of each method whose auxiliary was measured, by name."""
    return {name: method.auxiliary for name, method in one.methods.items() if method.auxiliary is not None}


def groups_with_gap(one: DataAnalysis) -> list[str]:
    """Return the groups whose gap is defined."""
    return [name for name, gap in next(iter(one.methods.values())).gap.items() if gap.value is not None]


def _means(one: DataAnalysis) -> Iterator[str]:
    metrics = means_columns(one)
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
        yield _row([name, "", *cells, *("–" for _ in last)], emphasized=True)


def _differences(one: DataAnalysis) -> Iterator[str]:
    metric = one.metric
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


AUXILIARY_HEADINGS = (
    ("gradient ratio", "gradient norm of the auxiliary divided by that of the task, in the second half of the epochs"),
    ("set ratio", "gradient ratio set in the recipe"),
    ("skill", "skill of the auxiliary on validation images; 0 is the best constant prediction"),
    ("required skill", "skill that a method needs to count as tested; in a control, the highest skill that is allowed"),
    ("tested", "whether the method was applied as intended"),
)
"""Headings of the table of auxiliaries, each with its explanation."""


def auxiliary_cells(check: AuxiliaryCheck) -> list[str]:
    """Return the row of a method in the table of auxiliaries."""
    values = (check.ratio, check.set_ratio, check.skill)
    numbers = ["–" if value is None else f"{round(value, 2) + 0.0:.2f}".replace("-", "−") for value in values]
    needed = f"{'at most' if check.is_control else 'at least'} {check.needed:.2f}"
    return [*numbers, needed, "no" if check.why else "yes"]


def _auxiliaries(one: DataAnalysis) -> Iterator[str]:
    yield _row(["auxiliary", *(heading for heading, _ in AUXILIARY_HEADINGS)])
    yield _rule(1 + len(AUXILIARY_HEADINGS))
    for name, check in auxiliary_checks(one).items():
        yield _row([name, *auxiliary_cells(check)])


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


def _row(cells: Sequence[str], *, emphasized: bool = False) -> str:
    first, *others = map(markdown_text, cells)
    return "| " + " | ".join([f"*{first}*" if emphasized else first, *others]) + " |"


def _rule(columns: int) -> str:
    return "|" + "---|" * columns
