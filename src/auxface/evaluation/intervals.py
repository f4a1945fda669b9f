"""95% confidence intervals: one function per interval rule.

A :class:`Draws` holds the values of a metric on the data and on every resample. Its ``rule`` turns them into an
interval:

=========================  ============================================================================================
:func:`shrunk_wilson`      rates (Wilson, 1927; with few clusters, the variance is shrunk toward that of equal samples)
:func:`percentile`         other means (Efron, 1979; expanded for few clusters: Hesterberg, 2015)
:func:`logit_student`      ranking metrics (Pepe, 2003; Boyd et al., 2013)
:func:`debiased_student`   the calibration error, which resampling inflates
:func:`mirrored`           the worst value over several levels
:func:`gap_interval`       the largest difference between several levels (Tukey, 1953)
:func:`ratio_interval`     the smallest ratio between several levels
=========================  ============================================================================================

>>> draws = Draws(np.concatenate([[0.8], np.linspace(0.7, 0.9, 1000)]), n=500, clusters=100)
>>> estimate = draws.estimate()
>>> round(estimate.low, 2), estimate.value, round(estimate.high, 2)
(0.7, 0.8, 0.9)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, ndtr, ndtri, stdtrit

CONFIDENCE = 0.95
SIGNIFICANT = 0.05
"""A difference is significant if its p-value, corrected for several comparisons, is below this level."""
# An interval is given only if the metric is defined on at least this fraction of the resamples.
MINIMUM_FINITE = 0.9
# If quantiles of the resamples are closer than this, all resamples are equal up to rounding.
CONSTANT = 1e-9
# With few clusters, the variance is averaged with a conservative estimate, which is weighted as this many clusters.
_PRIOR_UNITS = 2
# The weight is constant up to this many units. With more units, it decreases as 1 / units, since the variance is well
# estimated.
_PRIOR_UP_TO = 10
# With fewer units than this, percentile intervals are at least as wide as Student's intervals.
FEW_UNITS = 30


def student_quantile(freedom: float) -> float:
    """Return Student's quantile of a two-sided 95% interval with this many degrees of freedom."""
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


