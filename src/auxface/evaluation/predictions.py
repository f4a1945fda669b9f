"""The predictions table: what was true, what a model said, and for whom.

From a table's columns to the arrays one task is measured on.

Several tables of one model as one table: parts of a split, or test sets of the cross-dataset matrix.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

Kind = Literal["class", "binary", "multilabel", "ordinal"]

KEY: tuple[str, ...] = ("dataset", "method", "source", "video", "frame")
ASSUMED = "assumed"


class TableError(ValueError):
    """A predictions table that cannot be measured; the message says which column or row, and what to do."""


@dataclass(frozen=True)
class LevelThresholds:
    """Thresholds that depend on whom a model judges: they need everybody's group at test time.

    Attributes:
        group: the group, as in ``group.<name>``.
        thresholds: class or attribute to level to threshold; a level that is not there, and whoever states none, is
            judged by the task's one threshold.
    """

    group: str
    thresholds: Mapping[str, Mapping[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """As it stands in headers, configurations and reports."""
        return {"group": self.group, "thresholds": {name: dict(levels) for name, levels in self.thresholds.items()}}


@dataclass(frozen=True)
class Task:
    """What a model predicts.

    Attributes:
        name: the task, as in ``true.<name>``.
        kind: ``class`` (one of several), ``binary`` (classes = negative, positive), ``multilabel`` (each class is an
            attribute, present or not) or ``ordinal`` (a number).
        classes: class or attribute names in order.
        thresholds: score from which a class counts as predicted; binary: ``{positive: t}``, multilabel: one per
            attribute, otherwise empty.
        threshold_rule: how the thresholds were chosen; ``"assumed"`` where nobody chose them and 0.5 stands in.
        abstain: (low, high): the model does not answer where ``low <= score < high``, the score being that of the
            positive class of a binary task, of the top class of a choice; None: it always answers.
        level_thresholds: used in place of ``thresholds`` for the levels of a group; None: one threshold for all.
    """

    name: str
    kind: Kind
    classes: tuple[str, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    threshold_rule: str | None = None
    abstain: tuple[float, float] | None = None
    level_thresholds: LevelThresholds | None = None

    def threshold(self, name: str) -> float:
        """The threshold of class ``name``, 0.5 where none is stored."""
        return float(self.thresholds.get(name, 0.5))

    def alone(self, attribute: str) -> "Task":
        """One attribute of a multi-label task as a binary task."""
        threshold = {attribute: self.threshold(attribute)}
        return Task(
            attribute,
            "binary",
            (f"not {attribute}", attribute),
            threshold,
            self.threshold_rule,
            level_thresholds=self.level_thresholds,
        )

    def true_columns(self) -> list[str]:
        """The columns that hold the truth, in the order of :meth:`score_columns` where there is one for each."""
        if self.kind == "multilabel":
            return [f"true.{self.name}.{name}" for name in self.classes]
        return [f"true.{self.name}"]

    def score_columns(self) -> list[str]:
        """The columns that hold scores, one per class (binary: the positive class alone)."""
        names = self.classes[1:] if self.kind == "binary" else self.classes
        return [f"score.{self.name}.{name}" for name in names]


@dataclass
class Predictions:
    """One model's scores for a set of samples.

    Attributes:
        frame: a row per sample: key columns :data:`KEY` and ``split`` where known, ``group.<name>``, ``true.<task>`` or
            ``true.<task>.<attribute>``, ``score.<task>.<class>`` in [0, 1].
        tasks: what was predicted.
        left_out: how many samples have no row, by reason, such as ``{"unreadable": 3, "no_face": 2}``.
        provenance: where the scores came from: model, manifest hash, seed, versions, machine.
    """

    frame: pd.DataFrame
    tasks: tuple[Task, ...]
    left_out: dict[str, int] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def groups(self) -> list[str]:
        """Names of the group columns."""
        return [name.removeprefix("group.") for name in self.frame.columns if str(name).startswith("group.")]

    def task(self, name: str) -> Task:
        """The task called ``name``.

        Raises:
            TableError: there is none.
        """
        for task in self.tasks:
            if task.name == name:
                return task
        raise TableError(f"no task '{name}' in the table (it has: {', '.join(t.name for t in self.tasks) or 'none'})")


def text_of(value: object) -> str:
    """A class or level as text; ``3.0`` is "3", since whole numbers turn into floats as soon as one is missing."""
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
        threshold: float64 [N], the score from which each counts as positive; binary tasks alone, else None.
        unlabeled: rows without a truth.
        unscored: rows with a truth and no score.
    """

    rows: np.ndarray
    true: np.ndarray
    score: np.ndarray
    unlabeled: int
    unscored: int
    threshold: np.ndarray | None = None

    def only(self, keep: np.ndarray) -> "Samples":
        """The samples where the boolean [N] ``keep`` holds."""
        threshold = None if self.threshold is None else self.threshold[keep]
        return Samples(self.rows[keep], self.true[keep], self.score[keep], self.unlabeled, self.unscored, threshold)


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
    labeled = ~np.isnan(true)
    scored = ~np.isnan(score.reshape(len(score), -1)).any(axis=1)
    rows = np.flatnonzero(labeled & scored)
    unlabeled, unscored = int((~labeled).sum()), int((labeled & ~scored).sum())
    return Samples(rows, true[rows].astype(dtype), score[rows], unlabeled, unscored)


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


def merge_predictions(parts: Sequence[Predictions]) -> Predictions:
    """The rows of all parts, one after the other; counts of samples left out are added.

    Raises:
        TableError: no part, or parts whose tasks, classes or thresholds differ.
    """
    if not parts:
        raise TableError("no table to merge")
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
    return Predictions(pd.concat([part.frame for part in parts], ignore_index=True), first.tasks, left_out, provenance)


def cross_dataset(tables: Mapping[tuple[str, str], Predictions]) -> dict[str, Predictions]:
    """Tables by (training set, test set) as one table per training set, ready for ``audit_tables``.

    The column ``dataset`` becomes the name of the test set, by which the audit makes the columns of the matrix.

    Raises:
        TableError: tables of one training set whose tasks, classes or thresholds differ.
    """
    rows: dict[str, list[Predictions]] = {}
    for (train, test), table in tables.items():
        frame = table.frame.assign(dataset=test)
        rows.setdefault(train, []).append(
            Predictions(frame, table.tasks, table.left_out, table.provenance | {"trained_on": train})
        )
    return {train: merge_predictions(parts) for train, parts in rows.items()}
