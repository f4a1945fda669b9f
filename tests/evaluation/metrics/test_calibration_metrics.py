"""Calibration error, Brier score, reliability diagram and temperature of plain arrays."""

import numpy as np
import pytest

from auxface.evaluation import (
    brier_score,
    expected_calibration_error,
    fit_temperature,
    reliability_bins,
)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_recovered(temperature):
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (40_000, 4))
    chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    true = (chance.cumsum(axis=1) > generator.random((40_000, 1))).argmax(axis=1)
    assert fit_temperature(logits * temperature, true) == pytest.approx(temperature, rel=0.03)


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
