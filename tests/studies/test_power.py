"""The number of seeds that a study needs: checked against textbook values and against simulated studies."""

import numpy as np
import pytest

from auxface.errors import InputError
from auxface.evaluation.intervals import Draws
from auxface.studies.analysis import analyze_study
from auxface.studies.power import power_of, seeds_needed
from auxface.studies.statistics import difference_over_seeds


@pytest.mark.parametrize(("effect", "pairs"), [(0.5, 34), (0.8, 15), (1.0, 10), (1.5, 6)])
def test_without_sampling_error_it_is_the_size_of_a_paired_t_test(effect, pairs):
    """Numbers of pairs for a two-sided paired t test at 5% with 80% power, as in tables (for example G*Power)."""
    assert seeds_needed(effect, between_seeds=1.0, sample_error=0.0) == pairs


def test_more_comparisons_and_sampling_errors_need_more_seeds():
    one = seeds_needed(0.015, between_seeds=0.01, sample_error=0.003)
    assert seeds_needed(0.015, between_seeds=0.01, sample_error=0.003, tests=6) > one
    assert seeds_needed(0.015, between_seeds=0.01, sample_error=0.0) < one
    # Above 2.8 standard errors, no number of seeds is enough.
    assert seeds_needed(0.015, between_seeds=0.01, sample_error=0.015 / 2.7) is None


@pytest.mark.parametrize(("difference", "low", "high"), [(0.015, 0.74, 1.0), (0.0, 0.0, 0.08)])
def test_simulated_studies_of_the_planned_size_find_the_difference(difference, low, high):
    """400 simulated studies; a null difference is found in at most about one of twenty."""
    between, error, clusters = 0.012, 0.004, 1000
    seeds = seeds_needed(0.015, between_seeds=between, sample_error=error)
    generator = np.random.default_rng(0)
    found = 0
    for _ in range(400):
        # An error of the test samples is common to all seeds; each seed adds an error of its own.
        common = generator.normal(0, error)
        resampled = generator.normal(0, error, 200)
        draws = {}
        for number in range(seeds):
            value = difference + common + generator.normal(0, between)
            draws[number] = Draws(np.r_[value, value + resampled], clusters, clusters)
        zero = {number: Draws(np.zeros(201), clusters, clusters) for number in range(seeds)}
        found += difference_over_seeds(draws, zero).p < 0.05
    assert low <= found / 400 <= high


def test_the_power_of_a_pilot_names_seeds_and_smallest_difference(made, study_of, tmp_path):
    study = study_of(["faces"], ["plain", "second", "third"], range(5))
    results = made(tmp_path, dict.fromkeys(study.methods, 0.7), seeds=range(5), n=2000, spread=0.02)
    (one,) = power_of(analyze_study(study, results, 15, resamples=200), 0.05)
    # Two methods with a true standard deviation of .02 each, plus sampling; pooled over two differences of five seeds.
    assert 0.015 < one.between_seeds < 0.05
    assert one.between_seeds_bound > 1.1 * one.between_seeds
    assert (one.tests, one.pilot_seeds) == (2, 5)
    assert one.seeds is not None
    assert 2 < one.seeds < 40
    assert one.smallest == pytest.approx(3.08 * one.sample_error, rel=0.01)
    assert f"needs {one.seeds} seeds (80% power, 2 comparisons)" in one.sentence()
    (never,) = power_of(analyze_study(study, results, 15, resamples=200), one.smallest / 2)
    assert never.seeds is None
    assert "cannot be detected with these test samples" in never.sentence()


def test_a_pilot_of_two_seeds_is_refused(made, study_of, tmp_path):
    study = study_of(["faces"], ["plain", "second"], (0, 1))
    results = made(tmp_path, dict.fromkeys(study.methods, 0.7), seeds=(0, 1))
    with pytest.raises(InputError, match="at least 3 seeds that plain has too"):
        power_of(analyze_study(study, results, 4, resamples=100), 0.01)


@pytest.mark.parametrize(
    ("difference", "reason"),
    [(0.0, "above 0; found 0"), (float("nan"), "above 0; found nan"), (1.5, "for 1.5 percentage points, use 0.015")],
)
def test_an_impossible_difference_is_refused(made, study_of, tmp_path, difference, reason):
    study = study_of(["faces"], ["plain", "second"], range(3))
    results = made(tmp_path, dict.fromkeys(study.methods, 0.7), seeds=range(3))
    with pytest.raises(InputError, match=reason):
        power_of(analyze_study(study, results, 6, resamples=100), difference)
