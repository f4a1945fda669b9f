"""Temperature, thresholds and abstain band of a task, chosen on the validation split.

Example:
    record = calibrate(task, logits, labels, abstain_accuracy=0.95)
    record.temperature, record.thresholds
"""

import numpy as np
import pandas as pd
import torch
from scipy.special import expit, softmax

from auxface.evaluation import (
    choose_abstain_band,
    choose_abstain_confidence,
    choose_level_thresholds,
    choose_threshold,
    fit_temperature,
)
from auxface.model.config import LevelThresholdRecord, TaskRecord
from auxface.objectives import LearnedTask

RULE = "balanced_accuracy"


def calibrate(
    task: LearnedTask,
    logits: np.ndarray,
    labels: torch.Tensor,
    *,
    abstain_accuracy: float | None = None,
    groups: pd.Series | None = None,
) -> TaskRecord:
    """Fit a temperature (Guo et al., 2017), then choose thresholds and an abstain band on the calibrated scores.

    Args:
        task: Task.
        logits: Logits of the validation split, [N, outputs].
        labels: Labels of the validation split, as :func:`auxface.training.tasks.label_tensors` returns them.
        abstain_accuracy: Accuracy that answers outside the band must have (class and binary tasks); None for no band.
        groups: Level of each row, [N], named after the group; each level gets its own threshold (binary and multilabel
            tasks). None for one threshold for all.

    Returns:
        The task's record in ``config.json``. A class without validation images keeps the threshold 0.5.
    """
    target = labels.numpy()
    if task.kind == "class":
        known = target >= 0
        temperature = _temperature(logits[known], target[known])
        scores = softmax(logits[known] / temperature, axis=1)
        band = _confidence_band(scores, target[known], abstain_accuracy)
        return TaskRecord.of(task, temperature=temperature, abstain=band)
    if task.kind == "ordinal":
        known = ~np.isnan(target)
        steps = np.convolve(task.values, [0.5, 0.5], mode="valid")
        above = (target[known, None] > steps).astype(int)
        return TaskRecord.of(task, temperature=_temperature(logits[known].ravel(), above.ravel()))
    return _calibrate_attributes(task, logits, target.reshape(len(target), -1), abstain_accuracy, groups)


def _calibrate_attributes(
    task: LearnedTask, logits: np.ndarray, columns: np.ndarray, abstain_accuracy: float | None, groups: pd.Series | None
) -> TaskRecord:
    """Calibrate a binary task (one column) or a multilabel task (a column per attribute)."""
    known = ~np.isnan(columns)
    temperature = _temperature(logits[known], columns[known].astype(int))
    names = task.classes if task.kind == "multilabel" else task.classes[1:]
    thresholds, by_level = {}, {}
    for number, name in enumerate(names):
        rows = known[:, number]
        truth, scores = columns[rows, number].astype(int), expit(logits[rows, number] / temperature)
        thresholds[name] = _threshold(truth, scores)
        if groups is not None:
            by_level[name] = choose_level_thresholds(truth, scores, groups[rows])[0]
    band = None
    if task.kind == "binary" and abstain_accuracy is not None and known.any():
        scores, threshold = expit(logits[known] / temperature), thresholds[task.classes[1]]
        band = choose_abstain_band(columns[known].astype(int), scores, threshold=threshold, accuracy=abstain_accuracy)
    return TaskRecord.of(
        task,
        temperature=temperature,
        thresholds=thresholds,
        threshold_rule=RULE,
        abstain=band,
        level_thresholds=None if groups is None else LevelThresholdRecord(group=str(groups.name), thresholds=by_level),
    )


def _confidence_band(
    scores: np.ndarray, target: np.ndarray, abstain_accuracy: float | None
) -> tuple[float, float] | None:
    if abstain_accuracy is None or not len(target):
        return None
    right = (scores.argmax(axis=1) == target).astype(int)
    return 0.0, choose_abstain_confidence(right, scores.max(axis=1), accuracy=abstain_accuracy)


def _temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(fit_temperature(logits, labels)) if len(np.unique(labels)) > 1 else 1.0


def _threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    return float(choose_threshold(labels, scores, rule=RULE)) if len(np.unique(labels)) > 1 else 0.5
