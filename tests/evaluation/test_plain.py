"""Functions of plain arrays: thresholds, temperature, abstaining, verification and retrieval."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, roc_curve

from auxface.evaluation import (
    brier_score,
    choose_abstain_band,
    choose_abstain_confidence,
    choose_threshold,
    expected_calibration_error,
    fit_temperature,
    pair_similarity,
    recall_at_k,
    reliability_bins,
    tar_at_far,
)

quick = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def samples(seed, n=80, steps=20):
    generator = np.random.default_rng(seed)
    true = generator.integers(0, 2, n)
    true[:2] = [0, 1]
    return true, np.round(np.clip(0.5 + 0.2 * (true - 0.5) + generator.normal(0, 0.2, n), 0, 1) * steps) / steps


@quick
@given(seeds)
def test_thresholds_are_the_best_there_are(seed):
    true, score = samples(seed)
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


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_found_again(temperature):
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (40_000, 4))
    chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    true = (chance.cumsum(axis=1) > generator.random((40_000, 1))).argmax(axis=1)
    assert fit_temperature(logits * temperature, true) == pytest.approx(temperature, rel=0.03)


@quick
@given(seeds, st.sampled_from([0.7, 0.9, 1.0]))
def test_outside_the_abstain_band_answers_are_right_often_enough(seed, accuracy):
    true, score = samples(seed)
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


def test_reliability_bins_by_hand():
    bins = reliability_bins(np.array([0, 1, 1, 1]), np.array([0.1, 0.15, 0.9, 1.0]), bins=5)
    assert [(part.n, part.share) for part in bins] == [(2, 0.5), (2, 1.0)]
    assert [part.score for part in bins] == pytest.approx([0.125, 0.95])
    assert expected_calibration_error(np.array([0, 1, 1, 1]), np.array([0.1, 0.15, 0.9, 1.0]), bins=5) == pytest.approx(
        0.5 * 0.375 + 0.5 * 0.05
    )
    assert brier_score(np.array([1]), np.array([0.5])) == 0.25
    with pytest.raises(ValueError, match="and labels"):
        brier_score(np.array([]), np.array([]))


@quick
@given(seeds)
def test_tar_at_far_is_a_point_of_the_roc_curve(seed):
    same, similarity = samples(seed, n=200)
    alarm, hit, _ = roc_curve(same, similarity, drop_intermediate=False)
    for far in (0.02, 0.1, 1.0):
        assert tar_at_far(same, similarity, far) == pytest.approx(hit[alarm <= far + 1e-9].max())


def test_verification_refuses_what_it_cannot_measure():
    with pytest.raises(ValueError, match="needs 1000 pairs"):
        tar_at_far(np.array([0, 1]), np.array([0.1, 0.2]), 0.001)
    with pytest.raises(ValueError, match="pairs of one person and pairs of two"):
        tar_at_far(np.ones(4), np.ones(4), 0.1)
    with pytest.raises(ValueError, match="zero"):
        pair_similarity(np.zeros((1, 2)), np.ones((1, 2)))
    assert pair_similarity(np.array([[1.0, 0.0]]), np.array([[3.0, 3.0]]))[0] == pytest.approx(np.sqrt(0.5))


def test_retrieval_counts_queries_that_have_somebody_to_find():
    embeddings = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9], [0.7, 0.7]])
    identity = np.array(["a", "a", "b", "c", "b"])
    share, queries = recall_at_k(embeddings, identity)
    assert queries == 4  # c is alone
    assert share == pytest.approx(2 / 4)
    assert recall_at_k(embeddings, identity, k=4)[0] == 1.0
    found = recall_at_k(embeddings[:1], identity[:1], gallery=embeddings[1:], gallery_identity=identity[1:])
    assert found == (1.0, 1)
    with pytest.raises(ValueError, match="no query"):
        recall_at_k(embeddings[:2], np.array(["x", "y"]))
