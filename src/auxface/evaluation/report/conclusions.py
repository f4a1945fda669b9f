"""Sentences on comparisons of models and on gaps between the levels of a group.

A difference of two models is significant if its p-value, corrected by Holm's method, is below 0.05 and its interval
excludes 0. A gap is significant if it is larger than expected under equal performance. The page defines both terms
once, in :data:`TERMS`.
"""

from auxface.evaluation.compare import Comparison
from auxface.evaluation.intervals import Estimate
from auxface.evaluation.metrics import METRICS
from auxface.evaluation.report.formatting import capitalized, format_difference, words
from auxface.evaluation.results import TaskAudit

SIGNIFICANT = 0.05
TERMS = (
    "Expected under equal performance: of all gaps that the page compares in this metric, one or more would exceed "
    "this value in one of 20 such tables if the model were equally good for all levels. A gap is significant if it is "
    "larger. A difference between two models is significant if p < 0.05 after Holm's correction and its interval "
    "excludes 0."
)


def is_significant(item: Comparison) -> bool:
    """Return whether two models differ significantly, after correction for all comparisons of the metric."""
    found = item.difference
    if item.p_holm is None or found.low is None or found.high is None:
        return False
    return item.p_holm < SIGNIFICANT and not found.low <= 0 <= found.high


def comparison_sentence(item: Comparison) -> str:
    """Return a sentence on the difference of two models in a metric."""
    found, title = item.difference, METRICS[item.metric].title
    if found.value is None or found.low is None or found.high is None:
        return f"{item.first} and {item.second} cannot be compared in {title}: {found.why}."
    if not is_significant(item):
        return (
            f"The difference in {title} between {item.first} and {item.second} is not significant: "
            f"{format_difference(item.metric, found.value)} (95% interval {_ends(item.metric, found.low, found.high)})."
        )
    better, worse = item.first, item.second
    value, low, high = found.value, found.low, found.high
    if (value > 0) != METRICS[item.metric].higher_is_better:
        better, worse = worse, better
        value, low, high = -value, -high, -low
    return (
        f"{better} is significantly better than {worse} in {title}: {format_difference(item.metric, value)} "
        f"(95% interval {_ends(item.metric, low, high)})."
    )


def gap_comparison_sentence(item: Comparison) -> str:
    """Return whether the difference of two models differs between two levels; "" if it cannot be measured."""
    found = item.difference
    if found.value is None or found.low is None or found.high is None:
        return ""
    metric = item.metric.removesuffix("_difference")
    size = format_difference(metric, abs(found.value), signed=False)
    more = "larger" if found.value > 0 else "smaller"
    level, group = words(item.level), words(item.group)
    significance = "significant" if is_significant(item) else "not significant"
    return (
        f"{capitalized(METRICS[metric].title)} of {item.first} minus that of {item.second} is {size} {more} for "
        f"{group} {level} than for {words(item.reference)} (95% interval {_ends(metric, found.low, found.high)}); this "
        f"is {significance}."
    )


def gap_sentence(model: str, group: str, audited: TaskAudit) -> str:
    """Return a sentence on the gap of one model in the decision metric; "" if the group has no gap."""
    metric = audited.decision_metric
    gap, title = audited.gaps.get(group, {}).get(f"{metric}_difference"), METRICS[metric].title
    if gap is None or gap.value is None or gap.more is None:
        return f"{model}: the gap in {title} is not measured: {gap.why}." if gap is not None and gap.why else ""
    size = format_difference(metric, gap.value, signed=False)
    text = f"{model}: the gap in {title} is {size} (best {gap.more['best']}, worst {gap.more['worst']})"
    return f"{text}; {gap_significance(metric, gap) or gap.why or 'no interval'}."


def gap_significance(metric: str, gap: Estimate) -> str:
    """Return whether a gap is significant, and the gap expected under equal performance; "" if that is unknown."""
    more = gap.more or {}
    limit = more.get("by_chance_of_all", more.get("by_chance"))
    if gap.value is None or not isinstance(limit, float):
        return ""
    size, count = format_difference(metric, limit, signed=False), more.get("gaps", 1)
    of = f" over {count} gaps" if count != 1 else ""
    verdict = "significant" if gap.value > limit else "not significant"
    return f"this is {verdict} (expected under equal performance{of}: up to {size})"


def _ends(metric: str, low: float, high: float) -> str:
    return f"{format_difference(metric, low).removesuffix(' points')} to {format_difference(metric, high)}"
