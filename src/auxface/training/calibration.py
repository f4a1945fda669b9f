"""What the validation split says about a model's scores: temperature, thresholds and abstain band."""

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
from auxface.model.config import LevelThresholdRecord, TaskRecord, record_of
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
    """Fit a temperature, then choose thresholds and an abstain band on the calibrated scores.

    Args:
        task: the task.
        logits: of the validation split, [N, outputs].
        labels: of the validation split, as :func:`auxface.training.tasks.label_tensors` gives them.
        abstain_accuracy: how often answers outside the band must be right (class and binary tasks); None: no band.
        groups: levels of the validation split by the group that its name says, [N], each of which gets a threshold of
            its own (binary and multilabel tasks); None: one threshold for all.

    Returns:
        The record for ``config.json``. A class that the validation split lacks keeps the threshold 0.5.
    """
    wanted = labels.numpy()
    if task.kind == "class":
        known = wanted >= 0
        temperature = _temperature(logits[known], wanted[known])
        scores = softmax(logits[known] / temperature, axis=1)
        band = _confidence_band(scores, wanted[known], abstain_accuracy)
        return record_of(task, temperature=temperature, abstain=band)
    if task.kind == "ordinal":
        known = ~np.isnan(wanted)
        steps = np.convolve(task.values, [0.5, 0.5], mode="valid")
        above = (wanted[known, None] > steps).astype(int)
        return record_of(task, temperature=_temperature(logits[known].ravel(), above.ravel()))
    columns = wanted.reshape(len(wanted), -1)
    known = ~np.isnan(columns)
    temperature = _temperature(logits[known], columns[known].astype(int))
    names = task.classes if task.kind == "multilabel" else task.classes[1:]
    thresholds, by_level = {}, {}
    for place, name in enumerate(names):
        here = known[:, place]
        truth, scores = columns[here, place].astype(int), expit(logits[here, place] / temperature)
        thresholds[name] = _threshold(truth, scores)
        if groups is not None:
            by_level[name] = choose_level_thresholds(truth, scores, groups[here])[0]
    own = None if groups is None else LevelThresholdRecord(group=str(groups.name), thresholds=by_level)
    band = None
    if task.kind == "binary" and abstain_accuracy is not None and known.any():
        scores, threshold = expit(logits[known] / temperature), thresholds[task.classes[1]]
        band = choose_abstain_band(columns[known].astype(int), scores, threshold=threshold, accuracy=abstain_accuracy)
    return record_of(
        task,
        temperature=temperature,
        thresholds=thresholds,
        threshold_rule=RULE,
        abstain=band,
        level_thresholds=own,
    )


def _confidence_band(
    scores: np.ndarray, wanted: np.ndarray, abstain_accuracy: float | None
) -> tuple[float, float] | None:
    if abstain_accuracy is None or not len(wanted):
        return None
    right = (scores.argmax(axis=1) == wanted).astype(int)
    return 0.0, choose_abstain_confidence(right, scores.max(axis=1), accuracy=abstain_accuracy)


def _temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(fit_temperature(logits, labels)) if len(np.unique(labels)) > 1 else 1.0


def _threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    return float(choose_threshold(labels, scores, rule=RULE)) if len(np.unique(labels)) > 1 else 0.5
