"""Verification and retrieval against scikit-learn, pytorch-metric-learning and a plain loop over folds."""

import numpy as np
import pytest
import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from sklearn.metrics import roc_auc_score, roc_curve

from auxface.evaluation import tar_at_far
from auxface.evaluation.verification import (
    ScoredPairs,
    auc_difference,
    choose_pair_threshold,
    measure_pairs,
    measure_retrieval,
)


def drawn_pairs(count=200, people=40, seed=0, shift=1.0, ties=False):
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, people, (2, count))
    second = np.where(first == second, (second + 1) % people, second)
    same = np.arange(count) % 2 == 0
    second = np.where(same, first, second)
    similarity = rng.normal(size=count) + shift * same
    fold = np.arange(count) % 10
    level = np.where(first % 2 == second % 2, np.where(first % 2, "odd", "even"), None)
    return ScoredPairs(similarity.round(1) if ties else similarity, same, first, second, fold, {"parity": level})


@pytest.mark.parametrize("ties", [False, True])
def test_auc_and_tar_equal_those_of_the_definitions(ties):
    pairs = drawn_pairs(ties=ties)
    found = measure_pairs(pairs, resamples=100).estimates
    assert found["auc"].value == pytest.approx(roc_auc_score(pairs.same, pairs.similarity))
    for rate in (0.1, 0.01):
        assert found[f"tar_at_far_{rate}"].value == pytest.approx(tar_at_far(pairs.same, pairs.similarity, rate))
    assert found["tar_at_far_0.001"].value is None
    assert found["tar_at_far_0.001"].why == "needs 1000 impostor pairs, but there are 100"


def test_eer_is_where_both_error_rates_are_equal():
    pairs = drawn_pairs(2000, 100)
    false, true, _ = roc_curve(pairs.same, pairs.similarity)
    nearest = np.argmin(np.abs(false - (1 - true)))
    assert measure_pairs(pairs, resamples=100).estimates["eer"].value == pytest.approx(false[nearest], abs=0.005)
    perfect = ScoredPairs(np.array([0.9, 0.8, 0.2]), np.array([1, 1, 0], bool), list("abc"), list("abd"))
    assert measure_pairs(perfect, resamples=100).estimates["eer"].value == 0


def test_fold_accuracy_follows_the_protocol_of_lfw():
    pairs = drawn_pairs(ties=True)
    wanted = []
    for fold in range(10):
        own, candidates = pairs.fold == fold, np.unique(pairs.similarity)
        candidates = np.concatenate([candidates, [candidates[-1] + 1]])
        others = [((pairs.similarity[~own] >= at) == pairs.same[~own]).mean() for at in candidates]
        wanted.append(((pairs.similarity[own] >= candidates[np.argmax(others)]) == pairs.same[own]).mean())
    found = measure_pairs(pairs, resamples=100)
    assert found.folds == pytest.approx(wanted)
    assert found.estimates["fold_accuracy"].value == pytest.approx(np.mean(wanted))


def test_error_rates_at_a_threshold_count_pairs_within_a_group():
    pairs, at = drawn_pairs(), 0.5
    found = measure_pairs(pairs, threshold=at, resamples=100)
    accepted, level = pairs.similarity >= at, pairs.groups["parity"]
    assert found.estimates["fmr"].value == pytest.approx(accepted[~pairs.same].mean())
    assert found.estimates["fnmr"].value == pytest.approx((~accepted)[pairs.same].mean())
    assert found.estimates["accuracy"].value == pytest.approx((accepted == pairs.same).mean())
    odd = (level == "odd") & ~pairs.same
    assert found.groups["parity"]["odd"]["fmr"].value == pytest.approx(accepted[odd].mean())
    assert found.groups["parity"]["odd"]["fmr"].n == odd.sum()


def test_pairs_of_few_people_have_wider_intervals():
    many, few = (measure_pairs(drawn_pairs(400, people), resamples=300).estimates["auc"] for people in (400, 12))
    assert few.high - few.low > many.high - many.low
    assert few.clusters == 12


def test_the_interval_covers_the_true_auc():
    true, inside = 0.7602, 0
    for seed in range(40):
        found = measure_pairs(drawn_pairs(300, 60, seed), resamples=200).estimates["auc"]
        inside += found.low <= true <= found.high
    assert inside >= 34


def test_a_model_does_not_differ_from_itself():
    first, second = (measure_pairs(drawn_pairs(shift=shift), resamples=200) for shift in (2.0, 0.2))
    same = auc_difference(first, first)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    better = auc_difference(first, second)
    assert better.low > 0
    assert better.value == pytest.approx(first.estimates["auc"].value - second.estimates["auc"].value)


def test_the_chosen_threshold_has_the_best_balanced_accuracy():
    pairs = drawn_pairs(ties=True)
    chosen = choose_pair_threshold(pairs.similarity, pairs.same)

    def balanced(at):
        accepted = pairs.similarity >= at
        return accepted[pairs.same].mean() + (~accepted)[~pairs.same].mean()

    assert balanced(chosen) == max(map(balanced, [*np.unique(pairs.similarity), 99]))
    with pytest.raises(ValueError, match="genuine and impostor pairs"):
        choose_pair_threshold(np.array([0.1]), np.array([True]))


def test_retrieval_equals_that_of_pytorch_metric_learning():
    rng = np.random.default_rng(3)
    people = np.repeat(np.arange(12), [2, 3, 4, 5] * 3)
    embeddings = rng.normal(size=(12, 6))[people] + 0.9 * rng.normal(size=(len(people), 6))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    found = measure_retrieval(embeddings, people, resamples=100)
    oracle = AccuracyCalculator(
        include=("precision_at_1", "mean_average_precision_at_r"), knn_func=CustomKNN(CosineSimilarity())
    )
    wanted = oracle.get_accuracy(torch.tensor(embeddings), torch.tensor(people))
    assert found["recall_at_1"].value == pytest.approx(wanted["precision_at_1"])
    assert found["map_at_r"].value == pytest.approx(wanted["mean_average_precision_at_r"])
    assert found["recall_at_10"].value >= found["recall_at_5"].value >= found["recall_at_1"].value


def test_images_of_single_or_unknown_people_are_no_queries():
    embeddings = np.eye(5)
    found = measure_retrieval(embeddings, ["a", "a", "b", None, None], resamples=100)
    assert found["recall_at_1"].n == 2
    none = measure_retrieval(embeddings, list("abcde"), resamples=100)
    assert none["map_at_r"].value is None
    assert none["map_at_r"].why == "no identity has two samples"


def test_a_cluster_is_not_in_the_gallery_of_its_own_images():
    """With clusters, retrieval is that of each image among the images of other clusters."""
    rng = np.random.default_rng(5)
    tracks = np.repeat(np.arange(20), 3)
    classes = tracks % 4
    embeddings = rng.normal(size=(4, 5))[classes] + 2 * rng.normal(size=(20, 5))[tracks] + rng.normal(size=(60, 5))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    found = measure_retrieval(embeddings, classes, clusters=tracks, resamples=100)
    first, precisions = [], []
    for row in range(60):
        others = np.flatnonzero(tracks != tracks[row])
        order = others[np.argsort(-(embeddings[others] @ embeddings[row]))]
        hits = classes[order] == classes[row]
        first.append(hits[0])
        precisions.append(np.mean([hits[: k + 1].mean() * hits[k] for k in range(hits.sum())]))
    assert found["recall_at_1"].value == pytest.approx(np.mean(first))
    assert found["map_at_r"].value == pytest.approx(np.mean(precisions))
    assert found["map_at_r"].clusters == 20
