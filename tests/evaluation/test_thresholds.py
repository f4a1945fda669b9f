"""Thresholds and abstain bands chosen from plain arrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_tables import scored_samples
from sklearn.metrics import balanced_accuracy_score

from auxface.evaluation import (
    choose_abstain_band,
    choose_abstain_confidence,
    choose_threshold,
)

quick = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)


@quick
@given(seeds)
def test_thresholds_are_optimal(seed):
    true, score = scored_samples(seed)
    candidates = [*np.unique(score), 1.1]
    best = max(balanced_accuracy_score(true, score >= t) for t in candidates)
    chosen = choose_threshold(true, score)
    assert balanced_accuracy_score(true, score >= chosen) == pytest.approx(best)
    strict = choose_threshold(true, score, rule="fpr=0.1")
    hits = [(score[true == 1] >= t).mean() for t in candidates if (score[true == 0] >= t).mean() <= 0.1]
    assert (score[true == 0] >= strict).mean() <= 0.1
    assert (score[true == 1] >= strict).mean() == pytest.approx(max(hits))


def test_a_threshold_needs_both_classes_and_a_known_rule():
    with pytest.raises(ValueError, match="both 0 and 1"):
        choose_threshold(np.ones(5), np.ones(5))
    with pytest.raises(ValueError, match="unknown threshold rule"):
        choose_threshold(np.array([0, 1]), np.array([0.1, 0.9]), rule="best")


@quick
@given(seeds, st.sampled_from([0.7, 0.9, 1.0]))
def test_predictions_outside_the_band_reach_the_accuracy(seed, accuracy):
    true, score = scored_samples(seed)
    low, high = choose_abstain_band(true, score, threshold=0.5, accuracy=accuracy)
    assert low <= 0.5 <= high
    yes, no = score >= high, score < low
    assert not yes.any() or true[yes].mean() >= accuracy - 1e-9
    assert not no.any() or (1 - true[no]).mean() >= accuracy - 1e-9
    # No narrower band will do.
    for edge in np.unique(score[(score >= 0.5) & (score < high)]):
        assert true[score >= edge].mean() < accuracy
    for edge in np.unique(score[(score < 0.5) & (score >= low)]):
        assert (1 - true[score <= edge]).mean() < accuracy


def test_abstaining_by_confidence():
    right, confidence = np.array([1, 1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    assert choose_abstain_confidence(right, confidence, accuracy=0.75) == pytest.approx(0.6)
    assert choose_abstain_confidence(right, confidence, accuracy=0.6) == 0.0
    assert choose_abstain_confidence(1 - right[:2], confidence[:2], accuracy=0.5) > 1
    with pytest.raises(ValueError, match="accuracy"):
        choose_abstain_confidence(right, confidence, accuracy=0)
