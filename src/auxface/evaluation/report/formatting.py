"""Values and names as text: cells of tables, intervals, names of corruptions, lists.

>>> interval_text("accuracy", Estimate(0.8, 0.75, 0.84, 100, 100))
' (75.0% to 84.0%)'
>>> listed(["a", "b", "c"])
'a, b and c'
"""

from collections.abc import Iterable
from dataclasses import dataclass

from auxface.evaluation.intervals import Estimate
from auxface.evaluation.metrics import METRICS, format_value

_CORRUPTIONS = {"h264": "H.264", "jpeg_quality": "JPEG quality", "jpeg_compression": "JPEG compression"}
_ATTACKS = {"fgsm": "FGSM", "pgd": "PGD"}


@dataclass(frozen=True)
class Cell:
    """A cell of a table: a value, its interval as text, and why there is none."""

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
    """Return ``low to high``; "" if there is no interval."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{format_value(metric, estimate.low)} to {format_value(metric, estimate.high)}"


def interval_text(metric: str, estimate: Estimate) -> str:
    """Return the interval in parentheses after a space; "" if there is none."""
    ends = interval_ends(metric, estimate)
    return f" ({ends})" if ends else ""


def format_difference(metric: str, value: float, *, signed: bool = True) -> str:
    """Return a difference of two values of a metric as text; percentages differ by points."""
    return METRICS[metric].format_difference(value, signed=signed)


def words(name: str) -> str:
    """Return a name with spaces in place of underscores."""
    return name.replace("_", " ")


def corruption_title(name: str) -> str:
    """Return the name of a corruption or attack in running text."""
    return _ATTACKS.get(name) or _CORRUPTIONS.get(name) or words(name)


def is_attack(name: str) -> bool:
    """Return whether a corruption is an adversarial attack, which needs access to the model."""
    return name in _ATTACKS


def capitalized(text: str) -> str:
    """Return the text with its first letter as a capital and the others unchanged."""
    return text[:1].upper() + text[1:]


def listed(items: Iterable[str]) -> str:
    """Return ``a, b and c``."""
    found = list(items)
    return found[0] if len(found) == 1 else ", ".join(found[:-1]) + " and " + found[-1] if found else ""
