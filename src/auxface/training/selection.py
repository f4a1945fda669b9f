"""How good a model is on the validation split: the one figure that chooses its weights.

A look at the validation split, shared out among the processes without counting an image twice.

From clips to videos: the mean of the scores of a video's clips, as the audit's video level has it.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from scipy.special import expit, softmax
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss, roc_curve
from torch import Tensor

from auxface.evaluation.clusters import VIDEO
from auxface.model import JointModel
from auxface.model.scoring import score_images
from auxface.objectives import Task, expected_value
from auxface.training.distributed import gather_rows


def selection_value(metric: str, tasks: tuple[Task, ...], logits: dict[str, np.ndarray], labels: dict) -> float | None:
    """The mean of a metric over tasks (and, within a multi-label task, over attributes); higher is better.

    Of an ordinal task, ``loss`` is the mean absolute error (negated) and every other metric one less that error as a
    share of the scale. Balanced accuracy of a binary label is taken at the threshold that is best on these very rows,
    since that is the threshold that will be stored with the model.

    Args:
        metric: ``balanced_accuracy``, ``accuracy``, ``macro_f1`` or ``loss`` (log loss, negated).
        tasks: the tasks.
        logits: per task, [N, outputs].
        labels: per task, arrays as :func:`auxface.training.tasks.label_tensors` gives them.

    Returns:
        None when no task can be measured: every label unknown, or of one class alone.
    """
    values = [
        value
        for task in tasks
        for value in _task_values(metric, task, logits[task.name], np.asarray(labels[task.name]))
        if value is not None
    ]
    return float(np.mean(values)) if values else None


def _task_values(metric: str, task: Task, logits: np.ndarray, labels: np.ndarray) -> list[float | None]:
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


def _ordinal_value(metric: str, task: Task, logits: np.ndarray, labels: np.ndarray) -> float | None:
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
        # A class without validation images has no recall; the mean of the others stands.
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
        return float(balanced_accuracy_score(labels, predicted))


_LEAST = 1e-7


def video_numbers(table: pd.DataFrame) -> np.ndarray:
    """The number of each row's video, int64 [N]: a dataset, method, source and video together."""
    return table.groupby(list(VIDEO), sort=False, dropna=False).ngroup().to_numpy()


def video_level(
    tasks: tuple[Task, ...], logits: dict[str, np.ndarray], labels: dict[str, Tensor], videos: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, Tensor]]:
    """Logits whose scores are the mean scores of each video's clips, and the labels of the videos.

    A task whose label changes within a video keeps its clips, since such a video has no single answer.

    Args:
        tasks: the tasks.
        logits: of every clip, per task, [N, outputs].
        labels: of every clip, per task, of length N.
        videos: int64 [N], of :func:`video_numbers`.
    """
    _, first, place = np.unique(videos, return_index=True, return_inverse=True)
    pooled: dict[str, np.ndarray] = {}
    wanted: dict[str, Tensor] = {}
    for task in tasks:
        own = labels[task.name]
        if torch.equal(torch.nan_to_num(own[first][place], nan=-1), torch.nan_to_num(own, nan=-1)):
            pooled[task.name], wanted[task.name] = _pooled(task, logits[task.name], place), own[first]
        else:
            pooled[task.name], wanted[task.name] = logits[task.name], own
    return pooled, wanted


def _pooled(task: Task, logits: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The logits that give the mean of the scores: of classes their logarithms, of yes and no the log of the odds."""
    rows = torch.as_tensor(logits).double()
    scores = rows.softmax(dim=1) if task.kind == "class" else rows.sigmoid()
    counts = np.bincount(place)
    sums = torch.zeros(len(counts), scores.shape[1], dtype=torch.float64).index_add_(0, torch.as_tensor(place), scores)
    mean = (sums / torch.as_tensor(counts)[:, None]).clamp(_LEAST, 1 - _LEAST)
    return (mean.log() if task.kind == "class" else mean.logit()).float().numpy()


@dataclass(frozen=True)
class Validation:
    """The usable images or clips of the validation split, uint8 [N, 3, S, S] or [N, T, 3, S, S], and their labels.

    Attributes:
        images: the images or clips.
        labels: of each, per task.
        videos: int64 [N], number of the video of each clip, so that videos are what is measured; None: each by itself.
    """

    images: np.ndarray
    labels: dict[str, Tensor]
    videos: np.ndarray | None = None


def validate(model: JointModel, validation: Validation, accelerator: Accelerator) -> float | None:
    """The recipe's selection figure, the same on every process, or None where it cannot be measured."""
    rank, ranks = accelerator.process_index, accelerator.num_processes
    own = score_images(model, validation.images[rank::ranks] if ranks > 1 else validation.images)
    total = len(validation.images)
    logits = {name: gather_rows(accelerator, torch.from_numpy(each), total).numpy() for name, each in own.items()}
    labels = validation.labels
    if validation.videos is not None:
        logits, labels = video_level(model.tasks, logits, labels, validation.videos)
    return selection_value(model.recipe.train.select_on, model.tasks, logits, labels)
