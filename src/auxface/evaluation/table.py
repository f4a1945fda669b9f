"""The predictions table: what was true, what a model said, and for whom."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
