"""Mean of a metric over seeds, with an interval that covers both the seeds and the test samples.

The variance of the mean is the sum of two parts:

* the variance over test samples, from resampling the clusters of the test set, with the same resamples for every seed
  and every method;
* the variance between seeds divided by their number S. It is computed directly, because the few seeds cannot be
  resampled: three seeds have ten distinct resamples, with a variance that is a third too small.

The interval is Student's, with the degrees of freedom of such a sum (Satterthwaite, 1946). The interaction of seeds and
samples is counted in both parts, so the interval is slightly too wide rather than too narrow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from auxface.evaluation.intervals import CONFIDENCE, MINIMUM_FINITE, Draws, Estimate

ONE_SEED = "one seed: the interval covers the samples only"


@dataclass(frozen=True)
class SeedMean:
    """A mean over seeds.

    Attributes:
        estimate: value, interval, number of samples and clusters; ``more`` holds ``seeds`` and ``between_seeds``, their
            standard deviation.
        p: two-sided p-value for a mean of zero; None without an interval.
    """

    estimate: Estimate
    p: float | None


def mean_over_seeds(draws: Sequence[Draws]) -> SeedMean:
    """Return the mean of a metric over seeds with its interval.

    Args:
        draws: values of the metric on the same resamples, one entry per seed.

    Raises:
        ValueError: no seed.

    Example:
        >>> import numpy as np
        >>> from auxface.evaluation.intervals import Draws
        >>> generator = np.random.default_rng(0)
        >>> draws = [Draws(np.r_[0.8, generator.normal(0.8, 0.01, 500)], 1000, 500) for seed in range(3)]
        >>> round(mean_over_seeds(draws).estimate.value, 3)
        0.8
    """
    if not draws:
        raise ValueError("a mean over seeds needs at least one seed")
    n, clusters = min(one.n for one in draws), min(one.clusters for one in draws)
    why = next((one.why for one in draws if one.why), None)
    values = np.stack([one.values for one in draws])
    if why or np.isnan(values[:, 0]).any():
        more: dict[str, object] = {"seeds": len(draws)}
        return SeedMean(Estimate(None, None, None, n, clusters, why or "undefined on these samples", more), None)
    seeds = len(draws)
    value = float(values[:, 0].mean())
    between = float(values[:, 0].std(ddof=1)) if seeds > 1 else None
    more = {"seeds": seeds, "between_seeds": between}
    resampled = values[:, 1:].mean(axis=0)
    finite = resampled[np.isfinite(resampled)]
    if clusters < 2 or len(finite) < MINIMUM_FINITE * len(resampled):
        reason = "too few clusters for an interval" if clusters < 2 else "undefined in too many resamples"
        return SeedMean(Estimate(value, None, None, n, clusters, reason, more), None)
    low, high, p = student_interval(
        value,
        sample_variance=float(finite.var(ddof=1)),
        between_seeds=between,
        seeds=seeds,
        clusters=clusters,
        bounds=draws[0].bounds,
    )
    reason = ONE_SEED if between is None else None
    return SeedMean(Estimate(value, low, high, n, clusters, reason, more), p)


def difference_over_seeds(first: Mapping[int, Draws], second: Mapping[int, Draws]) -> SeedMean | None:
    """Return the mean of ``first`` minus ``second``, paired by seed; None without a common seed.

    Two methods with the same seed see the same images in the same order and start from the same initial weights.

    Args:
        first: seed to values of the metric.
        second: the same for the other method, on the same resamples.
    """
    common = sorted(set(first) & set(second))
    if not common:
        return None
    pairs = [(first[seed], second[seed]) for seed in common]
    return mean_over_seeds(
        [
            Draws(
                one.values - other.values,
                min(one.n, other.n),
                min(one.clusters, other.clusters),
                why=one.why or other.why,
            )
            for one, other in pairs
        ]
    )


def student_interval(
    value: float,
    *,
    sample_variance: float,
    between_seeds: float | None,
    seeds: int,
    clusters: int,
    bounds: tuple[float, float],
) -> tuple[float, float, float]:
    """Return the lower and upper end of Student's interval of a mean over seeds, and the p-value for a mean of zero.

    Args:
        value: the mean.
        sample_variance: its variance over test samples.
        between_seeds: standard deviation between seeds; None for one seed.
        seeds: number of seeds.
        clusters: number of clusters of test samples.
        bounds: range of the metric, to which the ends are clipped.
    """
    seed_variance = 0.0 if between_seeds is None else between_seeds**2 / seeds
    total = sample_variance + seed_variance
    if total == 0:
        return value, value, 1.0 if value == 0 else 0.0
    freedom = total**2 / (sample_variance**2 / (clusters - 1) + seed_variance**2 / max(seeds - 1, 1))
    half_width = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * total**0.5
    low, high = (float(np.clip(end, *bounds)) for end in (value - half_width, value + half_width))
    return low, high, float(2 * stats.t.sf(abs(value) / total**0.5, freedom))
