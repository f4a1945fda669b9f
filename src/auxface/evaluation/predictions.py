"""The predictions table: truth, scores and groups of each sample, and the arrays from which metrics are computed.

>>> frame = pd.DataFrame({"true.forged": [0, 1], "score.forged.forged": [0.2, 0.9]})
>>> table = Predictions(frame, (ScoredTask("forged", "binary", ("real", "forged"), {"forged": 0.5}),))
>>> samples = task_samples(table, table.tasks[0])
>>> predicted_classes(table.tasks[0], samples).tolist()
[0, 1]
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from auxface.task import Task

KEY: tuple[str, ...] = ("dataset", "method", "source", "video", "frame")
ASSUMED = "assumed"


class TableError(ValueError):
    """A predictions table that cannot be measured; the message names the column or row and the remedy."""


@dataclass(frozen=True)
class LevelThresholds:
    """Thresholds by level of a group; they need the group of every sample at test time.

    Attributes:
        group: the group, as in ``group.<name>``.
        thresholds: class or attribute to level to threshold; samples of other levels, or without a level, are decided
            by the threshold of the task.
    """

    group: str
    thresholds: Mapping[str, Mapping[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """Return the thresholds as plain data, as headers, configurations and reports store them."""
        return {"group": self.group, "thresholds": {name: dict(levels) for name, levels in self.thresholds.items()}}


@dataclass(frozen=True)
class ScoredTask(Task):
    """A task with the thresholds that turn its scores into decisions.

    Attributes:
        name: the task, as in ``true.<name>``.
        kind: ``class`` (one of several), ``binary`` (classes = negative, positive), ``multilabel`` (each class is an
            attribute, present or not) or ``ordinal`` (a number).
        classes: class or attribute names in order.
        thresholds: score from which a class counts as predicted; binary: ``{positive: t}``, multilabel: one per
            attribute, otherwise empty.
        threshold_rule: how the thresholds were chosen; ``"assumed"`` if none were given and 0.5 is used.
        abstain: (low, high): the model does not answer where ``low <= score < high``. The score is that of the
            positive class of a binary task, of the top class of a ``class`` task. None: it always answers.
        level_thresholds: replace ``thresholds`` for the levels of a group; None: one threshold for all samples.
    """

    thresholds: Mapping[str, float] = field(default_factory=dict)
    threshold_rule: str | None = None
    abstain: tuple[float, float] | None = None
    level_thresholds: LevelThresholds | None = None

    def threshold(self, name: str) -> float:
        """Return the threshold of class ``name``, 0.5 if none is stored."""
        return float(self.thresholds.get(name, 0.5))

    def alone(self, attribute: str) -> "ScoredTask":
        """Return one attribute of a multi-label task as a binary task."""
        threshold = {attribute: self.threshold(attribute)}
        return ScoredTask(
            attribute,
            "binary",
            (f"not {attribute}", attribute),
            threshold,
            self.threshold_rule,
            level_thresholds=self.level_thresholds,
        )

    def true_columns(self) -> list[str]:
        """Return the columns of the truth; those of a multi-label task have the order of :meth:`score_columns`."""
        if self.kind == "multilabel":
            return [f"true.{self.name}.{name}" for name in self.classes]
        return [f"true.{self.name}"]

    def score_columns(self) -> list[str]:
        """Return the columns of the scores, one per class (binary: only of the positive class)."""
        names = self.classes[1:] if self.kind == "binary" else self.classes
        return [f"score.{self.name}.{name}" for name in names]


@dataclass
class Predictions:
    """One model's scores for a set of samples.

    Attributes:
        frame: a row per sample: key columns :data:`KEY` and ``split`` where known, ``group.<name>``, ``true.<task>`` or
            ``true.<task>.<attribute>``, ``score.<task>.<class>`` in [0, 1]. ``predicted.<task>`` holds predicted
            classes used in place of scores and thresholds; scores are then optional. ``weight`` holds sample weights,
            ``cluster`` the clusters that are resampled in place of videos and sources. ``property.<name>`` holds
            properties of the samples, such as the brightness of an image, in which weak segments are searched.
        tasks: the tasks that the columns belong to.
        left_out: number of samples that have no row, by reason, such as ``{"unreadable": 3, "no_face": 2}``.
        provenance: origin of the scores: model, manifest hash, seed, versions, machine.
        notes: notes for the reader on the file from which the table was read.
    """

    frame: pd.DataFrame
    tasks: tuple[ScoredTask, ...]
    left_out: dict[str, int] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def groups(self) -> list[str]:
        """Return the names of the groups."""
        return [name.removeprefix("group.") for name in self.frame.columns if str(name).startswith("group.")]

    def task(self, name: str) -> ScoredTask:
        """Return the task called ``name``.

        Raises:
            TableError: there is none.
        """
        for task in self.tasks:
            if task.name == name:
                return task
        raise TableError(f"no task '{name}' in the table (it has: {', '.join(t.name for t in self.tasks) or 'none'})")


def text_of(value: object) -> str:
    """Return a class or level as text; ``3.0`` is "3", because pandas stores integers with missing values as floats."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


