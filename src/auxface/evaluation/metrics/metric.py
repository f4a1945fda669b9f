"""The record of a metric, with all information that the audit, the report and the tables need.

To add a metric, pass a record to :func:`~auxface.evaluation.metrics.register_metric`. It then appears in
``report.json``, on the page and in the CSVs. The simplest one is the mean of a number per sample:

>>> from auxface.evaluation import Metric, mean_over_samples, register_metric
>>> log_loss = Metric(
...     "log_loss", "log loss", "the mean negative logarithm of the score of the true class", ("binary",),
...     family=mean_over_samples, compute=lambda data: (-np.log(np.abs(1 - data.true - data.score)), None),
...     higher_is_better=False, unit="", bounds=(0.0, np.inf),
... )
>>> log_loss.format(0.6931)
'0.693'
>>> register_metric(log_loss)  # doctest: +SKIP

:func:`metric_from_function` makes a record of any ``function(y_true, y_score_or_pred) -> float``, such as those of
scikit-learn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from auxface.evaluation.intervals import IntervalRule, Resampling, percentile
from auxface.task import Kind

# The samples that a metric is computed from. "predicted positive" are the alarms of a binary decision.
Subset = Literal["all", "positive", "negative", "predicted positive"]


@dataclass(frozen=True)
class MetricInput:
    """One task of one table, divided into levels: the input of a family of metrics.

    Attributes:
        true: class index, int64 [N]; for an ordinal task the number, float64 [N].
        predicted: class index, int64 [N]; None for an ordinal task.
        score: float64 [N, C] per class; binary: [N], of the positive class; ordinal: [N], the predicted number.
        classes: number of classes; 0 for an ordinal task.
        level: level of each sample, int64 [N] in 0..levels-1.
        levels: number of levels.
        cluster: cluster of each sample, int64 [N].
        resampling: the resamples.
        skip: levels that are not measured and need no values, bool [levels]; None: every level is measured.
        abstain: (low, high): scores at which the model gives no answer; None: it always answers.
        weight: sample weights, float64 [N]; None: all are equal.
    """

    true: np.ndarray
    predicted: np.ndarray | None
    score: np.ndarray
    classes: int
    level: np.ndarray
    levels: int
    cluster: np.ndarray
    resampling: Resampling
    skip: np.ndarray | None = None
    abstain: tuple[float, float] | None = None
    weight: np.ndarray | None = None

    def measured_levels(self) -> list[int]:
        """Return the levels that need values."""
        return [place for place in range(self.levels) if self.skip is None or not self.skip[place]]


@dataclass(frozen=True)
class Resampled:
    """One metric of every level, on the data and on every resample.

    Attributes:
        values: float64 [levels, 1+R]; NaN where undefined.
        unfolded: float64 [levels, 1+R], see :class:`~auxface.evaluation.intervals.Draws`; None for most metrics.
        why: level to the reason for a missing value.
    """

    values: np.ndarray
    unfolded: np.ndarray | None = None
    why: Mapping[int, str] = field(default_factory=dict)


Family = Callable[[Sequence["Metric"], MetricInput], dict[str, Resampled]]


@dataclass(frozen=True)
class Metric:
    """A metric: its definition, its computation, its interval rule and its format.

    Attributes:
        name: its key in ``report.json`` and the CSVs.
        title: its name in running text.
        meaning: one-line explanation, without a full stop.
        kinds: the kinds of tasks that have it. With ``multilabel`` the mean over attributes is reported; each attribute
            by itself is a ``binary`` task.
        family: computes all metrics of one family on all resamples at once, because they share most of the work. It
            may omit a metric that does not apply to the input.
        compute: the metric itself; its argument depends on the family, such as
            :class:`~auxface.evaluation.metrics.classification.Counts`.
        higher_is_better: the direction.
        unit: ``"%"``: shown as a percentage, and differences as points; ``""``: shown as a plain number.
        digits: decimals of a plain number.
        bounds: the possible range.
        rule: the interval rule.
        needs_scores: whether it needs scores, not only decisions.
        two_classes: whether a ``class`` task has it only with two classes.
        samples: the samples from which it is computed; their number is ``n``.
        units: independent units behind the interval: the clusters of ``samples``, the clusters of the ``rarest class``,
            or None: all clusters, and no Wilson interval.
        equal_classes: whether it is a mean over classes of equal weight.
        minimum: smallest number of samples of a subset with which the metric has a value.
        minimum_clusters: smallest number of clusters of a subset with which the metric has an interval.
        compared: whether gaps between the levels of a group are reported.
        counts_missing: whether it is a fraction of all samples, so that samples without a score can count as errors.
        column: position in the page's table of metrics by kind; a kind that is absent does not show the metric there.
    """

    name: str
    title: str
    meaning: str
    kinds: tuple[Kind, ...]
    family: Family
    compute: Callable[..., Any]
    higher_is_better: bool = True
    unit: Literal["%", ""] = "%"
    digits: int = 3
    bounds: tuple[float, float] = (0.0, 1.0)
    rule: IntervalRule = percentile
    needs_scores: bool = False
    two_classes: bool = False
    samples: Subset = "all"
    units: Literal["samples", "rarest class"] | None = "samples"
    equal_classes: bool = False
    minimum: Mapping[Subset, int] = field(default_factory=dict)
    minimum_clusters: Mapping[Subset, int] = field(default_factory=dict)
    compared: bool = False
    counts_missing: bool = False
    column: Mapping[Kind, int] = field(default_factory=dict)

    @property
    def percent(self) -> bool:
        """Whether the value is shown as a percentage."""
        return self.unit == "%"

    def applies(self, kind: Kind, classes: int) -> bool:
        """Return whether a task of this kind and number of classes has the metric."""
        return kind in self.kinds and (kind != "class" or not self.two_classes or classes == 2)

    def better(self, first: float, second: float) -> bool:
        """Return whether ``first`` is the better value."""
        return first > second if self.higher_is_better else first < second

    def format(self, value: float | None, *, signed: bool = False) -> str:
        """Format a value, such as ``71.4%``, ``0.934`` or ``4.2``; a dash for None."""
        if value is None:
            return "–"
        sign = "+" if signed else ""
        text = f"{100 * value:{sign}.1f}%" if self.percent else f"{value:{sign}.{self.digits}f}"
        return text.replace("-", "−")

    def format_difference(self, value: float, *, signed: bool = True) -> str:
        """Format a difference of two values; differences of percentages are given in points."""
        text = self.format(value, signed=signed)
        return text.removesuffix("%") + " points" if self.percent else text


def mean_over_samples(metrics: Sequence[Metric], data: MetricInput) -> dict[str, Resampled]:
    """Compute the metrics that are a mean over samples, or a ratio of two sums.

    ``compute`` receives the :class:`MetricInput` and returns the numerator, float or bool [N], and the denominator
    [N], or None for the number of samples; it returns None if the metric does not apply to the input.
    """
    found = {}
    for metric in metrics:
        parts = metric.compute(data)
        if parts is not None:
            above, below = parts
            if data.weight is not None:
                above, below = above * data.weight, data.weight if below is None else below * data.weight
            values = data.resampling.ratios(above, below, level=data.level, levels=data.levels, cluster=data.cluster)
            found[metric.name] = Resampled(values)
    return found


def metric_from_function(
    name: str,
    function: Callable[[np.ndarray, np.ndarray], float],
    *,
    kinds: tuple[Kind, ...] = ("class", "binary"),
    of: Literal["prediction", "score"] = "prediction",
    title: str | None = None,
    meaning: str = "a metric given by the user",
    higher_is_better: bool = True,
    unit: Literal["%", ""] = "",
    bounds: tuple[float, float] = (-np.inf, np.inf),
    rule: IntervalRule = percentile,
    compared: bool = True,
) -> Metric:
    """Return the record of a metric that is any function of truth and prediction.

    The function is called once per level and resample on the rows of that resample, repeated as often as they were
    drawn; 1,000 resamples of a table of 100,000 rows therefore take 1,000 times as long as one call.

    Args:
        name: key in ``report.json`` and the CSVs.
        function: ``function(y_true, y)``. Truth is the class index, int64 [N] (binary: 0 and 1; ordinal: the number).
            A resample on which it raises ``ValueError`` or returns NaN counts as undefined.
        kinds: the kinds of tasks that have it.
        of: whether ``y`` is the predicted class index, int64 [N], or the score, float64 [N] (``class`` tasks: [N, C]).
        title: name in running text; ``name`` by default.
        meaning: one-line explanation.
        higher_is_better: the direction.
        unit: ``"%"`` or ``""``.
        bounds: the possible range.
        rule: the interval rule.
        compared: whether gaps between groups are reported.

    >>> from sklearn.metrics import matthews_corrcoef
    >>> metric_from_function("mcc", matthews_corrcoef, title="MCC", bounds=(-1, 1)).format(0.5)
    '0.500'
    """

    def compute(data: MetricInput, rows: np.ndarray) -> float:
        y = data.score if of == "score" or data.predicted is None else data.predicted
        return float(function(data.true[rows], y[rows]))

    return Metric(
        name,
        title or name,
        meaning,
        kinds,
        per_resample,
        compute,
        higher_is_better,
        unit,
        bounds=bounds,
        rule=rule,
        units="rarest class",
        compared=compared,
        column=dict.fromkeys(kinds, 1000),
    )


def per_resample(metrics: Sequence[Metric], data: MetricInput) -> dict[str, Resampled]:
    """Compute the metrics on every resample separately; their ``compute`` receives the data and the rows."""
    width = data.resampling.weights.shape[1]
    bundle = data.resampling.bundle[data.cluster]
    found = {}
    for metric in metrics:
        values, why = np.full((data.levels, width), np.nan), {}
        if data.weight is not None:
            why = dict.fromkeys(range(data.levels), f"{metric.name} is a function that takes no sample weights")
            found[metric.name] = Resampled(values, why=why)
            continue
        for place in data.measured_levels():
            rows = np.flatnonzero(data.level == place)
            for column in range(width):
                times = data.resampling.weights[bundle[rows], column].astype(np.int64)
                try:
                    values[place, column] = metric.compute(data, np.repeat(rows, times))
                except ValueError as error:
                    if column == 0:
                        why[place] = f"{metric.name} is undefined: {error}"
                        break
        found[metric.name] = Resampled(values, why=why)
    return found
