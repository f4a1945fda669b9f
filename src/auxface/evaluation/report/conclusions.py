"""Sentences on what a comparison of models, or a gap between the levels of a group, does and does not show.

A difference of two models is significant if its p-value, corrected by Holm's method, is below 0.05 and its interval
excludes 0. A gap is significant if it is larger than expected under equal performance. The page defines both terms
once, in :data:`TERMS`.
"""

from auxface.evaluation.compare import Comparison
from auxface.evaluation.metrics import METRICS
from auxface.evaluation.report.formatting import format_difference, words
from auxface.evaluation.results import TaskAudit

SIGNIFICANT = 0.05
TERMS = (
    "Expected under equal performance: the gap that would be exceeded in one of 20 such tables if the model were "
    "equally good for all levels of the group. A gap is significant if it is larger. A difference between two models "
    "is significant if p < 0.05 after Holm's correction and its interval excludes 0."
)


def is_significant(item: Comparison) -> bool:
    """Return whether two models differ significantly, after correction for all comparisons of the metric."""
    found = item.difference
    if item.p_holm is None or found.low is None or found.high is None:
        return False
    return item.p_holm < SIGNIFICANT and not found.low <= 0 <= found.high


def comparison_sentence(item: Comparison) -> str:
    """Return what the difference of two models in a metric shows."""
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
        f"(95% interval {_ends(item.metric, low, high)}). Another training run of either may differ by more."
    )


def gap_comparison_sentence(item: Comparison) -> str:
    """Return what the difference of two models in the gap of a group shows; "" if it cannot be measured."""
    found = item.difference
    if found.value is None or found.low is None or found.high is None:
        return ""
    metric = item.metric.removesuffix("_difference")
    gap = f"gap in {METRICS[metric].title} between the levels of {words(item.group)}"
    if not is_significant(item):
        return (
            f"The {gap} does not differ significantly between {item.first} and {item.second}: "
            f"{format_difference(metric, found.value)} (95% interval {_ends(metric, found.low, found.high)})."
        )
    narrow, wide = (item.first, item.second) if found.value < 0 else (item.second, item.first)
    by = format_difference(metric, abs(found.value), signed=False)
    return f"The {gap} is significantly smaller for {narrow} than for {wide}, by {by}."


def gap_sentence(model: str, group: str, audited: TaskAudit) -> str:
    """Return what the gap of one model in the decision metric shows; "" if the group has no gap."""
    metric = audited.decision_metric
    gap, title = audited.gaps.get(group, {}).get(f"{metric}_difference"), METRICS[metric].title
    if gap is None or gap.value is None or gap.more is None:
        return f"{model}: the gap in {title} is not measured: {gap.why}." if gap is not None and gap.why else ""
    size = format_difference(metric, gap.value, signed=False)
    text = f"{model}: the gap in {title} is {size} (best {gap.more['best']}, worst {gap.more['worst']})"
    return f"{text}; {gap_significance(metric, gap.value, gap.more.get('by_chance')) or gap.why or 'no interval'}."


def gap_significance(metric: str, value: float, by_chance: object) -> str:
    """Return whether a gap is significant, and the gap expected under equal performance; "" if that is unknown."""
    if not isinstance(by_chance, float):
        return ""
    limit = format_difference(metric, by_chance, signed=False)
    if value > by_chance:
        return f"this is significant (expected under equal performance: up to {limit})"
    return f"this is not significant (expected under equal performance: up to {limit})"


def _ends(metric: str, low: float, high: float) -> str:
    return f"{format_difference(metric, low).removesuffix(' points')} to {format_difference(metric, high)}"
