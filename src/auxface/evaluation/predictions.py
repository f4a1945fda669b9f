"""The predictions table: true labels, scores and groups of each sample, and the arrays behind the metrics.

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
SAMPLE = "sample"
"""Column with a unique value per row, which identifies a sample in the tables of other programs.

``sample.NAME`` are further such columns, such as paths; two tables are matched by a column that both have.
"""
ASSUMED = "assumed"


class TableError(ValueError):
    """Raised for a predictions table that cannot be measured; the message names the column or row and the remedy."""


@dataclass(frozen=True)
class LevelThresholds:
    """A separate threshold for each level of a group; the level of every sample must be known at test time.

    Attributes:
        group: name of the group, as in ``group.<name>``.
        thresholds: thresholds by class or attribute, then by level. For samples at other levels, or without a level,
            the threshold of the task is used.
    """

    group: str
    thresholds: Mapping[str, Mapping[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """Return the thresholds as plain data, in the form stored in headers, configurations and reports."""
        return {"group": self.group, "thresholds": {name: dict(levels) for name, levels in self.thresholds.items()}}


@dataclass(frozen=True)
class ScoredTask(Task):
    """A task with the thresholds that turn its scores into decisions.

    Attributes:
        name: name of the task, as in ``true.<name>``.
        kind: ``class`` (one of several classes), ``binary`` (``classes`` holds the negative and the positive class),
            ``multilabel`` (each class is an attribute that is present or absent) or ``ordinal`` (a number).
        classes: names of the classes or attributes, in order.
        thresholds: lowest score at which a class counts as predicted: ``{positive: t}`` for a binary task, one per
            attribute for a multi-label task, and empty for other kinds.
        threshold_rule: rule by which the thresholds were chosen; ``"assumed"`` if none were given and 0.5 is used.
        abstain: abstain band (low, high): the model abstains if ``low <= score < high``, where ``score`` is that of the
            positive class for a binary task and that of the top class for a ``class`` task. None if the model never
            abstains.
        level_thresholds: thresholds by level of a group, used in place of ``thresholds``; None if all samples share one
            threshold.
    """

    thresholds: Mapping[str, float] = field(default_factory=dict)
    threshold_rule: str | None = None
    abstain: tuple[float, float] | None = None
    level_thresholds: LevelThresholds | None = None

    def threshold(self, name: str) -> float:
        """Return the threshold of class ``name``, or 0.5 if none is stored."""
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
        """Return the columns of true labels; those of a multi-label task are in the order of :meth:`score_columns`."""
        if self.kind == "multilabel":
            return [f"true.{self.name}.{name}" for name in self.classes]
        return [f"true.{self.name}"]

    def score_columns(self) -> list[str]:
        """Return the score columns, one per class (for a binary task, only that of the positive class)."""
        names = self.classes[1:] if self.kind == "binary" else self.classes
        return [f"score.{self.name}.{name}" for name in names]


@dataclass
class Predictions:
    """The scores of one model for a set of samples.

    Attributes:
        frame: table with one row per sample. Its columns are the key columns :data:`KEY` and ``split`` if known,
            ``group.<name>``, ``true.<task>`` or ``true.<task>.<attribute>``, and ``score.<task>.<class>`` in [0, 1].
            ``predicted.<task>`` holds predicted classes that are used in place of scores and thresholds; scores are
            then optional. ``weight`` holds sample weights, and ``cluster`` the clusters that are resampled in place of
            videos and sources. ``property.<name>`` holds properties of the samples to search for weak segments, such as
            the brightness of an image.
        tasks: tasks that the columns belong to.
        left_out: number of samples that have no row, by reason, such as ``{"unreadable": 3, "no_face": 2}``.
        provenance: origin of the scores, such as the model, manifest hash, seed, versions and machine.
        notes: notes for the reader about the file from which the table was read.
        file_columns: name in that file of each column that was renamed.
    """

    frame: pd.DataFrame
    tasks: tuple[ScoredTask, ...]
    left_out: dict[str, int] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    file_columns: Mapping[str, str] = field(default_factory=dict)

    def groups(self) -> list[str]:
        """Return the names of the groups."""
        return [name.removeprefix("group.") for name in self.frame.columns if str(name).startswith("group.")]

    def file_column(self, name: str) -> str:
        """Return the name of a column in the file from which the table was read, for messages."""
        return self.file_columns.get(name, name)

    def task(self, name: str) -> ScoredTask:
        """Return the task called ``name``.

        Raises:
            TableError: there is no such task.
        """
        for task in self.tasks:
            if task.name == name:
                return task
        raise TableError(f"no task '{name}' in the table (tasks: {', '.join(t.name for t in self.tasks) or 'none'})")


def text_of(value: object) -> str:
    """Return a class or level as text; ``3.0`` is "3", because pandas stores integers with missing values as floats."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