@dataclass(frozen=True)
class Samples:
    """The rows of one task that have both a truth and a score.

    Attributes:
        rows: int64 [N], their positions in the table.
        true: class index, int64 [N]; for an ordinal task the number, float64 [N].
        score: float64 [N, C] per class; binary: [N], of the positive class; ordinal: [N], the predicted number.
        unlabeled: number of rows without a truth.
        unscored: number of rows with a truth and no score.
        threshold: float64 [N], the score from which each counts as positive; None unless the task is binary.
        decided: int64 [N], the class of each in ``predicted.<task>``; None if scores and thresholds decide.
        scored: whether the table has scores; else ``score`` is 1 for the decided class and 0 for others.
        weight: float64 [N], sample weights; None if all are equal.
    """

    rows: np.ndarray
    true: np.ndarray
    score: np.ndarray
    unlabeled: int
    unscored: int
    threshold: np.ndarray | None = None
    decided: np.ndarray | None = None
    scored: bool = True
    weight: np.ndarray | None = None


def task_samples(predictions: Predictions, task: ScoredTask) -> Samples:
    """Return the samples of a class, binary or ordinal task."""
    frame = predictions.frame
    truth = frame[f"true.{task.name}"]
    if task.kind == "ordinal":
        return _samples(frame, _numbers(truth), _ordinal_score(frame, task), np.float64)
    binary = task.kind == "binary"
    decided = None
    if f"predicted.{task.name}" in frame.columns:
        column = frame[f"predicted.{task.name}"]
        decided = _numbers(column) if binary else _class_codes(column, task.classes)
    true = _numbers(truth) if binary else _class_codes(truth, task.classes)
    columns = [name for name in task.score_columns() if name in frame.columns]
    score = np.stack([_numbers(frame[name]) for name in columns], axis=1) if columns else None
    if binary:
        score = None if score is None else score[:, 0]
        return _with_threshold(_samples(frame, true, score, np.int64, decided), task, frame)
    return _samples(frame, true, score, np.int64, decided, classes=len(task.classes))


def attribute_samples(predictions: Predictions, task: ScoredTask, attribute: str) -> Samples | None:
    """Return the samples of one attribute of a multi-label task; None if the table has no truth for it."""
    truth = f"true.{task.name}.{attribute}"
    if truth not in predictions.frame.columns:
        return None
    decisions, scores = f"predicted.{task.name}.{attribute}", f"score.{task.name}.{attribute}"
    decided = _numbers(predictions.frame[decisions]) if decisions in predictions.frame.columns else None
    score = _numbers(predictions.frame[scores]) if scores in predictions.frame.columns or decided is None else None
    found = _samples(predictions.frame, _numbers(predictions.frame[truth]), score, np.int64, decided)
    return _with_threshold(found, task.alone(attribute), predictions.frame)


def scored_rows(predictions: Predictions, task: ScoredTask) -> np.ndarray:
    """Return which rows have a truth and all scores of a task (multi-label: for any attribute), bool [rows]."""
    kept = np.zeros(len(predictions.frame), dtype=bool)
    parts = [attribute_samples(predictions, task, name) for name in task.classes] if task.kind == "multilabel" else []
    for samples in parts or [task_samples(predictions, task)]:
        if samples is not None:
            kept[samples.rows] = True
    return kept


def predicted_classes(task: ScoredTask, samples: Samples) -> np.ndarray:
    """Return the predicted class index, int64 [N]: the decision, else by threshold, else by the highest score."""
    if samples.decided is not None:
        return samples.decided
    if task.kind == "binary":
        return (samples.score >= samples.threshold).astype(np.int64)
    return samples.score.argmax(axis=1)


def _with_threshold(samples: Samples, task: ScoredTask, frame: pd.DataFrame) -> Samples:
    """Return the samples of a binary task with the threshold of each: that of its level, else that of the task."""
    positive, own = task.classes[1], task.level_thresholds
    threshold = np.full(len(samples.rows), task.threshold(positive))
    if own is not None and f"group.{own.group}" in frame.columns:
        codes, levels = pd.factorize(frame[f"group.{own.group}"].iloc[samples.rows])
        by_level = own.thresholds.get(positive, {})
        found = [by_level.get(text_of(level), task.threshold(positive)) for level in levels]
        threshold = np.array([*found, task.threshold(positive)])[codes]
    return replace(samples, threshold=threshold)


