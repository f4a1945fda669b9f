"""The mean of a figure over seeds, with an interval for the uncertainty of both the seeds and the test samples.

The clusters of the test set are resampled, with the same resamples for every seed and method. The seeds are few: three
have ten different resamples, whose spread is too small by a third. Their part of the variance is therefore what endless
resampling comes to, corrected by S/(S-1): the variance between seeds over S. The two parts are added, and the interval
is Student's with the degrees of freedom of such a sum (Satterthwaite, 1946). What seeds and samples do together is
counted in both parts, so that the interval is a little too wide rather than too narrow.

Several methods over several data sets: mean ranks, Friedman's test, and the critical difference of Nemenyi.

Demšar (2006), "Statistical Comparisons of Classifiers over Multiple Data Sets".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from auxface.evaluation.intervals import CONFIDENCE, MINIMUM_FINITE, Draws, Estimate

ONE_SEED = "one seed: the interval is of the samples alone"


@dataclass(frozen=True)
class SeedMean:
    """A mean over seeds.

    Attributes:
        estimate: value, interval, samples and clusters; ``more`` holds ``seeds`` and ``between_seeds``, their standard
            deviation.
        p: two-sided, of the mean being nought; None without an interval.
    """

    estimate: Estimate
    p: float | None


def mean_over_seeds(draws: Sequence[Draws]) -> SeedMean:
    """The mean of a metric over seeds.

    Args:
        draws: one per seed, on the same resamples.

    Raises:
        ValueError: no seed.
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
    of_samples = float(finite.var(ddof=1))
    low, high, p = student_interval(
        value, of_samples=of_samples, between_seeds=between, seeds=seeds, clusters=clusters, bounds=draws[0].bounds
    )
    reason = ONE_SEED if between is None else None
    return SeedMean(Estimate(value, low, high, n, clusters, reason, more), p)


def student_interval(
    value: float,
    *,
    of_samples: float,
    between_seeds: float | None,
    seeds: int,
    clusters: int,
    bounds: tuple[float, float],
) -> tuple[float, float, float]:
    """Return the ends of Student's interval of a mean over seeds, and the two-sided p of the mean being nought.

    Args:
        value: the mean.
        of_samples: its variance over test samples.
        between_seeds: standard deviation between seeds; None: one seed.
        seeds: how many.
        clusters: of the test samples.
        bounds: the possible range of the metric, to which the ends are clipped.
    """
    of_seeds = 0.0 if between_seeds is None else between_seeds**2 / seeds
    total = of_samples + of_seeds
    if total == 0:
        return value, value, 1.0 if value == 0 else 0.0
    freedom = total**2 / (of_samples**2 / (clusters - 1) + of_seeds**2 / max(seeds - 1, 1))
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * total**0.5
    low, high = (float(np.clip(end, *bounds)) for end in (value - reach, value + reach))
    return low, high, float(2 * stats.t.sf(abs(value) / total**0.5, freedom))


def difference_over_seeds(ours: Mapping[int, Draws], theirs: Mapping[int, Draws]) -> SeedMean | None:
    """Mean of ``ours`` minus ``theirs`` over the seeds that both have, seed by seed; None where they share none.

    A seed gives two methods the same images in the same order and the same first weights, so they are paired by it.
    """
    shared = sorted(set(ours) & set(theirs))
    if not shared:
        return None
    pairs = [(ours[seed], theirs[seed]) for seed in shared]
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


FEWEST_METHODS, FEWEST_DATA = 3, 2
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Ranks:
    """Mean ranks over data sets, 1 the best.

    Attributes:
        mean: method to mean rank, the best first.
        data: the data sets, on which every method was measured.
        p: of Friedman's test that all methods are alike; None where all are equal everywhere.
        critical: two methods whose mean ranks differ by more are told apart.
        groups: runs of methods (the best first) within which none are told apart, longest ones alone.
    """

    mean: dict[str, float]
    data: tuple[str, ...]
    p: float | None
    critical: float
    groups: tuple[tuple[str, ...], ...]

    @property
    def can_tell(self) -> bool:
        """Whether so many data sets could tell apart even the best from the worst of so many methods."""
        return self.critical < len(self.mean) - 1


def rank(values: Mapping[str, Mapping[str, float]], higher_is_better: bool) -> Ranks | str:
    """Rank methods on each data set.

    Args:
        values: data set to method to value; methods that are missing somewhere are left out.
        higher_is_better: direction of the values.

    Returns:
        The ranks, or a sentence that says why there are none.
    """
    data = tuple(values)
    shared = [name for name in dict.fromkeys(n for found in values.values() for n in found)]
    shared = [name for name in shared if all(name in found for found in values.values())]
    if len(data) < FEWEST_DATA or len(shared) < FEWEST_METHODS:
        return (
            f"Ranks over data sets need {FEWEST_DATA} data sets and {FEWEST_METHODS} methods measured on all of them; "
            f"there are {len(data)} and {len(shared)}."
        )
    table = np.array([[values[name][method] for method in shared] for name in data])
    ranks = stats.rankdata(-table if higher_is_better else table, axis=1).mean(axis=0)
    order = np.argsort(ranks, kind="stable")
    mean = {shared[place]: float(ranks[place]) for place in order}
    p = None if np.ptp(table, axis=1).max() == 0 else float(stats.friedmanchisquare(*table.T).pvalue)
    critical = critical_difference(len(shared), len(data))
    return Ranks(mean, data, p, critical, _groups(list(mean.items()), critical))


def critical_difference(methods: int, data: int) -> float:
    """Nemenyi's critical difference of mean ranks at 5%."""
    q = stats.studentized_range.ppf(1 - SIGNIFICANCE, methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * data)))


def _groups(ranked: Sequence[tuple[str, float]], critical: float) -> tuple[tuple[str, ...], ...]:
    found: list[tuple[int, int]] = []
    for start in range(len(ranked)):
        end = max(at for at in range(start, len(ranked)) if ranked[at][1] - ranked[start][1] <= critical)
        if end > start and not any(first <= start and end <= last for first, last in found):
            found.append((start, end))
    return tuple(tuple(name for name, _ in ranked[start : end + 1]) for start, end in found)
