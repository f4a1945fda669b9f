"""Choices made on the validation split: the best weights, temperature, thresholds and the abstain band.

Validation images are split over the processes, and each is counted once. For video encoders the metric is computed on
videos, from the mean score of each video's clips, as at the video level of an audit.

Example::

    value = validate(model, Validation(images, labels), accelerator)

The temperature, the thresholds and the abstain band of each task are stored with the model::

    record = calibrate(task, logits, labels, abstain_accuracy=0.95)
    record.temperature, record.thresholds
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from scipy.special import expit, softmax
from torch import Tensor

from auxface.evaluation import (
    all_pairs,
    choose_abstain_band,
    choose_abstain_confidence,
    choose_level_thresholds,
    choose_pair_threshold,
    choose_threshold,
    fit_temperature,
    pair_similarity,
)
from auxface.evaluation.clusters import VIDEO
from auxface.model import JointModel
from auxface.model.config import LevelThresholdRecord, TaskRecord, VerificationRecord
from auxface.model.scoring import embed_images, model_outputs
from auxface.objectives import LearnedTask
from auxface.training.distributed import gather_rows

_MIN_PROBABILITY = 1e-7
_THRESHOLD_RULE = "balanced_accuracy"
# ``auto`` chooses the first of these accuracies that leaves at least half of the validation samples answered.
_ABSTAIN_ACCURACIES = (0.95, 0.9, 0.8)
_FEWEST_ANSWERED = 0.5
_FEWEST_FOR_ABSTAINING = 100


@dataclass(frozen=True)
class Validation:
    """The validation split.

    Attributes:
        images: images uint8 [N, 3, S, S], or clips [N, T, 3, S, S].
        labels: labels per task, of length N.
        videos: int64 [N], number of the video of each clip, to measure videos; None to measure each image or clip.
    """

    images: np.ndarray
    labels: dict[str, Tensor]
    videos: np.ndarray | None = None


def validate(model: JointModel, validation: Validation, accelerator: Accelerator) -> float | None:
    """Return the validation metric by which the recipe selects weights; all processes call it together.

    Args:
        model: model with full weights.
        validation: validation split.
        accelerator: accelerator of the run.

    Returns:
        The metric, the same on every process, higher for a better model; None if it cannot be measured.
    """
    rank, ranks = accelerator.process_index, accelerator.num_processes
    own = model_outputs(
        model, model.validation_outputs, validation.images[rank::ranks] if ranks > 1 else validation.images
    )
    total = len(validation.images)
    logits = {name: gather_rows(accelerator, torch.from_numpy(each), total).numpy() for name, each in own.items()}
    labels = validation.labels
    if validation.videos is not None:
        logits, labels = video_level(model.primary.tasks, logits, labels, validation.videos)
    return model.primary.validation_figure(model.recipe.train.select_on, logits, labels)


def choose_same_person(
    model: JointModel, images: np.ndarray, labels: Mapping[str, Tensor]
) -> VerificationRecord | None:
    """Choose the similarity from which two images count as one person, on all pairs of validation images.

    Args:
        model: the model.
        images: images of the validation split, or clips.
        labels: labels of the validation split per task; the first identity task is used.

    Returns:
        None without an identity task, or without pairs of both kinds.
    """
    task = next((task for task in model.primary.tasks if task.identity), None)
    if task is None:
        return None
    known = labels[task.name].numpy() >= 0
    people = labels[task.name].numpy()[known]
    first, second = all_pairs(people)
    same = people[first] == people[second]
    if not same.any() or same.all():
        return None
    embeddings = embed_images(model, images)[known]
    similarity = pair_similarity(embeddings[first], embeddings[second])
    threshold = choose_pair_threshold(similarity, same)
    return VerificationRecord(
        label=task.name,
        threshold=threshold,
        false_match_rate=float((similarity >= threshold)[~same].mean()),
        false_non_match_rate=float((similarity < threshold)[same].mean()),
        pairs=len(same),
        people=len(np.unique(people[np.union1d(first, second)])),
    )


def is_better(value: float | None, best: float | None) -> bool:
    """Return whether the weights of an epoch replace the best weights so far.

    If the values are equal, the earlier epoch is kept. If a value could not be measured, the later epoch is kept.

    Args:
        value: validation metric of the epoch; None if it could not be measured.
        best: validation metric of the best weights so far; None before the first validation, or if not measured.
    """
    return value is None or best is None or value > best


def mean_skill(logs: Mapping[str, float]) -> float | None:
    """Return the mean skill in an auxiliary's validation logs; None if none was measured."""
    skills = [value for name, value in logs.items() if ".skill." in name]
    return fmean(skills) if skills else None


def video_numbers(table: pd.DataFrame) -> np.ndarray:
    """Return the number of each row's video, int64 [N]; dataset, method, source and video identify a video."""
    return table.groupby(list(VIDEO), sort=False, dropna=False).ngroup().to_numpy()


