"""Intervals and differences over seeds and samples, against simulations with a known mean."""

import numpy as np
import pytest
from scipy import stats

from auxface.evaluation.intervals import Draws
from auxface.studies.statistics import difference_over_seeds, mean_over_seeds


def draws_of(values, n=1000, clusters=500, why=None):
    return Draws(np.asarray(values, float), n, clusters, why=why)


def simulated(generator, seeds, truth, *, samples, between, both, resamples=200):
    """Draws of one method: effects of the test set (equal for all seeds), of the seed, and of both together."""
    common = generator.normal(0, samples)
    around = generator.normal(0, samples, resamples)
    found = []
    for _ in range(seeds):
        value = truth + common + generator.normal(0, between) + generator.normal(0, both)
        found.append(draws_of([value, *(value + around + generator.normal(0, both, resamples))]))
    return found


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize(("samples", "between", "both"), [(1, 0, 0), (1, 1, 0.5), (1, 0.5, 1), (0.3, 1, 0.5)])
def test_intervals_cover_the_true_mean_at_about_95_percent(seeds, samples, between, both):
    generator = np.random.default_rng(7)
    covered = []
    for _ in range(1500):
        estimate = mean_over_seeds(simulated(generator, seeds, 3.0, samples=samples, between=between, both=both))
        covered.append(estimate.estimate.low <= 3.0 <= estimate.estimate.high)
    # Nominal 95%; with three seeds that vary far more than the samples, coverage is known to be slightly lower.
    assert 0.93 <= np.mean(covered) <= 0.99


def test_percentiles_of_resampled_seeds_cover_too_rarely():
    """The reason for the method: percentiles of three resampled seeds cover the mean far too rarely."""
    generator = np.random.default_rng(3)
    plain, ours = [], []
    for _ in range(1000):
        values = generator.normal(0, 1, 3)
        means = values[generator.integers(0, 3, (500, 3))].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        plain.append(low <= 0 <= high)
        estimate = mean_over_seeds([draws_of(np.full(201, value) + np.r_[0, generator.normal(0, 0.3, 200)])
                                    for value in values]).estimate  # fmt: skip
        ours.append(estimate.low <= 0 <= estimate.high)
    assert np.mean(plain) < 0.8
    assert np.mean(ours) > 0.9


def test_without_sample_variance_it_is_the_t_interval():
    values = [0.80, 0.84, 0.83]
    estimate = mean_over_seeds([draws_of(np.full(101, value)) for value in values]).estimate
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (estimate.low, estimate.high) == pytest.approx((low, high))
    between = pytest.approx(np.std(values, ddof=1))
    assert estimate.more == {"seeds": 3, "between_seeds": between, "sample_error": pytest.approx(0, abs=1e-12)}


def test_one_seed_has_the_interval_of_the_samples():
    values = np.r_[0.5, np.random.default_rng(0).normal(0.5, 0.02, 1000)]
    estimate = mean_over_seeds([draws_of(values)]).estimate
    assert "one seed" in estimate.why
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * 0.02, rel=0.1)


def test_an_undefined_seed_makes_the_mean_undefined():
    found = mean_over_seeds([draws_of([np.nan, 1, 2], why="no positive sample"), draws_of([0.5, 0.5, 0.5])])
    assert found.estimate.value is None
    assert found.estimate.why == "no positive sample"
    assert found.p is None


def test_differences_are_paired_by_seed():
    generator = np.random.default_rng(1)
    shared = {seed: generator.normal(0, 1) + np.r_[0, generator.normal(0, 1, 300)] for seed in (0, 1, 2, 4)}
    ours = {seed: draws_of(values + 0.5) for seed, values in shared.items()}
    theirs = {seed: draws_of(values) for seed, values in shared.items() if seed != 4}
    found = difference_over_seeds(ours, theirs)
    assert found.estimate.more["seeds"] == 3
    assert found.estimate.value == pytest.approx(0.5)
    assert found.estimate.high - found.estimate.low < 1e-9
    assert difference_over_seeds({0: ours[0]}, {1: theirs[1]}) is None
