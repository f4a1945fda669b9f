"""``auxface study power``: how many seeds a study needs to detect a difference, from the results of a pilot.

The variance of a difference between two methods has two parts: the variance between seeds, which decreases with the
number of seeds, and the variance over test samples, which does not. The first part is pooled over all comparisons with
the baseline, and its upper 80% confidence bound is used, because a pilot of few seeds underestimates it half of the
time (Browne, 1995, "On the use of a pilot sample for sample size determination").

Example::

    for one in study_power(analysis, difference=0.015):
        print(one.sentence())
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from auxface.errors import InputError
from auxface.evaluation.metrics import METRICS
from auxface.evaluation.resampling import RESAMPLES
from auxface.studies.analysis import DataAnalysis, StudyAnalysis, analyze_study
from auxface.studies.comparisons import StudyComparison
from auxface.studies.conclusions import format_difference
from auxface.studies.definition import read_plan
from auxface.studies.results_file import merge_results
from auxface.studies.statistics import SIGNIFICANCE

POWER = 0.8
"""Probability with which a true difference is to be found significant."""
UPPER_BOUND = 0.8
"""Confidence level of the upper bound of the standard deviation between seeds."""
MOST_SEEDS = 100
MINIMUM_SEEDS = 3


@dataclass(frozen=True)
class Power:
    """The number of seeds that one data set needs.

    Attributes:
        title: data set, task and fraction of the labels.
        metric: metric of the comparisons.
        difference: difference to be detected.
        pilot_seeds: number of seeds of the pilot.
        between_seeds: standard deviation of a paired difference between seeds, pooled over the comparisons.
        between_seeds_bound: upper 80% confidence bound of this standard deviation.
        sample_error: standard error of a difference over test samples, the root mean square over the comparisons.
        tests: number of comparisons for which p-values are corrected.
        seeds: number of seeds that is needed; None if more than 100 are needed or no number is sufficient.
        smallest: smallest difference that any number of seeds can detect with these test samples.
    """

    title: str
    metric: str
    difference: float
    pilot_seeds: int
    between_seeds: float
    between_seeds_bound: float
    sample_error: float
    tests: int
    seeds: int | None
    smallest: float

    def sentence(self) -> str:
        """Return the result in words."""
        shown, smallest = (self._points(value) for value in (self.difference, self.smallest))
        if self.difference <= self.smallest:
            needed = "cannot be detected with these test samples, whatever the number of seeds"
        elif self.seeds is None:
            needed = f"needs more than {MOST_SEEDS} seeds"
        else:
            needed = f"needs {self.seeds} seeds"
        return (
            f"{self.title}: a difference of {shown} in {METRICS[self.metric].title} {needed} ({POWER:.0%} power, "
            f"{self.tests} {'comparison' if self.tests == 1 else 'comparisons'}). With any number of seeds, the test "
            f"samples allow the detection of differences from {smallest}. Standard deviation between seeds: "
            f"{self._points(self.between_seeds)}, at most {self._points(self.between_seeds_bound)} with 80% confidence "
            f"({self.pilot_seeds} seeds); standard error over test samples: {self._points(self.sample_error)}."
        )

    def _points(self, value: float) -> str:
        return format_difference(self.metric, value).removeprefix("+")


def study_power(
    folders: Path | list[Path],
    *,
    difference: float,
    resamples: int = RESAMPLES,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Power]:
    """Return the number of seeds that each data set of a study needs, from finished runs.

    Args:
        folders: results folders of the pilot.
        difference: difference of the metric to be detected, such as 0.015 for 1.5 percentage points.
        resamples: number of bootstrap resamples of the test samples.
        seed: seed of the resampling.
        progress: callable that receives the number of evaluated runs and the total number of runs.

    Raises:
        InputError: ``difference`` is not positive or not possible, a folder has no results, or no data set has a method
            with three seeds in common with the baseline.

    Example:
        >>> from pathlib import Path
        >>> import auxface
        >>> auxface.study_power(Path("runs/pilot"), difference=0.015)  # doctest: +SKIP
    """
    folders = [folders] if isinstance(folders, Path) else list(folders)
    study, planned = read_plan(folders)
    results = merge_results(folders).values()
    analysis = analyze_study(study, results, planned, resamples=resamples, seed=seed, progress=progress)
    return power_of(analysis, difference)


def power_of(analysis: StudyAnalysis, difference: float) -> list[Power]:
    """Return the number of seeds that each data set of an analyzed pilot needs.

    Raises:
        InputError: ``difference`` is not positive or not possible, or no data set has a method with three seeds in
            common with the baseline.
    """
    if not 0 < difference < math.inf:
        raise InputError(f"the difference must be a number above 0; found {difference:g}")
    for one in analysis.data:
        if difference >= METRICS[one.metric].bounds[1]:
            raise InputError(
                f"the difference {difference:g} is not possible in {METRICS[one.metric].title}, which is at most "
                f"{METRICS[one.metric].bounds[1]:g}; for {difference:g} percentage points, use {difference / 100:g}"
            )
    tests = max(1, sum(not item.not_tested for one in analysis.data for item in one.comparisons))
    found = [_power(one, _usable(one), difference, tests) for one in analysis.data if _usable(one)]
    if not found:
        raise InputError(
            f"{analysis.study.name}: the power needs a method with at least {MINIMUM_SEEDS} seeds that "
            f"{analysis.study.compare.baseline} has too; run more seeds"
        )
    return found


def seeds_needed(difference: float, *, between_seeds: float, sample_error: float, tests: int = 1) -> int | None:
    """Return the smallest number of seeds with which a difference is found with 80% power; None above 100.

    The test is the two-sided t test of :func:`~auxface.studies.statistics.student_interval`, with Bonferroni's level
    for ``tests`` comparisons, which is the strictest level of Holm's method. Test samples count as 1,000 clusters or
    more.

    Args:
        difference: true difference.
        between_seeds: standard deviation of the paired difference between seeds.
        sample_error: standard error of the difference over test samples.
        tests: number of comparisons.

    Example:
        >>> seeds_needed(0.015, between_seeds=0.01, sample_error=0.0)
        6
    """
    for seeds in range(2, MOST_SEEDS + 1):
        seed_variance = between_seeds**2 / seeds
        total = sample_error**2 + seed_variance
        if total == 0:
            return seeds
        # As in student_interval, with so many clusters that their degrees of freedom do not matter.
        freedom = total**2 / (seed_variance**2 / (seeds - 1)) if seed_variance else math.inf
        limit = float(stats.t.ppf(1 - SIGNIFICANCE / tests / 2, freedom))
        if float(stats.nct.sf(limit, min(freedom, 1e6), difference / total**0.5)) >= POWER:
            return seeds
    return None


def _power(one: DataAnalysis, items: list[StudyComparison], difference: float, tests: int) -> Power:
    sums, freedom = 0.0, 0
    sample_variances = []
    for item in items:
        more = item.difference.more or {}
        seeds, spread = int(str(more["seeds"])), float(str(more["between_seeds"]))
        sums, freedom = sums + spread**2 * (seeds - 1), freedom + seeds - 1
        sample_variances.append(float(str(more["sample_error"])) ** 2)
    between = math.sqrt(sums / freedom)
    # The differences share the baseline, so their deviations have a correlation of about 1/2, and the pooled variance
    # has fewer degrees of freedom than that of independent differences.
    freedom /= 1 + (len(items) - 1) / 4
    bound = math.sqrt(sums / float(stats.chi2.ppf(1 - UPPER_BOUND, freedom)))
    error = math.sqrt(float(np.mean(sample_variances)))
    quantiles = float(stats.norm.ppf(1 - SIGNIFICANCE / tests / 2) + stats.norm.ppf(POWER))
    pilot = min(int(str((item.difference.more or {})["seeds"])) for item in items)
    needed = seeds_needed(difference, between_seeds=bound, sample_error=error, tests=tests)
    return Power(one.title, one.metric, difference, pilot, between, bound, error, tests, needed, quantiles * error)


def _usable(one: DataAnalysis) -> list[StudyComparison]:
    """Return the comparisons with the baseline that have at least three seeds."""
    return [
        item
        for item in one.comparisons
        if not item.with_control
        and item.difference.low is not None
        and int(str((item.difference.more or {}).get("seeds", 0))) >= MINIMUM_SEEDS
    ]
