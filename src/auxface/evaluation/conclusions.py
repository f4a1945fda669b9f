"""What may be concluded from a comparison or a gap, and what may not."""

from auxface.evaluation.comparing import Comparison
from auxface.evaluation.phrasing import points, words
from auxface.evaluation.results import TaskAudit
from auxface.evaluation.vocabulary import METRICS, decision_metric

SIGNIFICANT = 0.05


def are_apart(item: Comparison) -> bool:
    """Whether the data tell two models apart, after correction for all comparisons of the metric."""
    found = item.difference
    if item.p_holm is None or found.low is None or found.high is None:
        return False
    return item.p_holm < SIGNIFICANT and not found.low <= 0 <= found.high


def comparison_sentence(item: Comparison) -> str:
    """What a pair of models allows to be said."""
    found = item.difference
    if found.value is None or found.low is None or found.high is None:
        return f"{item.first} and {item.second} cannot be compared: {found.why}."
    title = METRICS[item.metric].title
    if not are_apart(item):
        extent = f"{points(item.metric, found.low)} to {points(item.metric, found.high)}"
        return (
            f"This run does not show a difference between {item.first} and {item.second}: "
            f"{points(item.metric, found.value)} in {title}, where anything from {extent} is compatible with the data."
        )
    ahead, behind = (item.first, item.second)
    value, low, high = found.value, found.low, found.high
    if (value > 0) != METRICS[item.metric].higher_is_better:
        ahead, behind = behind, ahead
        value, low, high = -value, -high, -low
    return (
        f"{ahead} is better than {behind} on these samples: {points(item.metric, value)} in {title} "
        f"({points(item.metric, low)} to {points(item.metric, high)}). "
        "It is one training of each; another seed may move both."
    )


def gap_comparison_sentence(item: Comparison) -> str:
    """What a pair of models allows to be said of the gaps between the levels of a group; "" where it says nothing."""
    found = item.difference
    if found.value is None or found.low is None or found.high is None:
        return ""
    metric = item.metric.removesuffix("_difference")
    if not are_apart(item):
        extent = f"{points(metric, found.low)} to {points(metric, found.high)}"
        return (
            f"{item.first} and {item.second} are not shown to differ in how far apart they serve the levels of "
            f"{words(item.group)}: the gaps differ by {points(metric, found.value)} ({extent})."
        )
    narrow, wide = (item.first, item.second) if found.value < 0 else (item.second, item.first)
    return (
        f"{narrow} serves the levels of {words(item.group)} more alike than {wide}: its gap in "
        f"{METRICS[metric].title} is smaller by {points(metric, abs(found.value), signed=False)}."
    )


def gap_sentence(model: str, group: str, audited: TaskAudit) -> str:
    """What a group's gap allows to be said; "" where there is no gap."""
    metric = decision_metric(audited.task.kind)
    gap = audited.gaps.get(group, {}).get(f"{metric}_difference")
    if gap is None or gap.value is None or gap.more is None:
        return f"{model}: {gap.why}." if gap is not None and gap.why else ""
    chance = gap.more.get("by_chance")
    extent = f"{points(metric, gap.value, signed=False)} between {gap.more['best']} and {gap.more['worst']}"
    if not isinstance(chance, float):
        return f"{model}: {extent}; {gap.why or 'too little data to say how sure'}."
    limit = points(metric, chance, signed=False)
    if gap.value > chance:
        return f"{model}: {extent}, more than {limit}, which equally well served levels exceed one time in twenty."
    return (
        f"{model}: {extent}; equally well served levels exceed {limit} one time in twenty, so this table does not show "
        "that they differ."
    )
