"""From a table's columns to the arrays one task is measured on."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from auxface.evaluation.table import Predictions, TableError, Task, text_of


@dataclass(frozen=True)
class Samples:
    """The rows of one task that have both a truth and a score.

    Attributes:
        rows: int64 [N], their positions in the table.
        true: class index, int64 [N]; for an ordinal task the number, float64 [N].
        score: float64 [N, C] per class; binary: [N], of the positive class; ordinal: [N], the predicted number.
        threshold: float64 [N], the score from which each counts as positive; binary tasks alone, else None.
        unlabelled: rows without a truth.
        unscored: rows with a truth and no score.
    """

    rows: np.ndarray
    true: np.ndarray
    score: np.ndarray
    unlabelled: int
    unscored: int
    threshold: np.ndarray | None = None

    def only(self, keep: np.ndarray) -> "Samples":
        """The samples where the boolean [N] ``keep`` holds."""
        threshold = None if self.threshold is None else self.threshold[keep]
        return Samples(self.rows[keep], self.true[keep], self.score[keep], self.unlabelled, self.unscored, threshold)


def task_samples(predictions: Predictions, task: Task) -> Samples:
    """The samples of a class, binary or ordinal task."""
    frame = predictions.frame
    truth = frame[f"true.{task.name}"]
    if task.kind == "ordinal":
        return _samples(_numbers(truth), _ordinal_score(frame, task), np.float64)
    score = np.stack([_numbers(frame[name]) for name in task.score_columns()], axis=1)
    if task.kind == "binary":
        return _decidable(_samples(_numbers(truth), score[:, 0], np.int64), task, frame)
    return _samples(_class_codes(truth, task.classes), score, np.int64)


def attribute_samples(predictions: Predictions, task: Task, attribute: str) -> Samples | None:
    """The samples of one attribute of a multi-label task; None where the table has no truth for it."""
    truth = f"true.{task.name}.{attribute}"
    if truth not in predictions.frame.columns:
        return None
    score = _numbers(predictions.frame[f"score.{task.name}.{attribute}"])
    found = _samples(_numbers(predictions.frame[truth]), score, np.int64)
    return _decidable(found, task.alone(attribute), predictions.frame)


def scored_rows(predictions: Predictions, task: Task) -> np.ndarray:
    """Which rows have a truth and all scores of a task (multi-label: of some attribute), bool [rows]."""
    kept = np.zeros(len(predictions.frame), dtype=bool)
    parts = [attribute_samples(predictions, task, name) for name in task.classes] if task.kind == "multilabel" else []
    for samples in parts or [task_samples(predictions, task)]:
        if samples is not None:
            kept[samples.rows] = True
    return kept


def predicted_classes(task: Task, samples: Samples) -> np.ndarray:
    """The predicted class index, int64 [N]: at its threshold for a binary task, else the highest score."""
    if task.kind == "binary":
        return (samples.score >= samples.threshold).astype(np.int64)
    return samples.score.argmax(axis=1)


def _decidable(samples: Samples, task: Task, frame: pd.DataFrame) -> Samples:
    """The samples of a binary task with the threshold of each: the task's, or that of the level that its row states."""
    positive, own = task.classes[1], task.level_thresholds
    threshold = np.full(len(samples.rows), task.threshold(positive))
    if own is not None and f"group.{own.group}" in frame.columns:
        codes, levels = pd.factorize(frame[f"group.{own.group}"].iloc[samples.rows])
        by_level = own.thresholds.get(positive, {})
        found = [by_level.get(text_of(level), task.threshold(positive)) for level in levels]
        threshold = np.array([*found, task.threshold(positive)])[codes]
    return replace(samples, threshold=threshold)


def _samples(true: np.ndarray, score: np.ndarray, dtype: type) -> Samples:
    labelled = ~np.isnan(true)
    scored = ~np.isnan(score.reshape(len(score), -1)).any(axis=1)
    rows = np.flatnonzero(labelled & scored)
    unlabelled, unscored = int((~labelled).sum()), int((labelled & ~scored).sum())
    return Samples(rows, true[rows].astype(dtype), score[rows], unlabelled, unscored)


def _numbers(column: pd.Series) -> np.ndarray:
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def _class_codes(column: pd.Series, classes: tuple[str, ...]) -> np.ndarray:
    codes, levels = pd.factorize(column)
    places = {name: place for place, name in enumerate(classes)}
    lookup = np.array([places.get(text_of(level), np.nan) for level in levels] + [np.nan])
    return lookup[codes]


def _ordinal_score(frame: pd.DataFrame, task: Task) -> np.ndarray:
    direct = f"predicted.{task.name}"
    if direct in frame.columns:
        return _numbers(frame[direct])
    try:
        values = np.array([float(name) for name in task.classes])
    except ValueError:
        values = np.arange(len(task.classes), dtype=float)
    if not len(values):
        raise TableError(f"task '{task.name}' is ordinal: give 'predicted.{task.name}', or scores of numbered classes")
    score = np.stack([_numbers(frame[name]) for name in task.score_columns()], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return score @ values / score.sum(axis=1)
