"""Power of a gap: the smallest gap that a table can detect, and the number of clusters needed for a given gap.

A gap between K levels is significant if it is larger than the gap expected under equal performance. The power is the
probability of finding a significant gap if the least precise level differs by ``gap`` from all others and the others
are equal (Cohen, 1988). The value of each level is assumed to be normal and independent of the others, with a standard
error derived from its interval, so the power follows from the distribution of the range of K normal values. For two
levels with standard errors a and b, the smallest gap with a power of 80% is (1.960 + 0.842) * sqrt(a² + b²):

>>> round(smallest_gap([0.03, 0.04]), 4)
0.1401
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil

import numpy as np
from scipy.optimize import root_scalar
from scipy.special import ndtr, ndtri

from auxface.evaluation.intervals import CONFIDENCE, Draws, Estimate, Precision, student_quantile
from auxface.evaluation.metrics import METRICS
from auxface.evaluation.predictions import TableError

POWER = 0.8
"""Default power: the probability that an existing gap is found significant."""
SMALLEST_GAP = 0.0001
"""Smallest gap for which an audit can be planned."""
TARGET_GAP = 0.05
"""Default gap for which the number of additional clusters is given."""
_FAR = 8.0
# A level's standard error is taken to be at least the largest standard error divided by this factor.
_MOST_PRECISE = 50


def gap_power(gap: float, errors: Sequence[float], limit: float) -> float:
    """Return the probability that the largest difference between levels exceeds ``limit``.

    Args:
        gap: true difference between the least precise level and all others.
        errors: standard error of each level.
        limit: significance limit, above which a gap is significant.
    """
    scale = np.maximum(errors, max(errors) / _MOST_PRECISE)
    mean = np.zeros(len(scale))
    mean[np.argmax(scale)] = -gap
    low, high = float((mean - _FAR * scale).min()), float((mean + _FAR * scale).max())
    # The trapezoidal rule with a quarter of a standard deviation per step is accurate to 1e-8 for normal densities.
    at = np.linspace(low, high, 2 + int(4 * (high - low) / scale.min()))
    below, above = (at - mean[:, None]) / scale[:, None], (at + limit - mean[:, None]) / scale[:, None]
    within = np.maximum(ndtr(above) - ndtr(below), 1e-300)
    density = np.exp(-0.5 * below**2) / (np.sqrt(2 * np.pi) * scale[:, None])
    # One level has the smallest value, at this grid point; the others lie at most ``limit`` above it.
    smallest_here = (density / within).sum(axis=0) * np.exp(np.log(within).sum(axis=0))
    return float(1 - np.trapezoid(smallest_here, at))


def expected_gap(errors: Sequence[float]) -> float:
    """Return the gap that levels of equal performance exceed with probability 1/20; audits use resampling instead."""
    found = root_scalar(
        lambda limit: gap_power(0, errors, limit) - (1 - CONFIDENCE), bracket=(0, 3 * _FAR * max(errors)), xtol=1e-9
    )
    return float(found.root)


def smallest_gap(errors: Sequence[float], limit: float | None = None, power: float = POWER) -> float:
    """Return the smallest gap that is significant with a probability of ``power``.

    Args:
        errors: standard error of each level; at least one must be above 0.
        limit: significance limit, above which a gap is significant; by default the result of :func:`expected_gap`.
        power: probability that the gap is significant, between 0.05 and 1.
    """
    limit = expected_gap(errors) if limit is None else limit
    if gap_power(0, errors, limit) >= power:
        return 0.0
    bracket = (0, limit + _FAR * max(errors))
    found = root_scalar(lambda gap: gap_power(gap, errors, limit) - power, bracket=bracket, xtol=1e-6)
    return float(found.root)


def more_clusters(
    levels: Mapping[str, Precision], gap: float = TARGET_GAP, *, factor: float = 1.0, power: float = POWER
) -> dict[str, int]:
    """Return the number of additional clusters that each level needs to detect ``gap`` with the given power.

    With these clusters, all levels have the same standard error. New clusters are assumed to resemble the existing
    ones.

    Args:
        levels: precision of each level.
        gap: gap to detect.
        factor: factor by which the correction for many gaps raises the significance limit, ``by_chance_of_all /
            by_chance``.
        power: probability that a gap of this size is significant.
    """
    error = gap / _gap_per_error(len(levels), factor, power)
    found = {}
    for name, level in levels.items():
        times = _units_for(level.error**2 * level.units / _inflation(level.units), error) / level.units
        found[name] = max(0, ceil(level.clusters * times - 1e-9) - level.clusters)
    return found


def add_power(found: dict[str, Estimate], measured: Mapping[str, Draws], decision: str, factor: float) -> None:
    """Add ``smallest_shown`` to every difference, and to ``decision`` the clusters needed to detect a gap of 5 points.

    Args:
        found: gaps of a group, modified in place.
        measured: draws of these gaps.
        decision: name of the gap in the decision metric.
        factor: factor by which the correction for many gaps raises the significance limit of this gap.
    """
    for name, gap in found.items():
        levels, chance = measured[name].levels, (gap.more or {}).get("by_chance")
        if levels is None or not isinstance(chance, float) or not chance:
            continue
        limit = chance * factor if name == decision else chance
        more: dict[str, object] = {"smallest_shown": smallest_gap([one.error for one in levels.values()], limit)}
        if name == decision:
            is_rate = METRICS[name.removesuffix("_difference")].unit == "%"
            needed = more_clusters(levels, factor=factor) if is_rate else {}
            more["levels"] = {
                level: one.to_dict() | ({"more_clusters": needed[level]} if needed else {})
                for level, one in levels.items()
            }
        found[name] = replace(gap, more=(gap.more or {}) | more)


def clusters_per_level(
    value: float,
    *,
    levels: int = 2,
    gap: float = TARGET_GAP,
    samples_per_cluster: int = 1,
    correlation: float = 0.0,
    power: float = POWER,
) -> int:
    """Return the number of clusters (videos, people or single faces) that each level of a new data set needs.

    The variance of a rate p over m samples of one cluster is p(1 - p)(1 + (m - 1)r)/m, where r is the correlation
    between two samples of the same cluster (Kish, 1965).

    Args:
        value: expected rate, such as the accuracy. The result also applies to balanced accuracy if there are as many
            positives as negatives.
        levels: number of levels of the group.
        gap: gap to detect.
        samples_per_cluster: number of samples in each cluster, such as the frames of a video.
        correlation: correlation between the correctness of two samples of the same cluster, between 0 and 1.
        power: probability that a gap of this size is significant.

    Raises:
        TableError: an argument is out of range.

    >>> clusters_per_level(0.9)
    568
    >>> clusters_per_level(0.9, samples_per_cluster=20, correlation=0.3)
    192
    """
    ranges = {
        "value": (value, 0 < value < 1, "between 0 and 1, such as 0.9"),
        "levels": (levels, 2 <= levels <= 1000, "from 2 to 1,000"),
        "gap": (gap, SMALLEST_GAP <= gap < 1, f"from {SMALLEST_GAP} to below 1, such as 0.05 for 5 points"),
        "samples_per_cluster": (samples_per_cluster, samples_per_cluster >= 1, "1 or more"),
        "correlation": (correlation, 0 <= correlation <= 1, "between 0 and 1"),
    }
    for name, (given, is_valid, expected) in ranges.items():
        if not is_valid:
            raise TableError(f"{name} is {given:g}; expected a number {expected}")
    check_power(power)
    variance = value * (1 - value) * (1 + (samples_per_cluster - 1) * correlation) / samples_per_cluster
    return ceil(_units_for(variance, gap / _gap_per_error(levels, 1.0, power)) - 1e-9)


def check_power(power: float) -> None:
    """Raise an error if ``power`` is not between 0.05, the significance level, and 1."""
    if not 1 - CONFIDENCE < power < 1:
        raise TableError(f"power is {power:g}; expected a number between 0.05 and 1, such as 0.8")


def _gap_per_error(levels: int, factor: float, power: float) -> float:
    """Return the smallest detectable gap between levels with a standard error of 1."""
    equal = [1.0] * levels
    return smallest_gap(equal, factor * expected_gap(equal), power)


def _inflation(units: float) -> float:
    """Return the factor by which using Student's quantile inflates the variance behind an interval."""
    return float((student_quantile(max(units - 1, 1)) / ndtri((1 + CONFIDENCE) / 2)) ** 2)


def _units_for(variance: float, error: float) -> float:
    """Return the number of units of this variance whose mean has the given standard error after Student's widening."""
    units = max(2.0, variance / error**2)
    for _ in range(50):
        units = max(2.0, variance / error**2 * _inflation(units))
    return units
