"""Verification and retrieval of plain arrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_tables import scored_samples
from sklearn.metrics import roc_curve

from auxface.evaluation import (
    pair_similarity,
    recall_at_k,
    tar_at_far,
)

quick = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)


@quick
@given(seeds)
def test_tar_at_far_is_a_point_of_the_roc_curve(seed):
    same, similarity = scored_samples(seed, n=200)
    alarm, hit, _ = roc_curve(same, similarity, drop_intermediate=False)
    for far in (0.02, 0.1, 1.0):
        assert tar_at_far(same, similarity, far) == pytest.approx(hit[alarm <= far + 1e-9].max())


def test_verification_refuses_what_it_cannot_measure():
    with pytest.raises(ValueError, match="needs at least 1000 impostor pairs"):
        tar_at_far(np.array([0, 1]), np.array([0.1, 0.2]), 0.001)
    with pytest.raises(ValueError, match="genuine and impostor pairs"):
        tar_at_far(np.ones(4), np.ones(4), 0.1)
    with pytest.raises(ValueError, match="zero"):
        pair_similarity(np.zeros((1, 2)), np.ones((1, 2)))
    assert pair_similarity(np.array([[1.0, 0.0]]), np.array([[3.0, 3.0]]))[0] == pytest.approx(np.sqrt(0.5))


def test_retrieval_excludes_queries_without_a_match():
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
