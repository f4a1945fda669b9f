"""Metrics that are made of counts: accuracy, balanced accuracy, macro F1, rates at a threshold."""

import numpy as np

from auxface.evaluation.intervals import Resampling

COUNT_METRICS = ("accuracy", "balanced_accuracy", "macro_f1")
RATE_METRICS = ("true_positive_rate", "false_positive_rate", "precision", "selection_rate")


def count_metrics(
    true: np.ndarray,
    predicted: np.ndarray,
    classes: int,
    level: np.ndarray,
    levels: int,
    cluster: np.ndarray,
    resampling: Resampling,
) -> dict[str, np.ndarray]:
    """Metrics per level of a grouping, on the data and on every resample.

    Definitions are scikit-learn's: balanced accuracy is the mean recall of the classes that occur; macro F1 the mean F1
    of the classes that occur or are predicted. With two classes the rates of :data:`RATE_METRICS` are added, class 1
    being the positive one.

    Args:
        true: class index, int64 [N].
        predicted: class index, int64 [N].
        classes: how many classes.
        level: level of each sample, int64 [N] in 0..levels-1.
        levels: how many levels.
        cluster: cluster of each sample, int64 [N].
        resampling: the resamples.

    Returns:
        Name to float64 [levels, 1+R]; NaN where undefined.
    """
    hit = true == predicted
    cells = levels * classes
    support = resampling.sums(level * classes + true, cluster, cells)
    chosen = resampling.sums(level * classes + predicted, cluster, cells)
    correct = resampling.sums((level * classes + true)[hit], cluster[hit], cells)
    parts = []
    for part in resampling.chunks(3 * cells):
        weights = resampling.columns(part)
        shape = (levels, classes, weights.shape[1])
        parts.append(_metrics(*((table @ weights).reshape(shape) for table in (support, chosen, correct))))
    return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}


def _metrics(support: np.ndarray, chosen: np.ndarray, correct: np.ndarray) -> dict[str, np.ndarray]:
    with np.errstate(invalid="ignore", divide="ignore"):
        total = support.sum(axis=1)
        found = {
            "accuracy": correct.sum(axis=1) / total,
            "balanced_accuracy": _mean(correct / support, support > 0),
            "macro_f1": _mean(2 * correct / (support + chosen), support + chosen > 0),
        }
        if support.shape[1] == 2:
            hits, alarms = correct[:, 1], chosen[:, 1] - correct[:, 1]
            found["true_positive_rate"] = hits / support[:, 1]
            found["false_positive_rate"] = alarms / support[:, 0]
            found["precision"] = hits / chosen[:, 1]
            found["selection_rate"] = chosen[:, 1] / total
    return found


def _mean(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Mean over the class axis of the values that exist; NaN where none does."""
    return np.where(where, values, 0).sum(axis=1) / where.sum(axis=1)


def confusion(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts int64 [classes, classes]: row = truth, column = prediction."""
    return np.bincount(true * classes + predicted, minlength=classes * classes).reshape(classes, classes)
