"""What validation shows of every class: checked against scikit-learn, and by what an interval must do."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit
from sklearn.metrics import precision_score, roc_auc_score

from auxface.objectives import LearnedTask
from auxface.training.calibration import calibrate
from auxface.training.evidence import measure_evidence
from auxface.training.training_summary import conclusions


def table(n, frames=1):
    """Return rows of n / frames videos."""
    columns = {"dataset": "d", "method": "", "source": "", "video": [f"v{row // frames}" for row in range(n)]}
    return pd.DataFrame(columns | {"frame": range(n)})


def has(strengths, n=400, frames=1, seed=0):
    """Return logits and labels of attributes whose scores are this many deviations apart; videos have one label."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 2, (n // frames, len(strengths))).repeat(frames, axis=0)
    noise = generator.normal(0, 1, truth.shape)[::frames].repeat(frames, axis=0)[:n]
    logits = (truth - 0.5) * np.array(strengths) + noise
    return logits.astype(np.float32), torch.from_numpy(truth).float()


def multilabel(names):
    return LearnedTask("has", "multilabel", tuple(names))


def test_attributes_above_chance_are_learned():
    logits, labels = has([2.0, 0.0])
    labels[:7] = torch.nan
    record = calibrate(multilabel(["Hat", "Beard"]), logits, labels)
    found = measure_evidence(record, logits, labels, table(400))
    assert {name: one.learned for name, one in found.items()} == {"Hat": True, "Beard": False}
    truth, score = labels[7:, 0].numpy().astype(int), expit(logits[7:, 0] / record.temperature)
    assert found["Hat"].auc == pytest.approx(roc_auc_score(truth, score), abs=1e-4)
    assert found["Hat"].precision == pytest.approx(precision_score(truth, score >= record.thresholds["Hat"]), abs=1e-4)
    assert found["Hat"].n == 393


def test_frames_of_few_videos_are_no_evidence():
    logits, labels = has([0.9], frames=40)
    record = calibrate(multilabel(["Hat"]), logits, labels)
    by_video = measure_evidence(record, logits, labels, table(400, frames=40))["Hat"]
    by_row = measure_evidence(record, logits, labels, table(400))["Hat"]
    assert by_video.auc == by_row.auc
    assert by_video.clusters == 10
    assert (by_row.learned, by_video.learned) == (True, False)


def test_each_class_of_a_class_task_is_measured_alone():
    generator = np.random.default_rng(0)
    truth = generator.choice(4, 600, p=[0.4, 0.3, 0.3, 0])
    logits = generator.normal(0, 1, (600, 4)).astype(np.float32)
    logits[np.arange(600), truth] += np.array([3, 0, 0, 0])[truth]
    task = LearnedTask("mood", "class", ("calm", "glad", "cross", "never"))
    labels = torch.from_numpy(truth)
    found = measure_evidence(calibrate(task, logits, labels), logits, labels, table(600))
    assert found["calm"].learned
    assert found["never"].auc is None
    assert not found["never"].learned


def test_an_ordinal_task_is_measured_above_its_median():
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 5, 300).astype(np.float32)
    logits = 2 * (truth[:, None] - np.arange(0.5, 4)) + generator.normal(0, 1, (300, 4))
    task = LearnedTask("age", "ordinal", ("0", "1", "2", "3", "4"), values=(0.0, 1.0, 2.0, 3.0, 4.0))
    labels = torch.from_numpy(truth)
    record = calibrate(task, logits.astype(np.float32), labels)
    found = measure_evidence(record, logits.astype(np.float32), labels, table(300))
    assert set(found) == {"age"}
    assert found["age"].learned


def test_training_names_what_was_not_learned():
    logits, labels = has([2.0, 0.0])
    record = calibrate(multilabel(["Hat", "Beard"]), logits, labels)
    record = record.model_copy(update={"evidence": measure_evidence(record, logits, labels, table(400))})
    sentence = next(one for one in conclusions({}, 1, 2, [record]) if "not learned" in one)
    assert "1 of 2" in sentence
    assert "Beard" in sentence
    assert "Hat" not in sentence
