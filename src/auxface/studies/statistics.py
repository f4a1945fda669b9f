"""Statistics of a study: the mean of a metric over seeds with its interval, and mean ranks over data sets.

The variance of the mean is the sum of two parts:

* the variance over test samples, obtained by resampling the clusters of the test set, with the same resamples for every
  seed and method;
* the variance between seeds divided by the number of seeds S. It is computed directly, because a few seeds cannot be
  resampled: three seeds have only ten distinct resamples, whose variance is a third too small.

The interval is Student's t interval, with the degrees of freedom of a sum of variances (Satterthwaite, 1946). The
interaction of seeds and samples is included in both parts, so the interval is slightly too wide rather than too narrow.

Several methods are compared on several data sets by mean ranks, with Friedman's test and Nemenyi's critical difference:
Demšar (2006), "Statistical Comparisons of Classifiers over Multiple Data Sets".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from scipy import stats

from auxface.evaluation.intervals import CONFIDENCE, MINIMUM_FINITE, Draws, Estimate

ONE_SEED = "one seed: the interval covers the samples only"
MINIMUM_METHODS, MINIMUM_DATA = 3, 2
SIGNIFICANCE = 0.05
# Widths of the axis and of one character of a name in pixels, followed by vertical positions and steps.
_AXIS, _LETTER = 340, 6.6
_TOP, _STEP, _BAR = 46, 20, 9


@dataclass(frozen=True)
class SeedMean:
    """A mean over seeds.

    Attributes:
        estimate: value, interval, and numbers of samples and clusters; ``more`` contains the number of seeds as
            ``seeds``, the standard deviation between seeds as ``between_seeds``, and the standard error over test
            samples as ``sample_error``.
        p: two-sided p-value for a mean of zero; None if there is no interval.
    """

    estimate: Estimate
    p: float | None


def mean_over_seeds(draws: Sequence[Draws]) -> SeedMean:
    """Return the mean of a metric over seeds with its interval.

    Args:
        draws: values of the metric, one entry per seed; all entries use the same resamples.

    Raises:
        ValueError: ``draws`` is empty.

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
    sample_variance = float(finite.var(ddof=1))
    more |= {"sample_error": sample_variance**0.5}
    low, high, p = student_interval(
        value,
        sample_variance=sample_variance,
        between_seeds=between,
        seeds=seeds,
        clusters=clusters,
        bounds=draws[0].bounds,
    )
    reason = ONE_SEED if between is None else None
    return SeedMean(Estimate(value, low, high, n, clusters, reason, more), p)


def difference_over_seeds(first: Mapping[int, Draws], second: Mapping[int, Draws]) -> SeedMean | None:
    """Return the mean of ``first`` minus ``second``, paired by seed; None without a common seed.

    Two methods with the same seed use the same images in the same order and the same initial weights.

    Args:
        first: values of the metric, by seed.
        second: values of the other method on the same resamples, by seed.
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
    """Return both ends of Student's t interval for a mean over seeds, and the p-value for a mean of zero.

    Args:
        value: the mean.
        sample_variance: variance of the mean over test samples.
        between_seeds: standard deviation between seeds; None with a single seed.
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


@dataclass(frozen=True)
class Ranks:
    """Mean ranks over data sets; rank 1 is best.

    Attributes:
        mean: mean ranks by method, in ascending order.
        data: names of the data sets; every method has a value on all data sets.
        p: p-value of Friedman's test for equality of all methods; None if all values are equal on each data set.
        critical_difference: difference above which two mean ranks differ significantly.
        groups: maximal sequences of methods, from best to worst, without a significant difference between any two.
    """

    mean: dict[str, float]
    data: tuple[str, ...]
    p: float | None
    critical_difference: float
    groups: tuple[tuple[str, ...], ...]

    @property
    def can_be_significant(self) -> bool:
        """Whether the best possible mean rank would differ significantly from the worst possible mean rank."""
        return self.critical_difference < len(self.mean) - 1


