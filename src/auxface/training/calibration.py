"""Calibrate a trained model on the validation split: temperature, thresholds, abstain band, and ``config.json``.

Example::

    record = calibrate(task, logits, labels, abstain_accuracy=0.95)
    record.temperature, record.thresholds
"""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import pandas as pd
import torch
from scipy.special import expit, softmax
from torch import Tensor

from auxface.encoders.pretrained import weights_record
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
from auxface.evaluation.thresholds import DEFAULT_RULE
from auxface.model import JointModel
from auxface.model.config import LevelThresholdRecord, ModelConfig, Selection, TaskRecord, VerificationRecord
from auxface.model.scoring import embed_images, score_images
from auxface.objectives import LearnedTask
from auxface.provenance import provenance
from auxface.recipe.load import recipe_hash
from auxface.sample_kind import kind_of
from auxface.training.assembly import Assembly
from auxface.training.checkpoint import RunRecord
from auxface.training.evidence import measure_evidence
from auxface.training.loop import TrainingResult
from auxface.training.training_summary import (
    Entries,
    conclusions,
    describe_effect,
    describe_same_person,
    describe_time,
    last_figures,
    task_figures,
)

# ``auto`` chooses the first of these accuracies at which at least half of the validation samples get a prediction.
_ABSTAIN_ACCURACIES = (0.95, 0.9, 0.8)
_FEWEST_ANSWERED = 0.5
_FEWEST_FOR_ABSTAINING = 100


def calibrated_config(
    assembly: Assembly,
    record: RunRecord,
    result: TrainingResult,
    *,
    entries: Entries,
    baselines: Mapping[str, Mapping[str, float]],
    rejected: int,
) -> ModelConfig:
    """Calibrate a trained model on the validation split and return the content of ``config.json``.

    Args:
        assembly: inputs of the run.
        record: record of the run.
        result: result of training, with the trained model.
        entries: entries of ``log.jsonl``.
        baselines: balanced accuracy of the simple baselines that were computed for a plan, by task.
        rejected: number of images that could not be read.
    """
    recipe, crop, validation = assembly.recipe, assembly.manifest.crop, assembly.validation
    tasks = result.model.tasks
    logits = score_images(result.model, validation.images) if tasks else {}
    column = recipe.train.group if recipe.train.threshold_per_group else None
    rows = assembly.splits["val"].manifest
    groups = None if column is None else rows.table[column]
    figures = task_figures(tasks, logits, validation.labels, rows, baselines)
    records: list[TaskRecord] = []
    for task in tasks:
        own, labels = logits[task.name], validation.labels[task.name]
        made = calibrate(task, own, labels, abstain_accuracy=recipe.train.abstain_accuracy, groups=groups)
        evidence = measure_evidence(made, own, labels, rows.table)
        records.append(made.model_copy(update={"evidence": evidence}))
    verification = choose_same_person(result.model, validation.images, validation.labels)
    return ModelConfig(
        recipe=recipe,
        tasks=tuple(records),
        verification=verification,
        crop=None if crop is None else dict(crop),
        selection=Selection(
            split="val", metric=recipe.selection_metric, value=result.best_value, epoch=result.best_epoch
        ),
        provenance=provenance(
            recipe_hash=recipe_hash(recipe),
            manifest_hash=record.manifest_hash,
            unlabeled_manifest_hashes=list(record.unlabeled.values()),
            trained_on=_dataset_names(assembly),
            seed=recipe.seed,
            images=assembly.image_counts(),
            unreadable=rejected,
            speed_trial=record.trial,
            initial_weights=weights_record(recipe.encoder),
            objectives=result.model.report(),
            auxiliary_effect=describe_effect(entries),
            auxiliaries=last_figures(entries),
            validation=figures,
            conclusions=[
                *conclusions(figures, result.best_epoch, result.epochs, records),
                *describe_same_person(verification, result.best_value, recipe, kind_of(crop)),
                *describe_time(recipe, epochs=result.epochs, seconds=result.seconds),
            ],
            epochs=result.epochs,
            training_seconds=round(result.seconds, 1),
        ),
    )


def _dataset_names(assembly: Assembly) -> str | list[str]:
    """Return the names of the data sets in the training split, for the cross-dataset matrix."""
    names = sorted({str(name) for name in assembly.splits["train"].manifest.table["dataset"].unique()})
    return names[0] if len(names) == 1 else names


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
        task: task to which the logits belong.
        logits: logits of the validation split, [N, outputs].
        labels: labels of the validation split, as :func:`auxface.training.tasks.label_tensors` returns them.
        abstain_accuracy: required accuracy of the predictions outside the band (class and binary tasks); ``auto`` has
            the same meaning as in :class:`auxface.recipe.Train`; None for no band.
        groups: group level of each row, [N], as a series with the name of the group. Each level gets its own threshold
            (binary and multilabel tasks). None for a single threshold.

    Returns:
        The task's record for ``config.json``. A class without validation images keeps the threshold 0.5.
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
    """Calibrate a binary task (one column) or a multilabel task (one column per attribute)."""
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
        threshold_rule=DEFAULT_RULE,
        abstain=band,
        level_thresholds=None if groups is None else LevelThresholdRecord(group=str(groups.name), thresholds=by_level),
    )


def _confidence_band(
    scores: np.ndarray, target: np.ndarray, accuracy: float | Literal["auto"] | None
) -> tuple[float, float] | None:
    """Return the abstain band of a class task: from 0 to the minimum confidence of a prediction."""
    right, confidence = (scores.argmax(axis=1) == target).astype(int), scores.max(axis=1, initial=0)
    return _supported_band(
        confidence,
        accuracy,
        lambda accuracy: (0.0, choose_abstain_confidence(right, confidence, accuracy=accuracy)),
    )


def _score_band(
    score: np.ndarray, truth: np.ndarray, threshold: float, accuracy: float | Literal["auto"] | None
) -> tuple[float, float] | None:
    """Return the abstain band of a binary task around its threshold."""
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
    """Return the band for an accuracy; for ``auto``, the first band outside which enough samples lie, or None."""
    if accuracy is None or not len(score):
        return None
    if accuracy != "auto":
        return choose(accuracy)
    for each in _ABSTAIN_ACCURACIES if len(score) >= _FEWEST_FOR_ABSTAINING else ():
        low, high = choose(each)
        if ((score < low) | (score >= high)).mean() >= _FEWEST_ANSWERED:
            # With a band of zero width, the model would never abstain.
            return (low, high) if low < high else None
    return None


def _temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(fit_temperature(logits, labels)) if len(np.unique(labels)) > 1 else 1.0


def _threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    return float(choose_threshold(labels, scores, rule=DEFAULT_RULE)) if len(np.unique(labels)) > 1 else 0.5


def choose_same_person(
    model: JointModel, images: np.ndarray, labels: Mapping[str, Tensor]
) -> VerificationRecord | None:
    """Choose the minimum similarity at which two images are considered the same person, on all validation pairs.

    Args:
        model: the model.
        images: images or clips of the validation split.
        labels: labels of the validation split by task; the labels of the first identity task are used.

    Returns:
        The chosen similarity and its error rates; None without an identity task, or if there are no pairs of the same
        person or no pairs of different people.
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