def without_decisions(predictions: Predictions, task: ScoredTask) -> Predictions:
    """Return the table without the decisions of a task, so that scores and thresholds decide."""
    names = [name for name in predictions.frame.columns if name == f"predicted.{task.name}"]
    return replace(predictions, frame=predictions.frame.drop(columns=names)) if names else predictions


def _samples(
    frame: pd.DataFrame,
    true: np.ndarray,
    score: np.ndarray | None,
    dtype: type,
    decided: np.ndarray | None = None,
    classes: int = 0,
) -> Samples:
    """Return the rows that have a truth and what a decision needs; without scores, decisions replace them."""
    is_scored = score is not None
    if score is None:
        assert decided is not None
        score = decided
        if classes:
            score = np.where(np.isnan(decided)[:, None], np.nan, decided[:, None] == np.arange(classes))
    labeled = ~np.isnan(true)
    known = ~np.isnan(score.reshape(len(score), -1)).any(axis=1)
    if decided is not None:
        known &= ~np.isnan(decided)
    rows = np.flatnonzero(labeled & known)
    return Samples(
        rows,
        true[rows].astype(dtype),
        score[rows],
        int((~labeled).sum()),
        int((labeled & ~known).sum()),
        decided=None if decided is None else decided[rows].astype(np.int64),
        scored=is_scored,
        weight=frame["weight"].to_numpy(float)[rows] if "weight" in frame.columns else None,
    )


def _numbers(column: pd.Series) -> np.ndarray:
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def _class_codes(column: pd.Series, classes: tuple[str, ...]) -> np.ndarray:
    codes, levels = pd.factorize(column)
    places = {name: place for place, name in enumerate(classes)}
    lookup = np.array([places.get(text_of(level), np.nan) for level in levels] + [np.nan])
    return lookup[codes]


def _ordinal_score(frame: pd.DataFrame, task: ScoredTask) -> np.ndarray:
    direct = f"predicted.{task.name}"
    if direct in frame.columns:
        return _numbers(frame[direct])
    try:
        values = np.array([float(name) for name in task.classes])
    except ValueError:
        values = np.arange(len(task.classes), dtype=float)
    if not len(values):
        raise TableError(
            f"ordinal task '{task.name}' needs a column 'predicted.{task.name}', or scores of classes that are numbers"
        )
    score = np.stack([_numbers(frame[name]) for name in task.score_columns()], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return score @ values / score.sum(axis=1)


def merge_predictions(parts: Sequence[Predictions]) -> Predictions:
    """Return the rows of all parts in one table; the numbers of excluded samples are summed.

    Raises:
        TableError: no part, or parts whose tasks, classes or thresholds differ.
    """
    if not parts:
        raise TableError("no table was given")
    first = parts[0]
    left_out: dict[str, int] = {}
    for part in parts:
        if part.tasks != first.tasks:
            raise TableError(
                "tables of one model must have the same tasks, classes and thresholds; these differ: "
                f"{', '.join(task.name for task in first.tasks)} and {', '.join(task.name for task in part.tasks)}"
            )
        for reason, count in part.left_out.items():
            left_out[reason] = left_out.get(reason, 0) + count
    provenance = {
        name: value
        for name, value in first.provenance.items()
        if all(part.provenance.get(name) == value for part in parts)
    }
    frame = pd.concat([part.frame for part in parts], ignore_index=True)
    notes = list(dict.fromkeys(note for part in parts for note in part.notes))
    return Predictions(frame, first.tasks, left_out, provenance, notes)


def cross_dataset(tables: Mapping[tuple[str, str], Predictions]) -> dict[str, Predictions]:
    """Return one table per training set, as ``audit_tables`` takes them, from tables by (training set, test set).

    The column ``dataset`` is set to the name of the test set; its values are the columns of the matrix.

    Raises:
        TableError: tables of one training set whose tasks, classes or thresholds differ.
    """
    rows: dict[str, list[Predictions]] = {}
    for (train, test), table in tables.items():
        frame = table.frame.assign(dataset=test)
        rows.setdefault(train, []).append(
            replace(table, frame=frame, provenance=table.provenance | {"trained_on": train})
        )
    return {train: merge_predictions(parts) for train, parts in rows.items()}