@dataclass(frozen=True)
class Estimate:
    """An estimated number with its 95% interval and sample counts.

    Attributes:
        value: estimated value; None if it cannot be measured, for the reason in ``why``.
        low: lower end of the interval; None if no interval can be given, for the reason in ``why``.
        high: upper end of the interval; None if no interval can be given.
        n: number of samples.
        clusters: number of clusters of these samples.
        why: reason why there is no value or no interval.
        more: additional information, such as the worst level of a gap.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    clusters: int
    why: str | None = None
    more: dict[str, object] | None = None

    def to_dict(self) -> dict[str, object]:
        """Return the estimate as in ``report.json``: rounded numbers, or only ``why`` if there is no value."""
        if self.value is None:
            return {"why": self.why}
        entry: dict[str, object] = {"low": self.low, "high": self.high} | (self.more or {})
        entry = {name: rounded(one) if isinstance(one, float) else one for name, one in entry.items()}
        entry = {"value": rounded(self.value, 6)} | entry
        counts: dict[str, object] = {"n": self.n, "clusters": self.clusters}
        return entry | counts | ({"why": self.why} if self.why else {})


def rounded(number: float, digits: int = 4) -> float:
    """Round a number to the significant digits used in ``report.json``; the CSV files have all digits.

    Whole numbers are returned as ``int``, so that ``report.json`` has ``1`` in place of ``1.0``.
    """
    found = float(f"{number:.{digits}g}")
    return int(found) if found.is_integer() and abs(found) < 10**digits else found


IntervalRule = Callable[["Draws"], tuple[float, float]]


def percentile(draws: "Draws") -> tuple[float, float]:
    """Return the expanded percentile interval.

    The quantiles are widened according to the number of independent units, as given by Hesterberg (2015, "What Teachers
    Should Know About the Bootstrap"). With few units, the interval is at least as wide as Student's interval. If all
    resamples give the same value, for example if there are no errors, the result is Wilson's interval for this number
    of units.
    """
    low, high = _quantiles(draws)
    if high - low < CONSTANT and draws.bounds == (0.0, 1.0):
        return wilson(float(draws.values[0]), draws.independent(), quantile=draws.student())
    if draws.degrees() < FEW_UNITS:
        half = draws.student() * draws.standard_error()
        low, high = min(low, float(draws.values[0]) - half), max(high, float(draws.values[0]) + half)
    return low, high


def plain_percentile(draws: "Draws") -> tuple[float, float]:
    """Return the percentile interval of resamples whose spread is already widened, such as those of gaps."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(draws.values[1:], [tail, 1 - tail], method="weibull")
    return float(low), float(high)


def shrunk_wilson(draws: "Draws") -> tuple[float, float]:
    """Return Wilson's (1927) interval of a rate over clusters, with Student's quantile.

    The formula uses the effective sample size implied by the variance of the metric. The variance estimated from few
    clusters is itself uncertain and usually too small: three videos may all be easy. The estimate is therefore averaged
    with the variance that the rate would have if all samples of a cluster were equal, which is weighted as two
    clusters. With more than ten clusters, this weight decreases.
    """
    value, units, independent = float(draws.values[0]), draws.degrees() + 1, draws.independent()
    spread = value * (1 - value)
    effective = independent
    if spread > CONSTANT:
        prior = spread / independent
        effective = spread / _shrunk(draws.standard_error() ** 2, prior, units)
    return wilson(value, effective, quantile=draws.student())


def logit_student(draws: "Draws") -> tuple[float, float]:
    """Return Student's interval on the logit scale; the degrees of freedom are the number of units minus one.

    Use it for metrics whose sampling distribution is skewed near 0 and 1 (Pepe, 2003; Boyd et al., 2013). The variance
    is shrunk as in :func:`shrunk_wilson`, whose interval is returned if the value, or more than a few resamples, are 0
    or 1.
    """
    value, units = float(draws.values[0]), draws.degrees() + 1
    inside = draws.values[1:][(draws.values[1:] > 0) & (draws.values[1:] < 1)]
    few_inside = len(inside) < MINIMUM_FINITE * (len(draws.values) - 1)
    if not 0 < value < 1 or few_inside:
        return shrunk_wilson(draws)
    variance = float(logit(inside).var()) * units / (units - 1)
    prior = 1 / (draws.independent() * value * (1 - value))
    half = draws.student() * np.sqrt(_shrunk(variance, prior, units))
    return float(expit(logit(value) - half)), float(expit(logit(value) + half))


def _shrunk(variance: float, prior: float, units: float) -> float:
    """Return the weighted mean of a variance estimated from ``units`` and a prior variance."""
    weight = _PRIOR_UNITS * min(1.0, _PRIOR_UP_TO / units)
    return ((units - 1) * variance + weight * prior) / (units - 1 + weight)


def debiased_student(draws: "Draws") -> tuple[float, float]:
    """Return Student's interval around the bias-corrected value; the resamples give the bias and the standard error.

    The standard error is that of the resamples or of ``draws.unfolded``, whichever is larger. The estimate of the bias
    is too small where the true value lies near its bound, so it is subtracted twice at the lower end. Without
    ``draws.unfolded``, the result is that of :func:`mirrored`.
    """
    if draws.unfolded is None:
        return mirrored(draws)
    value, spread = float(draws.values[0]), float(np.nanstd(draws.unfolded[1:]))
    known = draws.values[1:][np.isfinite(draws.values[1:])]
    bias = max(float(known.mean()) - value, 0.0)
    middle = max(value - bias, draws.bounds[0])
    quantile = student_quantile(draws.clusters - 1)
    error = max(float(known.std()), spread) * np.sqrt(draws.clusters / (draws.clusters - 1))
    return min(middle - quantile * error - bias, value), max(middle + quantile * error, value)


def mirrored(draws: "Draws") -> tuple[float, float]:
    """Reflect the percentile interval about the value, which removes the bias of a maximum or a distance.

    The interval always contains the value. The spread of the resamples must already be widened.
    """
    low, high = plain_percentile(draws)
    value = float(draws.values[0])
    return min(2 * value - high, value), max(2 * value - low, value)


def gap_interval(draws: "Draws", *, reach: float | None) -> tuple[float, float]:
    """Return the interval of a largest difference, from ``reach`` below its value to the upper quantile.

    Args:
        draws: draws of the difference between the two extreme levels.
        reach: limit that the largest difference between levels exceeds with probability 1/20 under equal performance.
            It makes the interval valid for all pairs of levels at once (Tukey, 1953). If None, the lower quantile is
            used.
    """
    low, high = plain_percentile(draws)
    return (low if reach is None else float(draws.values[0]) - reach), high


def ratio_interval(draws: "Draws", *, reach: float | None) -> tuple[float, float]:
    """Return the interval of a smallest ratio, from the lower quantile to ``reach`` above its value."""
    low, high = plain_percentile(draws)
    return low, (high if reach is None else float(draws.values[0]) + reach)


def wilson(share: float, n: float, *, quantile: float | None = None) -> tuple[float, float]:
    """Return Wilson's (1927) score interval of a fraction of ``n`` units, by default with the normal quantile."""
    z = float(ndtri((1 + CONFIDENCE) / 2)) if quantile is None else quantile
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


@dataclass(frozen=True)
class Precision:
    """The precision of one metric at one level of a group.

    Attributes:
        error: standard error, defined so that the 95% interval is 3.92 standard errors wide.
        clusters: number of clusters.
        units: number of clusters that limits the precision of the metric, such as the clusters of the rarest class.
    """

    error: float
    clusters: int
    units: int

    def to_dict(self) -> dict[str, float | int]:
        """Return the precision in the form of ``report.json``."""
        return {"error": rounded(self.error), "clusters": self.clusters, "units": self.units}


@dataclass(frozen=True)
class Draws:
    """A metric on the data (``values[0]``) and on every resample (``values[1:]``), float64 [1+R].

    Attributes:
        values: value on the data, then on each resample; NaN where the metric is undefined.
        n: number of samples.
        clusters: number of clusters of these samples.
        units: number of independent units that limits the precision of a metric in [0, 1], such as the clusters of the
            rarest class; None means ``clusters``. There is one degree of freedom fewer than units.
        effective: number of independent units that the metric would have if all samples of a cluster were equal; None
            means ``units``. A mean over two classes has more units than the rarest class alone.
        why: reason why the metric cannot be measured; None if it can.
        no_interval: reason why the resamples give no valid interval; None if they give one.
        rule: function that computes the interval from the draws.
        unfolded: for :func:`debiased_student`, the same metric without absolute values, so that its deviations are
            signed.
        noise: for a gap, the gap between levels of equal performance on every resample, float64 [R].
        levels: for a gap, the precision of each level.
        bounds: lowest and highest possible value.
        more: additional information for the estimate.
    """

    values: np.ndarray
    n: int
    clusters: int
    units: int | None = None
    effective: float | None = None
    why: str | None = None
    no_interval: str | None = None
    rule: IntervalRule = percentile
    unfolded: np.ndarray | None = None
    noise: np.ndarray | None = None
    levels: Mapping[str, Precision] | None = None
    bounds: tuple[float, float] = (-np.inf, np.inf)
    more: Mapping[str, object] | None = None

    def degrees(self) -> int:
        """Return the number of degrees of freedom of the standard error."""
        return max(1, (self.clusters if self.units is None else min(self.units, self.clusters)) - 1)

    def independent(self) -> float:
        """Return the number of independent units that the metric would have if all samples of a cluster were equal."""
        return float(self.degrees() + 1 if self.effective is None else self.effective)

    def student(self) -> float:
        """Return Student's quantile of the two-sided interval."""
        return student_quantile(self.degrees())

    def standard_error(self) -> float:
        """Return the standard deviation of the resamples, corrected for the number of units."""
        finite = self.values[1:][np.isfinite(self.values[1:])]
        return float(finite.std()) * float(np.sqrt((self.degrees() + 1) / self.degrees()))

    def estimate(self) -> Estimate:
        """Return the value and its interval, clipped to ``bounds``."""
        more = dict(self.more) if self.more else None
        if self.why or np.isnan(self.values[0]):
            why = self.why or "undefined on these samples"
            return Estimate(None, None, None, self.n, self.clusters, why, more)
        value = float(self.values[0])
        why = self.why_no_interval()
        if why:
            return Estimate(value, None, None, self.n, self.clusters, why, more)
        low, high = (float(np.clip(end, *self.bounds)) for end in self.rule(self))
        return Estimate(value, low, high, self.n, self.clusters, None, more)

    def why_no_interval(self) -> str | None:
        """Return the reason why the resamples give no valid interval; None if they give one."""
        if self.clusters < 2:
            return "all samples belong to one cluster: no interval"
        if self.units is not None and self.units < 2:
            return "all samples of a class belong to one cluster: no interval"
        finite = np.isfinite(self.values[1:]).mean()
        if finite < MINIMUM_FINITE:
            return f"undefined in {1 - finite:.0%} of the resamples: no interval"
        return self.no_interval


def _quantiles(draws: Draws) -> tuple[float, float]:
    """Return the quantiles of the resamples, widened if there are fewer units than clusters."""
    units = draws.clusters if draws.units is None else max(2, min(draws.clusters, draws.units))
    finite = draws.values[1:][np.isfinite(draws.values[1:])]
    wide = ndtr(-np.sqrt(units / (units - 1)) * student_quantile(units - 1))
    # With Weibull's plotting positions, a new resample lies beyond each quantile with exactly this probability, for any
    # number of resamples.
    low, high = np.quantile(finite, [wide, 1 - wide], method="weibull")
    return float(low), float(high)
