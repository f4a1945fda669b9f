"""Frozen features and logistic regression, which ``plan`` and the probe of ``evaluate`` share."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from auxface.errors import InputError
from auxface.objectives import LearnedTask
from auxface.training import baselines
from auxface.training.baselines import (
    frozen_features,
    hog_features,
    reduce_features,
    regression_logits,
    spaced_rows,
)

TASK = LearnedTask("stripes", "binary", ("across", "down"))


def striped(count, seed):
    """Return noisy images, uint8 [count, 3, 48, 48], and whether their stripes run down."""
    generator = np.random.default_rng(seed)
    down = generator.integers(0, 2, count)
    wave = 40 * np.sin(np.arange(48) * 0.8)
    stripes = np.where(down[:, None, None] == 1, wave[None, None, :], wave[None, :, None])
    images = 128 + stripes[:, None] + generator.normal(0, 15, (count, 3, 48, 48))
    return images.clip(0, 255).astype(np.uint8), down


@pytest.mark.parametrize("features", ["frozen", "hog"])
def test_regression_on_features_separates_directions(features):
    name, extract = frozen_features("cpu") if features == "frozen" else ("HOG", hog_features)
    (train, target), (test, truth) = striped(60, 0), striped(40, 1)
    inputs = reduce_features(extract(train), extract(test))
    logits = regression_logits(TASK, inputs[0], target.astype(np.float32), inputs[1])
    assert logits.shape == (40, 1)
    assert roc_auc_score(truth, logits[:, 0]) > 0.95, name


def test_unknown_labels_are_not_trained_on():
    (train, target), (test, _) = striped(60, 0), striped(20, 1)
    inputs = reduce_features(hog_features(train), hog_features(test))
    known = target.astype(np.float32)
    flipped = np.where(np.arange(60) < 20, np.nan, known)
    logits = regression_logits(TASK, inputs[0], flipped, inputs[1])
    assert np.array_equal(logits, regression_logits(TASK, inputs[0][20:], known[20:], inputs[1]))


def test_without_packaged_weights_features_are_hog(monkeypatch):
    def missing():
        raise InputError("not installed")

    monkeypatch.setattr(baselines, "packaged_weights", missing)
    assert frozen_features("cpu") == ("HOG", hog_features)


def test_rows_are_spread_over_the_table():
    assert spaced_rows(3, 10).tolist() == [0, 1, 2]
    assert spaced_rows(101, 3).tolist() == [0, 50, 100]
