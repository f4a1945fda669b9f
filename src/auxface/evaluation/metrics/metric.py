"""The definition of a metric, with all information that the audit, the report and the tables need.

To add a metric, pass a :class:`Metric` to :func:`~auxface.evaluation.metrics.register_metric`. It then appears in
``report.json``, on the report page and in the CSV files. The simplest kind of metric is the mean of one number per
sample:

>>> from auxface.evaluation import Metric, mean_over_samples, register_metric
>>> log_loss = Metric(
...     "log_loss", "log loss", "the mean negative logarithm of the score of the true class", ("binary",),
...     family=mean_over_samples, compute=lambda data: (-np.log(np.abs(1 - data.true - data.score)), None),
...     higher_is_better=False, unit="", bounds=(0.0, np.inf),
... )
>>> log_loss.format(0.6931)
'0.693'
>>> register_metric(log_loss)  # doctest: +SKIP

:func:`metric_from_function` makes a :class:`Metric` from any ``function(y_true, y_score_or_pred) -> float``, such as
those of scikit-learn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from auxface.evaluation.intervals import IntervalRule, percentile
from auxface.evaluation.resampling import Resampling
from auxface.task import Kind

# The samples from which a metric is computed. "predicted positive" means the samples that a binary decision classifies
# as positive.
Subset = Literal["all", "positive", "negative", "predicted positive"]


@dataclass(frozen=True)
class MetricInput:
    """One task of one table, divided into levels: the input of a family of metrics.

    Attributes:
        true: true class index, int64 [N]; for an ordinal task, the true value, float64 [N].
        predicted: predicted class index, int64 [N]; None for an ordinal task.
        score: score of each class, float64 [N, C]; for a binary task, that of the positive class, [N]; for an ordinal
            task, the predicted value, [N].
        classes: number of classes; 0 for an ordinal task.
        level: index of the level of each sample, int64 [N] in 0..levels-1.
        levels: number of levels.
        cluster: cluster of each sample, int64 [N].
        resampling: resamples of the clusters.
        skip: levels that are not measured and need no values, bool [levels]; None if every level is measured.
        abstain: abstain band (low, high) of scores for which the model abstains; None if it never abstains.
        weight: sample weights, float64 [N]; None if all are equal.
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
        """Return the indices of the levels that need values."""
        return [place for place in range(self.levels) if self.skip is None or not self.skip[place]]


@dataclass(frozen=True)
class Resampled:
    """The values of one metric at every level, on the data and on every resample.

    Attributes:
        values: value at each level on the data and on each resample, float64 [levels, 1+R]; NaN where undefined.
        unfolded: signed version of ``values``, float64 [levels, 1+R] (see
            :class:`~auxface.evaluation.intervals.Draws`); None for most metrics.
        why: reason for a missing value, by index of the level.
    """

    values: np.ndarray
    unfolded: np.ndarray | None = None
    why: Mapping[int, str] = field(default_factory=dict)


Family = Callable[[Sequence["Metric"], MetricInput], dict[str, Resampled]]


@dataclass(frozen=True)
class Metric:
    """A metric: its definition, its computation, its interval rule and its format.

    Attributes:
        name: key in ``report.json`` and in the CSV files.
        title: name in running text.
        meaning: one-line explanation, without a full stop.
        kinds: kinds of tasks to which the metric applies. For ``multilabel``, the mean over attributes is reported;
            each individual attribute is a ``binary`` task.
        family: function that computes all metrics of a family on all resamples at once, because these share most of the
            work. It may omit a metric that does not apply to the input.
        compute: function that computes the metric; its argument depends on the family, for example
            :class:`~auxface.evaluation.metrics.classification.Counts`.
        higher_is_better: whether larger values are better.
        unit: ``"%"`` if values are shown as percentages and differences in percentage points; ``""`` if they are shown
            as plain numbers.
        digits: number of decimals of a plain number.
        bounds: lowest and highest possible value.
        rule: rule that computes the interval.
        needs_scores: whether the metric needs scores, not only decisions.
        two_classes: whether the metric applies to ``class`` tasks only if they have two classes.
        samples: samples from which the metric is computed; their number is ``n``.
        units: independent units for the interval: the clusters of ``samples`` or the clusters of the ``rarest class``.
            If None, all clusters are used, without a Wilson interval.
        equal_classes: whether the metric is an equally weighted mean over classes.
        minimum: minimum number of samples of each subset for the metric to have a value.
        minimum_clusters: minimum number of clusters of each subset for the metric to have an interval.
        compared: whether to report gaps between the levels of a group.
        counts_missing: whether the metric is a fraction of all samples, so that samples without a score can count as
            errors.
        column: position in the report page's table of metrics, by kind of task; the metric is not shown for other
            kinds.
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
        """Return whether the metric applies to a task of this kind with this number of classes."""
        return kind in self.kinds and (kind != "class" or not self.two_classes or classes == 2)

    def better(self, first: float, second: float) -> bool:
        """Return whether ``first`` is a better value than ``second``."""
        return first > second if self.higher_is_better else first < second

    def format(self, value: float | None, *, signed: bool = False) -> str:
        """Format a value, as in ``71.4%``, ``0.934`` or ``4.2``; return a dash for None."""
        if value is None:
            return "–"
        sign = "+" if signed else ""
        # Small negative values are rounded to negative zero; adding 0 turns it into zero.
        shown = round(100 * value, 1) + 0.0 if self.percent else round(value, self.digits) + 0.0
        text = f"{shown:{sign}.1f}%" if self.percent else f"{shown:{sign}.{self.digits}f}"
        return text.replace("-", "−")

    def format_difference(self, value: float, *, signed: bool = True) -> str:
        """Format a difference between two values; differences between percentages are given in points."""
        text = self.format(value, signed=signed)
        return text.removesuffix("%") + " points" if self.percent else text


def mean_over_samples(metrics: Sequence[Metric], data: MetricInput) -> dict[str, Resampled]:
    """Compute the metrics that are a mean over samples, or a ratio of two sums.

    ``compute`` receives the :class:`MetricInput` and returns the numerator, float or bool [N], and the denominator,
    [N]; a denominator of None stands for the number of samples. ``compute`` returns None if the metric does not apply
    to the input.
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
    """Make a metric from any function of true labels and predictions.

    The function is called once per level and resample on the rows of that resample, repeated as often as they were
    drawn; 1,000 resamples of a table of 100,000 rows therefore take 1,000 times as long as one call.

    Args:
        name: key in ``report.json`` and the CSVs.
        function: ``function(y_true, y)``. ``y_true`` is the true class index, int64 [N] (binary: 0 or 1; ordinal: the
            true value). If the function raises ``ValueError`` or returns NaN, the metric is undefined on that resample.
        kinds: kinds of tasks to which the metric applies.
        of: whether ``y`` is the predicted class index, int64 [N], or the score, float64 [N] (``class`` tasks: [N, C]).
        title: name in running text; by default ``name``.
        meaning: one-line explanation, without a full stop.
        higher_is_better: whether larger values are better.
        unit: ``"%"`` for a metric that is shown as a percentage, otherwise ``""``.
        bounds: lowest and highest possible value.
        rule: rule that computes the interval.
        compared: whether to report gaps between the levels of a group.

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
    """Compute the metrics separately on every resample; their ``compute`` receives the data and the row numbers."""
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
