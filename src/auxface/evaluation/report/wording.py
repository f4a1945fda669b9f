"""Values, names and comparisons as text: table cells, intervals, lists, and sentences on differences and gaps.

>>> interval_text("accuracy", Estimate(0.8, 0.75, 0.84, 100, 100))
' (75.0% to 84.0%)'
>>> listed(["a", "b", "c"])
'a, b and c'

A difference between two models is significant if its p-value, corrected by Holm's method, is below 0.05 and its
interval excludes 0. A gap is significant if it is larger than expected under equal performance. The page defines both
terms once, in :data:`TERMS`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from auxface.evaluation.compare import Comparison, is_significant
from auxface.evaluation.intervals import Estimate
from auxface.evaluation.metrics import METRICS, format_value
from auxface.evaluation.results import TaskAudit

_CORRUPTIONS = {"h264": "H.264", "jpeg_quality": "JPEG quality", "jpeg_compression": "JPEG compression"}
_ATTACKS = {"fgsm": "FGSM", "pgd": "PGD"}


@dataclass(frozen=True)
class Cell:
    """A table cell: a value, its interval as text, and the reason if there is no value or interval."""

    value: str
    span: str
    why: str | None


EMPTY = Cell("–", "", None)


def metric_cell(metric: str, estimate: Estimate | None) -> Cell:
    """Return the cell of a metric."""
    if estimate is None:
        return EMPTY
    return Cell(format_value(metric, estimate.value), interval_ends(metric, estimate), estimate.why)


def value_cell(estimate: Estimate) -> Cell:
    """Return the cell of a plain number, with three decimals."""
    return _number_cell(estimate, "{:.3f}")


def ratio_cell(estimate: Estimate) -> Cell:
    """Return the cell of a ratio, with two decimals."""
    return _number_cell(estimate, "{:.2f}")


def _number_cell(estimate: Estimate, form: str) -> Cell:
    if estimate.value is None:
        return Cell("–", "", estimate.why)
    known = estimate.low is not None and estimate.high is not None
    span = f"{form.format(estimate.low)} to {form.format(estimate.high)}" if known else ""
    return Cell(form.format(estimate.value), span, estimate.why)


def interval_ends(metric: str, estimate: Estimate) -> str:
    """Format the ends of an interval as ``low to high``; return "" if there is no interval."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{format_value(metric, estimate.low)} to {format_value(metric, estimate.high)}"


def interval_text(metric: str, estimate: Estimate) -> str:
    """Format an interval in parentheses, after a space; return "" if there is none."""
    ends = interval_ends(metric, estimate)
    return f" ({ends})" if ends else ""


def format_difference(metric: str, value: float, *, signed: bool = True) -> str:
    """Format a difference between two values of a metric; differences between percentages are given in points."""
    return METRICS[metric].format_difference(value, signed=signed)


def words(name: str) -> str:
    """Return a name with spaces in place of underscores."""
    return name.replace("_", " ")


def corruption_title(name: str) -> str:
    """Return the name of a corruption or attack as it is written within a sentence."""
    return _ATTACKS.get(name) or _CORRUPTIONS.get(name) or words(name)


def is_attack(name: str) -> bool:
    """Return whether a corruption is an adversarial attack, which needs access to the model."""
    return name in _ATTACKS


def capitalized(text: str) -> str:
    """Capitalize the first letter of a text and leave the others unchanged."""
    return text[:1].upper() + text[1:]


def listed(items: Iterable[str]) -> str:
    """Join items as in ``a, b and c``."""
    found = list(items)
    return found[0] if len(found) == 1 else ", ".join(found[:-1]) + " and " + found[-1] if found else ""


TERMS = (
    "The value expected under equal performance is a limit for all gaps that the page compares in this metric: if the "
    "model were equally good for all levels, at least one gap would exceed it in one of 20 such tables. A gap is "
    "significant if it is larger than this limit. A difference between two models is significant if p < 0.05 after "
    "Holm's correction and its interval excludes 0."
)


def comparison_sentence(item: Comparison) -> str:
    """Return a sentence on the difference between two models in a metric."""
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
    """Return a sentence on whether the difference between two models differs between two levels; "" if unknown."""
    found = item.difference
    if found.value is None or found.low is None or found.high is None:
        return ""
    metric = item.metric.removesuffix("_difference")
    size = format_difference(metric, abs(found.value), signed=False)
    more = "larger" if found.value > 0 else "smaller"
    significance = "significant" if is_significant(item) else "not significant"
    return (
        f"{capitalized(METRICS[metric].title)} of {item.first} minus that of {item.second} is {size} {more} for "
        f"{words(item.group)} {item.level} than for {item.reference} (95% interval "
        f"{_ends(metric, found.low, found.high)}); this is {significance}."
    )


def gap_sentence(model: str, group: str, audited: TaskAudit) -> str:
    """Return a sentence on the gap of one model in the decision metric; "" if the group has no gap."""
    metric = audited.decision_metric
    gap, title = audited.gaps.get(group, {}).get(f"{metric}_difference"), METRICS[metric].title
    if gap is None or gap.value is None or gap.more is None:
        return f"{model}: the gap in {title} cannot be measured: {gap.why}." if gap is not None and gap.why else ""
    size = format_difference(metric, gap.value, signed=False)
    text = f"{model}: the gap in {title} is {size} (best {gap.more['best']}, worst {gap.more['worst']})"
    return f"{text}; {gap_significance(metric, gap) or gap.why or 'no interval'}."


def power_sentence(model: str, group: str, audited: TaskAudit) -> str:
    """Return a sentence on the smallest gap that the table can detect with a power of 80%; "" if it is unknown."""
    metric = audited.decision_metric
    gap = audited.gaps.get(group, {}).get(f"{metric}_difference")
    smallest = (gap.more or {}).get("smallest_shown") if gap is not None else None
    if not isinstance(smallest, float):
        return ""
    return (
        f"{model}: if one level differed from all others by {format_difference(metric, smallest, signed=False)}, the "
        "gap would be detected with a probability of 80%; smaller gaps may be missed."
    )


def label_noise_sentence(model: str, group: str, audited: TaskAudit) -> str:
    """Return a sentence on how many wrong labels of the worst level would explain the gap; "" if that is unknown."""
    metric = audited.decision_metric
    gap = audited.gaps.get(group, {}).get(f"{metric}_difference")
    more = (gap.more if gap is not None else None) or {}
    count, share = more.get("wrong_labels"), more.get("wrong_labels_share")
    if not count or not isinstance(share, float):
        return ""
    return (
        f"{model}: this gap in {METRICS[metric].title} would vanish if {share:.1%} of the labels of {more['worst']} "
        f"({count:,}) were wrong and the predictions for these samples correct."
    )


def gap_significance(metric: str, gap: Estimate) -> str:
    """Return text on the significance of a gap and the gap expected under equal performance; "" if unknown."""
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
