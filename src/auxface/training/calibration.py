"""What the validation split says about a model's scores: temperature and thresholds, kept with the weights."""

import numpy as np
import torch
from scipy.special import expit

from auxface.evaluation import choose_threshold, fit_temperature
from auxface.model.config import TaskRecord, record_of
from auxface.objectives import Task

RULE = "balanced_accuracy"


def calibrate(task: Task, logits: np.ndarray, labels: torch.Tensor) -> TaskRecord:
    """Fit a temperature, then choose thresholds on the calibrated scores.

    Args:
        task: the task.
        logits: of the validation split, [N, outputs].
        labels: of the validation split, as :func:`auxface.training.tasks.label_tensors` gives them.

    Returns:
        The record for ``config.json``. A class that the validation split lacks keeps the threshold 0.5.
    """
    wanted = labels.numpy()
    if task.kind == "class":
        known = wanted >= 0
        return record_of(task, temperature=_temperature(logits[known], wanted[known]))
    if task.kind == "ordinal":
        known = ~np.isnan(wanted)
        steps = np.convolve(task.values, [0.5, 0.5], mode="valid")
        above = (wanted[known, None] > steps).astype(int)
        return record_of(task, temperature=_temperature(logits[known].ravel(), above.ravel()))
    columns = wanted.reshape(len(wanted), -1)
    known = ~np.isnan(columns)
    temperature = _temperature(logits[known], columns[known].astype(int))
    names = task.classes if task.kind == "multilabel" else task.classes[1:]
    thresholds = {
        name: _threshold(columns[known[:, place], place], expit(logits[known[:, place], place] / temperature))
        for place, name in enumerate(names)
    }
    return record_of(task, temperature=temperature, thresholds=thresholds, threshold_rule=RULE)


def _temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(fit_temperature(logits, labels)) if len(np.unique(labels)) > 1 else 1.0


def _threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    return float(choose_threshold(labels.astype(int), scores, rule=RULE)) if len(np.unique(labels)) > 1 else 0.5
