"""The validation metric for classification, by which the best weights are selected.

This module is separate from ``objective``, so that prediction does not import scikit-learn.
"""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy.special import expit, softmax
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss, roc_curve
from torch import Tensor

from auxface.objectives.objective import LearnedTask, expected_value


def classification_figure(
    metric: str,
    tasks: Sequence[LearnedTask],
    logits: Mapping[str, np.ndarray],
    labels: Mapping[str, Tensor],
) -> float | None:
    """Return the mean of a metric over the tasks (and over the attributes of a multilabel task); higher is better.

    For an ordinal task, ``loss`` is the negative mean absolute error, and every other metric is 1 minus the ratio of
    the mean absolute error to the range of values. The balanced accuracy of a binary label is computed at the best
    threshold on these rows, which is the threshold that is saved with the model.

    Args:
        metric: ``balanced_accuracy``, ``accuracy``, ``macro_f1`` or ``loss`` (the negative log loss).
        tasks: the tasks.
        logits: logits by task, [N, outputs].
        labels: labels by task, as in :class:`auxface.objectives.Batch`.

    Returns:
        The mean metric; None if it cannot be computed for any task because all labels are unknown or of one class.
    """
    values = [
        value
        for task in tasks
        for value in _task_values(metric, task, logits[task.name], np.asarray(labels[task.name]))
        if value is not None
    ]
    return float(np.mean(values)) if values else None


def _task_values(metric: str, task: LearnedTask, logits: np.ndarray, labels: np.ndarray) -> list[float | None]:
    if task.kind == "class":
        known = labels >= 0
        return [_value(metric, labels[known], softmax(logits[known], axis=1))]
    if task.kind == "ordinal":
        return [_ordinal_value(metric, task, logits, labels)]
    columns = labels.reshape(len(labels), -1)
    values: list[float | None] = []
    for place in range(columns.shape[1]):
        known = ~np.isnan(columns[:, place])
        positive = expit(logits[known, place])
        values.append(_binary_value(metric, columns[known, place].astype(int), positive))
    return values


def _ordinal_value(metric: str, task: LearnedTask, logits: np.ndarray, labels: np.ndarray) -> float | None:
    known = ~np.isnan(labels)
    if not known.any():
        return None
    predicted = expected_value(task, torch.as_tensor(logits[known])).numpy()
    error = float(np.abs(predicted - labels[known]).mean())
    return -error if metric == "loss" else 1 - error / (task.values[-1] - task.values[0])


def _binary_value(metric: str, labels: np.ndarray, positive: np.ndarray) -> float | None:
    if metric == "balanced_accuracy" and len(np.unique(labels)) == 2:
        false_positive, true_positive, _ = roc_curve(labels, positive)
        return float((true_positive + 1 - false_positive).max() / 2)
    return _value(metric, labels, np.stack([1 - positive, positive], axis=1))


def _value(metric: str, labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    if len(np.unique(labels)) < 2:
        return None
    predicted = probabilities.argmax(axis=1)
    if metric == "loss":
        return -float(log_loss(labels, probabilities, labels=np.arange(probabilities.shape[1])))
    if metric == "accuracy":
        return float(accuracy_score(labels, predicted))
    if metric == "macro_f1":
        return float(f1_score(labels, predicted, average="macro", zero_division=0.0))  # pyright: ignore[reportArgumentType]
    with warnings.catch_warnings():
        # A class without validation images has no recall; the metric is the mean over the other classes.
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
        return float(balanced_accuracy_score(labels, predicted))