def video_level(
    tasks: tuple[LearnedTask, ...], logits: dict[str, np.ndarray], labels: dict[str, Tensor], videos: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, Tensor]]:
    """Return logits whose scores are the mean scores of each video's clips, and the labels of the videos.

    Tasks whose label changes within a video, and identity tasks, which have embeddings, are returned per clip.

    Args:
        tasks: the tasks of the model.
        logits: logits of every clip per task, [N, outputs].
        labels: labels of every clip per task, of length N.
        videos: int64 [N], see :func:`video_numbers`.
    """
    _, first, video_of = np.unique(videos, return_index=True, return_inverse=True)
    pooled: dict[str, np.ndarray] = {}
    targets: dict[str, Tensor] = {}
    for task in tasks:
        own = labels[task.name]
        if not task.identity and torch.equal(
            torch.nan_to_num(own[first][video_of], nan=-1), torch.nan_to_num(own, nan=-1)
        ):
            pooled[task.name], targets[task.name] = _mean_score_logits(task, logits[task.name], video_of), own[first]
        else:
            pooled[task.name], targets[task.name] = logits[task.name], own
    return pooled, targets


def _mean_score_logits(task: LearnedTask, logits: np.ndarray, video_of: np.ndarray) -> np.ndarray:
    """Return the logits of the mean scores: logarithms of class probabilities, log odds of binary ones."""
    rows = torch.as_tensor(logits).double()
    scores = rows.softmax(dim=1) if task.kind == "class" else rows.sigmoid()
    counts = np.bincount(video_of)
    sums = torch.zeros(len(counts), scores.shape[1], dtype=torch.float64)
    sums.index_add_(0, torch.as_tensor(video_of), scores)
    mean = (sums / torch.as_tensor(counts)[:, None]).clamp(_MIN_PROBABILITY, 1 - _MIN_PROBABILITY)
    return (mean.log() if task.kind == "class" else mean.logit()).float().numpy()


def calibrate(
    task: LearnedTask,
    logits: np.ndarray,
    labels: torch.Tensor,
    *,
    abstain_accuracy: float | Literal["auto"] | None = None,
    groups: pd.Series | None = None,
) -> TaskRecord:
    """Fit a temperature (Guo et al., 2017), then choose thresholds and an abstain band on the calibrated scores.

    Args:
        task: the task of the logits.
        logits: logits of the validation split, [N, outputs].
        labels: labels of the validation split, as :func:`auxface.training.tasks.label_tensors` returns them.
        abstain_accuracy: accuracy that answers outside the band must have (class and binary tasks); ``auto`` as in
            :class:`auxface.recipe.Train`; None for no band.
        groups: level of each row, [N], named after the group; each level gets its own threshold (binary and multilabel
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
    task: LearnedTask,
    logits: np.ndarray,
    columns: np.ndarray,
    abstain_accuracy: float | Literal["auto"] | None,
    groups: pd.Series | None,
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
    if task.kind == "binary" and not (groups is not None and abstain_accuracy == "auto"):
        band = _score_band(
            expit(logits[known] / temperature),
            columns[known].astype(int),
            thresholds[task.classes[1]],
            abstain_accuracy,
        )
    return TaskRecord.of(
        task,
        temperature=temperature,
        thresholds=thresholds,
        threshold_rule=_THRESHOLD_RULE,
        abstain=band,
        level_thresholds=None if groups is None else LevelThresholdRecord(group=str(groups.name), thresholds=by_level),
    )


def _confidence_band(
    scores: np.ndarray, target: np.ndarray, accuracy: float | Literal["auto"] | None
) -> tuple[float, float] | None:
    """Return the band of a class task: from 0 to the least confidence of an answer."""
    right, confidence = (scores.argmax(axis=1) == target).astype(int), scores.max(axis=1, initial=0)
    return _supported_band(
        confidence,
        accuracy,
        lambda accuracy: (0.0, choose_abstain_confidence(right, confidence, accuracy=accuracy)),
    )


def _score_band(
    score: np.ndarray, truth: np.ndarray, threshold: float, accuracy: float | Literal["auto"] | None
) -> tuple[float, float] | None:
    """Return the band of a binary task, about its threshold."""
    return _supported_band(
        score,
        accuracy,
        lambda accuracy: choose_abstain_band(truth, score, threshold=threshold, accuracy=accuracy),
    )


def _supported_band(
    score: np.ndarray,
    accuracy: float | Literal["auto"] | None,
    choose: Callable[[float], tuple[float, float]],
) -> tuple[float, float] | None:
    """Return the band at an accuracy; at ``auto`` the first that leaves enough answers, None if there is none."""
    if accuracy is None or not len(score):
        return None
    if accuracy != "auto":
        return choose(accuracy)
    for each in _ABSTAIN_ACCURACIES if len(score) >= _FEWEST_FOR_ABSTAINING else ():
        low, high = choose(each)
        if ((score < low) | (score >= high)).mean() >= _FEWEST_ANSWERED:
            # A band without width would abstain from nothing.
            return (low, high) if low < high else None
    return None


def _temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(fit_temperature(logits, labels)) if len(np.unique(labels)) > 1 else 1.0


def _threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    return float(choose_threshold(labels, scores, rule=_THRESHOLD_RULE)) if len(np.unique(labels)) > 1 else 0.5
