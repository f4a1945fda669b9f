"""Small parts of sentences: lists, spans, differences."""

from collections.abc import Iterable

from auxface.evaluation.bootstrap import Estimate
from auxface.evaluation.vocabulary import METRICS, shown


def span(metric: str, estimate: Estimate) -> str:
    """The interval in brackets, after a space; "" where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f" ({shown(metric, estimate.low)} to {shown(metric, estimate.high)})"


def points(metric: str, value: float, signed: bool = True) -> str:
    """A difference: percentages differ by points."""
    if not METRICS[metric].percent:
        return shown(metric, value, signed)
    return shown(metric, value, signed).removesuffix("%") + " points"


def words(name: str) -> str:
    """A name as it is read."""
    return name.replace("_", " ")


def listed(items: Iterable[str]) -> str:
    """``a, b and c``."""
    found = list(items)
    return found[0] if len(found) == 1 else ", ".join(found[:-1]) + " and " + found[-1] if found else ""