def rank_methods(values: Mapping[str, Mapping[str, float]]) -> Ranks | str:
    """Rank methods on each data set and average the ranks.

    Args:
        values: values by data set and method, of which higher ones are better; methods without a value on every data
            set are excluded.

    Returns:
        The ranks or, if there are too few data sets or methods, a sentence with the reason.

    Example:
        >>> values = {name: {"a": 0.9, "b": 0.8, "c": 0.7} for name in ("faces", "moods")}
        >>> rank_methods(values).mean
        {'a': 1.0, 'b': 2.0, 'c': 3.0}
    """
    data = tuple(values)
    names = dict.fromkeys(name for found in values.values() for name in found)
    methods = [name for name in names if all(name in found for found in values.values())]
    if len(data) < MINIMUM_DATA or len(methods) < MINIMUM_METHODS:
        return (
            f"Ranks across data sets require at least {MINIMUM_DATA} data sets and {MINIMUM_METHODS} methods with "
            f"results on all of them, with all labels; this study has {len(data)} and {len(methods)}."
        )
    table = np.array([[values[name][method] for method in methods] for name in data])
    ranks = stats.rankdata(-table, axis=1).mean(axis=0)
    mean = {methods[place]: float(ranks[place]) for place in np.argsort(ranks, kind="stable")}
    p = None if np.ptp(table, axis=1).max() == 0 else float(stats.friedmanchisquare(*table.T).pvalue)
    critical = critical_difference(len(methods), len(data))
    return Ranks(mean, data, p, critical, _groups(list(mean.items()), critical))


def critical_difference(methods: int, data: int) -> float:
    """Return Nemenyi's critical difference of mean ranks at a significance level of 5%.

    Args:
        methods: number of methods.
        data: number of data sets.

    Example:
        >>> round(critical_difference(4, 14), 2)
        1.25
    """
    q = stats.studentized_range.ppf(1 - SIGNIFICANCE, methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * data)))


def _groups(ranked: Sequence[tuple[str, float]], critical: float) -> tuple[tuple[str, ...], ...]:
    found: list[tuple[int, int]] = []
    for start in range(len(ranked)):
        end = max(at for at in range(start, len(ranked)) if ranked[at][1] - ranked[start][1] <= critical)
        if end > start and not any(first <= start and end <= last for first, last in found):
            found.append((start, end))
    return tuple(tuple(name for name, _ in ranked[start : end + 1]) for start, end in found)


def critical_difference_diagram(ranks: Ranks) -> str:
    """Return Demšar's diagram of mean ranks as SVG; bars connect methods without a significant difference.

    The best rank is at the left. Colors and fonts come from the page's style sheet.
    """
    names = list(ranks.mean)
    left_edge = 40 + _LETTER * max(map(len, names))
    right_edge = left_edge + _AXIS

    def x_of(rank: float) -> float:
        return left_edge + (rank - 1) / (len(names) - 1) * _AXIS

    half = (len(names) + 1) // 2
    bars = _TOP + 14
    first = bars + _BAR * len(ranks.groups) + 14
    height = first + _STEP * half + 6
    parts = [f'<svg viewBox="0 0 {right_edge + left_edge:.0f} {height}" aria-hidden="true" class="ranks">']
    parts.append(_line(left_edge, _TOP, right_edge, _TOP, "axis"))
    for number in range(1, len(names) + 1):
        x = x_of(number)
        parts += [_line(x, _TOP - 5, x, _TOP, "axis"), _text(x, _TOP - 9, str(number), "middle")]
    end = x_of(1 + min(ranks.critical_difference, len(names) - 1))
    parts += [
        _line(left_edge, 12, end, 12, "bar"),
        _text(end + 6, 16, f"critical difference {ranks.critical_difference:.2f}", "start"),
    ]
    for number, group in enumerate(ranks.groups):
        y = bars + _BAR * number
        parts.append(_line(x_of(ranks.mean[group[0]]) - 4, y, x_of(ranks.mean[group[-1]]) + 4, y, "bar"))
    for number, name in enumerate(names):
        left = number < half
        y = first + _STEP * (number if left else len(names) - 1 - number)
        x, edge = x_of(ranks.mean[name]), left_edge - 8 if left else right_edge + 8
        parts += [_line(x, _TOP, x, y, "lead"), _line(x, y, edge, y, "lead")]
        text = f"{name} {ranks.mean[name]:.2f}" if left else f"{ranks.mean[name]:.2f} {name}"
        parts.append(_text(edge + (-4 if left else 4), y + 4, text, "end" if left else "start"))
    return "".join([*parts, "</svg>"])


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
