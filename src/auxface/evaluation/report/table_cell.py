"""One cell of a table on the page: a value, its interval, and why it is missing."""

from dataclasses import dataclass

from auxface.evaluation.intervals import Estimate
from auxface.evaluation.metrics import format_value


@dataclass(frozen=True)
class Cell:
    """A value, its interval as text, and why it is missing."""

    value: str
    span: str
    why: str | None


def metric_cell(metric: str, estimate: Estimate | None) -> Cell:
    """A metric as its vocabulary shows it."""
    if estimate is None:
        return Cell("–", "", None)
    span = (
        "" if estimate.low is None else f"{format_value(metric, estimate.low)} to {format_value(metric, estimate.high)}"
    )
    return Cell(format_value(metric, estimate.value), span, estimate.why)


def value_cell(estimate: Estimate) -> Cell:
    """A plain number with three digits."""
    return _cell(estimate, "{:.3f}")


def ratio_cell(estimate: Estimate) -> Cell:
    """A ratio with two digits."""
    return _cell(estimate, "{:.2f}")


def _cell(estimate: Estimate, form: str) -> Cell:
    if estimate.value is None:
        return Cell("–", "", estimate.why)
    known = estimate.low is not None and estimate.high is not None
    span = f"{form.format(estimate.low)} to {form.format(estimate.high)}" if known else ""
    return Cell(form.format(estimate.value), span, estimate.why)
