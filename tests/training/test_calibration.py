import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit, softmax

from auxface.evaluation import choose_threshold
from auxface.objectives import LearnedTask
from auxface.training.calibration import calibrate

FORGED = LearnedTask("forged", "binary", ("real", "forged"))
MOOD = LearnedTask("mood", "class", ("calm", "glad", "cross"))


def scores_of(seed=0, n=2000):
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 2, n)
    return (2 * truth - 1 + generator.normal(0, 1.5, n))[:, None].astype(np.float32), truth


def test_answers_outside_the_band_have_the_asked_accuracy():
    logits, truth = scores_of()
    labels = torch.from_numpy(truth).float()
    labels[:100] = torch.nan
    record = calibrate(FORGED, logits, labels, abstain_accuracy=0.9)
    assert record.abstain is not None
    low, high = record.abstain
    assert low < record.thresholds["forged"] < high
    score, truth = expit(logits[100:, 0] / record.temperature), truth[100:]
    assert truth[score >= high].mean() >= 0.9
    assert (truth[score < low] == 0).mean() >= 0.9
    assert 0.1 < ((score < low) | (score >= high)).mean() < 0.9


def test_a_class_task_gets_a_minimum_confidence():
    generator = np.random.default_rng(1)
    truth = generator.integers(-1, 3, 2000)
    logits = generator.normal(0, 1, (2000, 3)).astype(np.float32)
    logits[np.arange(2000), np.maximum(truth, 0)] += 1
    record = calibrate(MOOD, logits, torch.from_numpy(truth), abstain_accuracy=0.8)
    assert record.abstain is not None
    assert record.abstain[0] == 0
    known = truth >= 0
    score = softmax(logits[known] / record.temperature, axis=1)
    kept = score.max(axis=1) >= record.abstain[1]
    assert (score.argmax(axis=1) == truth[known])[kept].mean() == pytest.approx(0.8, abs=0.02)


def test_each_level_gets_the_threshold_of_its_own_rows():
    logits, truth = scores_of()
    groups = pd.Series(np.repeat(["a", "b", None, "few"], (990, 980, 10, 20)), name="who")
    logits[groups == "b"] += 2
    labels = torch.from_numpy(truth).float()
    labels[:100] = torch.nan
    record = calibrate(FORGED, logits, labels, groups=groups)
    score, known = expit(logits[:, 0] / record.temperature), np.arange(2000) >= 100
    expected = {
        level: choose_threshold(truth[known & (groups == level)], score[known & (groups == level)])
        for level in ("a", "b")
    }
    assert record.level_thresholds is not None
    assert record.level_thresholds.group == "who"
    assert record.level_thresholds.thresholds == {"forged": expected}
    assert record.thresholds["forged"] == choose_threshold(truth[known], score[known])


def test_the_automatic_band_answers_at_least_half():
    logits, truth = scores_of()
    labels = torch.from_numpy(truth).float()
    bands = [calibrate(FORGED, logits, labels, abstain_accuracy=each).abstain for each in (0.95, 0.9, 0.8)]
    score = expit(logits[:, 0] / calibrate(FORGED, logits, labels).temperature)
    answered = [((score < band[0]) | (score >= band[1])).mean() for band in bands if band is not None]
    assert answered[1] < 0.5 < answered[2]
    assert calibrate(FORGED, logits, labels, abstain_accuracy="auto").abstain == bands[2]


@pytest.mark.parametrize(("strength", "n"), [(0.1, 2000), (1.0, 90)], ids=["weak scores", "few samples"])
def test_no_automatic_band_where_validation_lacks_support(strength, n):
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 2, n)
    logits = (strength * (2 * truth - 1) + generator.normal(0, 1.5, n))[:, None].astype(np.float32)
    record = calibrate(FORGED, logits, torch.from_numpy(truth).float(), abstain_accuracy="auto")
    assert record.abstain is None


def test_no_abstain_band_is_chosen_unless_asked():
    logits, truth = scores_of(n=100)
    assert calibrate(FORGED, logits, torch.from_numpy(truth).float()).abstain is None