@dataclass(frozen=True)
class Samples:
    """The samples of one task that have both a true label and a score.

    Attributes:
        rows: position of each sample in the table, int64 [N].
        true: true class index, int64 [N]; for an ordinal task, the true value, float64 [N].
        score: score of each class, float64 [N, C]; for a binary task, that of the positive class, [N]; for an ordinal
            task, the predicted value, [N].
        unlabeled: number of rows without a true label.
        unscored: number of rows with a true label but no score.
        threshold: lowest score at which each sample counts as positive, float64 [N]; None unless the task is binary.
        decided: class index of each sample in ``predicted.<task>``, int64 [N]; None if scores and thresholds decide.
        scored: whether the table has scores; otherwise ``score`` is 1 for the decided class and 0 for all others.
        weight: sample weights, float64 [N]; None if all are equal.
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
    """Return the samples of one attribute of a multi-label task; None if the table has no true labels for it."""
    truth = f"true.{task.name}.{attribute}"
    if truth not in predictions.frame.columns:
        return None
    decisions, scores = f"predicted.{task.name}.{attribute}", f"score.{task.name}.{attribute}"
    decided = _numbers(predictions.frame[decisions]) if decisions in predictions.frame.columns else None
    score = _numbers(predictions.frame[scores]) if scores in predictions.frame.columns or decided is None else None
    found = _samples(predictions.frame, _numbers(predictions.frame[truth]), score, np.int64, decided)
    return _with_threshold(found, task.alone(attribute), predictions.frame)


def scored_rows(predictions: Predictions, task: ScoredTask) -> np.ndarray:
    """Return which rows have a true label and all scores of a task (multi-label: for any attribute), bool [rows]."""
    kept = np.zeros(len(predictions.frame), dtype=bool)
    parts = [attribute_samples(predictions, task, name) for name in task.classes] if task.kind == "multilabel" else []
    for samples in parts or [task_samples(predictions, task)]:
        if samples is not None:
            kept[samples.rows] = True
    return kept


def predicted_classes(task: ScoredTask, samples: Samples) -> np.ndarray:
    """Return predicted class indices, int64 [N], from decisions if given, otherwise from thresholds or top scores."""
    if samples.decided is not None:
        return samples.decided
    if task.kind == "binary":
        return (samples.score >= samples.threshold).astype(np.int64)
    return samples.score.argmax(axis=1)


def _with_threshold(samples: Samples, task: ScoredTask, frame: pd.DataFrame) -> Samples:
    """Add a threshold to each sample of a binary task: that of its level if it has one, otherwise that of the task."""
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
    """Return the samples with a true label and a score or decision; missing scores are derived from decisions."""
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
    """Concatenate the rows of all parts into one table; sum the numbers of excluded samples.

    Raises:
        TableError: there are no parts, or their tasks, classes or thresholds differ.
    """
    if not parts:
        raise TableError("no table was given")
    first = parts[0]
    left_out: dict[str, int] = {}
    for part in parts:
        if part.tasks != first.tasks:
            raise TableError(
                "tables of one model must have the same tasks, classes and thresholds; they differ between the tasks "
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
    return Predictions(frame, first.tasks, left_out, provenance, notes, first.file_columns)


def cross_dataset(tables: Mapping[tuple[str, str], Predictions]) -> dict[str, Predictions]:
    """Merge tables by (training set, test set) into one table per training set, as ``audit_tables`` expects them.

    The column ``dataset`` is set to the name of the test set; its values are the columns of the matrix.

    Raises:
        TableError: the tables of a training set differ in their tasks, classes or thresholds.
    """
    rows: dict[str, list[Predictions]] = {}
    for (train, test), table in tables.items():
        frame = table.frame.assign(dataset=test)
        rows.setdefault(train, []).append(
            replace(table, frame=frame, provenance=table.provenance | {"trained_on": train})
        )
    return {train: merge_predictions(parts) for train, parts in rows.items()}
