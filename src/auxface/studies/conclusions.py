"""State the results of a study in words: verdicts on differences, and one paragraph per data set."""

from auxface.evaluation.intervals import Estimate
from auxface.evaluation.metrics import METRICS, format_value
from auxface.studies.analysis import DataAnalysis, MethodSummary, StudyAnalysis, StudyComparison
from auxface.studies.statistics import SIGNIFICANCE

NOT_SIGNIFICANT = "no significant difference"
NOT_TESTED = "not tested"


def verdict(item: StudyComparison) -> str:
    """Return ``better``, ``worse``, ``no significant difference`` or ``not tested``.

    The significance level is 5%, on the p-value corrected for all comparisons of the study. ``not_tested`` in the study
    file takes precedence.
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
    if value is None or item.p_holm is None or item.p_holm >= SIGNIFICANCE:
        return NOT_SIGNIFICANT
    return positive if value > 0 else negative


def conclusions(analysis: StudyAnalysis) -> list[str]:
    """Return one paragraph per data set, and a sentence on the ranks over data sets."""
    paragraphs = [_data_conclusion(one, analysis.metric) for one in analysis.data]
    return [*paragraphs, ranks_sentence(analysis)]


def _data_conclusion(one: DataAnalysis, metric: str) -> str:
    measured = {name: method for name, method in one.methods.items() if method.overall[metric].value is not None}
    title = METRICS[metric].title
    if not measured:
        return f"{one.title}: {title} is undefined for every method."
    sign = 1 if METRICS[metric].higher_is_better else -1
    # The best mean of a few seeds may be due to the seeds; compare methods with the most seeds only.
    most = max(len(method.records) for method in measured.values())
    complete = [method for method in measured.values() if len(method.records) == most]
    best = max(complete, key=lambda method: sign * (method.overall[metric].value or 0))
    sentences = [f"{one.title}: {best.name} has the best mean {title}, {_mean_text(metric, best)}."]
    for kind in ("better", "worse"):
        found = [item for item in one.comparisons if verdict(item) == kind]
        if found:
            listed = ", ".join(f"{item.first} ({format_difference(metric, item.difference.value)})" for item in found)
            sentences.append(f"Significantly {kind} than {found[0].second}: {listed}.")
    equal = [item for item in one.comparisons if verdict(item) == NOT_SIGNIFICANT]
    if equal and len(equal) == len(one.comparisons):
        sentences.append(f"No method differs significantly from {equal[0].second}.")
    elif equal:
        verb = "does" if len(equal) == 1 else "do"
        listed = ", ".join(item.first for item in equal)
        sentences.append(f"{listed} {verb} not differ significantly from {equal[0].second}.")
    for item in one.comparisons:
        if verdict(item) == NOT_TESTED:
            sentences.append(f"{item.first} against {item.second} is not tested: {item.not_tested}")
    for name, metrics in one.baselines.items():
        if metric in metrics:
            sentences.append(_plain_baseline_sentence(measured, metric, name, metrics[metric]))
    return " ".join(sentences)


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
    """Return whether the whole interval is better than the value of a plain baseline."""
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
            f"With {counts} no difference of mean ranks can be significant: the critical difference is "
            f"{ranks.critical_difference:.2f}, and mean ranks differ by {len(ranks.mean) - 1} at most."
        )
    p = "all methods are equal" if ranks.p is None else f"Friedman's test of equal methods: p = {format_p(ranks.p)}"
    critical = f"{ranks.critical_difference:.2f}"
    return f"With {counts}, mean ranks that differ by more than {critical} differ significantly; {p}."


def format_difference(metric: str, value: float | None) -> str:
    """Return a difference as text, in percentage points for metrics in percent."""
    if value is None:
        return "–"
    text = f"{100 * value:+.1f} points" if METRICS[metric].percent else format_value(metric, value, signed=True)
    return text.replace("-", "−")


def format_interval(metric: str, estimate: Estimate) -> str:
    """Return the interval of a difference as text, without the unit; "" without an interval."""
    if estimate.low is None or estimate.high is None:
        return ""
    low, high = format_difference(metric, estimate.low), format_difference(metric, estimate.high)
    return f"{low.removesuffix(' points')} to {high.removesuffix(' points')}"


def format_p(p: float | None) -> str:
    """Return a p-value as text."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def format_seeds(count: int) -> str:
    """Return a number of seeds as text."""
    return f"{count} seed" if count == 1 else f"{count} seeds"
