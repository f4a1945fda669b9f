"""Infer the tasks of a table without a header (kinds, classes, decisions) from its column names and values.

>>> frame = pd.DataFrame({"true.a": ["y", "n"], "score.a": ["0,2", "0,9"]})
>>> found = infer_tasks(frame, positive="y")
>>> found.tasks[0].kind, found.tasks[0].classes, found.frame["score.a.y"].tolist()
('binary', ('n', 'y'), [0.2, 0.9])
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from auxface.evaluation.cell_values import count_empty, percent_note, to_numbers, without_codes, without_missing
from auxface.evaluation.groups import natural_order
from auxface.evaluation.predictions import ASSUMED, ScoredTask, TableError, text_of

KINDS = ("class", "binary", "ordinal", "verification")
# Rows whose class has no score count as unlabeled up to this fraction of the table; above this fraction, the table is
# rejected.
_MOST_UNKNOWN = 0.1
# Integer decisions and labels are treated as classes if they have at most this many distinct values.
_MOST_CLASSES = 20
# What a note counts, in singular and plural.
_ROWS = ("row without a label", "rows without a label")
_ATTRIBUTES = ("empty label of an attribute", "empty labels of attributes")


@dataclass
class Inferred:
    """A table in which binary labels are encoded as 0 and 1, its tasks, and notes for the reader.

    ``moved`` states whether similarities s in [-1, 1] were mapped to (1 + s) / 2. ``file_columns`` holds the names of
    columns in the file of the user.
    """

    frame: pd.DataFrame
    tasks: tuple[ScoredTask, ...]
    notes: list[str] = field(default_factory=list)
    moved: bool = False
    file_columns: dict[str, str] = field(default_factory=dict)

    def rename(self, column: str, to: str) -> None:
        """Rename a column of the table."""
        self.frame = self.frame.rename(columns={column: to})
        self.file_columns[to] = self.file_columns.pop(column, column)


def infer_tasks(
    frame: pd.DataFrame,
    where: str = "predictions",
    *,
    kind: str | None = None,
    positive: str | None = None,
    file_columns: Mapping[str, str] | None = None,
) -> Inferred:
    """Infer tasks from the columns ``true.*``, ``score.*`` and ``predicted.*``; thresholds are assumed to be 0.5.

    ``true.T`` with one ``score.T.P`` (or ``score.T``) is ``binary`` with positive class P. With several scores it is a
    ``class`` task, or ``ordinal`` if most labels are numbers that do not name a class. ``true.T.A`` with ``score.T.A``
    for every A is ``multilabel``. If ``true.T`` comes only with ``predicted.T``, the predictions determine the kind:
    ``ordinal`` if they are numbers on a scale, otherwise ``binary`` or ``class``.

    Args:
        frame: table without a header.
        where: name of the table in error messages.
        kind: kind of the task, one of :data:`KINDS`; required if the values are ambiguous.
        positive: value of the true label that denotes the positive class.
        file_columns: name in the file of each column that was renamed, for error messages and notes.

    Raises:
        TableError: there are no true labels, or labels with neither scores nor predictions, or ``positive`` is not a
            value of the labels.
    """
    truths = [str(name).removeprefix("true.") for name in frame.columns if str(name).startswith("true.")]
    scores = [str(name).removeprefix("score.") for name in frame.columns if str(name).startswith("score.")]
    if not truths:
        raise TableError(
            f"{where}: no column true.TASK; expected columns true.TASK and score.TASK.CLASS. For other names, add "
            "--true COLUMN --score COLUMN"
        )
    found = Inferred(frame.copy(deep=False), (), file_columns=dict(file_columns or {}))
    for name in frame.columns:
        if not str(name).startswith(("score.", "true.", "predicted.")):
            continue
        values = frame[name]
        if str(name).startswith("true."):
            task = str(name).removeprefix("true.")
            classes = {score.removeprefix(f"{task}.") for score in scores} | ({positive} if positive else set())
            if f"predicted.{task}" in frame.columns:
                classes |= set(map(text_of, without_codes(frame[f"predicted.{task}"]).dropna().unique()))
            values, notes = without_missing(values, task, classes)
            found.notes += notes
        elif str(name).startswith("predicted."):
            values = without_codes(values)
        numbers = to_numbers(values)
        found.frame[name] = values if numbers is None else numbers
        found.notes += [] if numbers is None else percent_note(found.file_columns.get(name, str(name)), frame[name])
    attributes: dict[str, list[str]] = {}
    for truth in truths:
        own = [score.removeprefix(f"{truth}.") for score in scores if _owner(score, truths) == truth]
        if own or f"predicted.{truth}" in frame.columns or (truth in scores and "." not in truth):
            columns = _Columns(truth, own, kind, positive, where, found.file_columns)
            found.notes += _empty_note(truth, count_empty(frame[f"true.{truth}"]), len(frame))
            found.tasks += (columns.infer(found),)
            _check_kind(found.tasks[-1], columns)
        elif truth in scores:
            name, attribute = truth.split(".", 1)
            attributes.setdefault(name, []).append(attribute)
        else:
            raise TableError(
                f"{where}: column 'true.{truth}' has no scores; add columns score.{truth}.CLASS in [0, 1], or "
                f"predicted.{truth} with decisions"
            )
    for name, classes in attributes.items():
        empty = sum(count_empty(frame[f"true.{name}.{attribute}"]) for attribute in classes)
        found.notes += _empty_note(name, empty, len(frame) * len(classes), _ATTRIBUTES)
        found.tasks += (ScoredTask(name, "multilabel", tuple(classes), dict.fromkeys(classes, 0.5), ASSUMED),)
    return found


def _empty_note(task: str, empty: int, all_labels: int, names: tuple[str, str] = _ROWS) -> list[str]:
    """Return a note on empty labels; a task without any label has its own note."""
    if not 0 < empty < all_labels:
        return []
    return [f"{task}: {empty:,} {names[empty != 1]} {'is' if empty == 1 else 'are'} treated as unlabeled."]


def _check_kind(task: ScoredTask, columns: "_Columns") -> None:
    """Reject a kind that does not match the columns of the table."""
    name, kind, where = columns.name, columns.kind, columns.where
    # A task of the wrong kind has scores; an ordinal task may have none.
    first = columns.quoted(next(iter(task.score_columns()), f"predicted.{name}"))
    if kind == "ordinal" and task.kind != "ordinal":
        raise TableError(
            f"{where}: --kind ordinal needs predicted numbers in one column (predicted.{name}, or --predicted COLUMN), "
            f"but {first} is the score of a class; remove --kind"
        )
    if kind == "verification" and columns.scored not in ([], ["same"]):
        raise TableError(
            f"{where}: --kind verification needs one column of similarities (score.{name}, or --score COLUMN), but "
            f"{first} is the score of a class; remove --kind, or name the column with --true and --score"
        )
    if kind in ("class", "binary") and task.kind == "ordinal":
        raise TableError(f"{where}: --kind {kind} cannot be applied to the numbers in {first}; remove --kind")


def _owner(score: str, truths: list[str]) -> str:
    """Return the task of a score: the task whose name is the longest prefix, because names may contain dots."""
    return max((truth for truth in truths if score.startswith(f"{truth}.")), key=len, default="")


@dataclass(frozen=True)
class _Columns:
    """The columns of one task, and the caller's options for it."""

    name: str
    scored: list[str]
    kind: str | None
    positive: str | None
    where: str
    file_columns: Mapping[str, str]

    def quoted(self, column: str) -> str:
        """Return the name of a column in the file of the user, in quotation marks."""
        return f"'{self.file_columns.get(column, column)}'"

    def infer(self, found: Inferred) -> ScoredTask:
        truth, decisions = found.frame[f"true.{self.name}"], f"predicted.{self.name}"
        alone = f"score.{self.name}" in found.frame.columns
        if not self.scored and not alone:
            return self._from_decisions(found, truth)
        if alone and not self.scored:
            self._refuse_swapped(truth, found.frame[f"score.{self.name}"])
            if self._is_scale(truth, found.frame[f"score.{self.name}"]) and decisions not in found.frame.columns:
                found.rename(f"score.{self.name}", decisions)
                return ScoredTask(self.name, "ordinal")
            return self._binary(found, truth, None)
        if len(self.scored) == 1:
            return self._binary(found, truth, self.scored[0])
        return self._of_classes(found, truth)

    def _refuse_swapped(self, truth: pd.Series, score: pd.Series) -> None:
        """Reject a column of scores that is given as the true label, next to a score with two values."""
        values = truth.dropna()
        if self.kind == "ordinal" or not pd.api.types.is_numeric_dtype(values) or score.nunique() != 2:
            return
        between = values.between(0, 1) & (values % 1 != 0)
        if between.mean() <= 0.5 or values.nunique() == 2:
            return
        true, scored = self.quoted(f"true.{self.name}"), self.quoted(f"score.{self.name}")
        few = " and ".join(f"'{text_of(value)[:60]}'" for value in sorted(score.dropna().unique(), key=text_of))
        swapped = shlex.join(["--true", scored[1:-1], "--score", true[1:-1]])
        raise TableError(
            f"{self.where}: {true} is the true label and holds numbers between 0 and 1, such as "
            f"{values[between].iloc[0]:.4g}, but {scored} is the score and holds only {few}; if they are swapped, use "
            f"{swapped}" + (", and if not, add --kind ordinal" if pd.api.types.is_numeric_dtype(score) else "")
        )

    def _from_decisions(self, found: Inferred, truth: pd.Series) -> ScoredTask:
        decided = found.frame[f"predicted.{self.name}"]
        if self._is_scale(truth, decided):
            return ScoredTask(self.name, "ordinal")
        values = {text_of(value) for column in (truth, decided) for value in column.dropna().unique()} - {""}
        if self.positive is not None or (self.kind != "class" and values <= {"0", "1"}):
            return self._binary(found, truth, None)
        classes = tuple(sorted(values, key=natural_order))
        if len(classes) == 2:
            found.notes.append(f"{self.name}: rates refer to the class '{classes[1]}'; choose another with --positive.")
        return ScoredTask(self.name, "class", classes)

    def _is_scale(self, truth: pd.Series, predicted: pd.Series) -> bool:
        """Return whether labels and predictions are numbers on a scale, such as ages, rather than classes."""
        if self.kind is not None:
            return self.kind == "ordinal"
        if not (pd.api.types.is_numeric_dtype(truth) and pd.api.types.is_numeric_dtype(predicted)):
            return False
        values = np.unique(np.concatenate([truth.dropna().to_numpy(float), predicted.dropna().to_numpy(float)]))
        # Probabilities are no predictions of labels such as 0, 1 and 2.
        few = predicted.dropna().between(0, 1).all() and (
            truth.nunique() <= 2 or (bool((truth.dropna() % 1 == 0).all()) and not truth.dropna().between(0, 1).all())
        )
        if few or self.positive is not None or truth.dropna().isin([0, 1]).all():
            return False
        whole = bool(len(values)) and bool((values % 1 == 0).all())
        return not (whole and len(values) <= _MOST_CLASSES and np.ptp(values) < 2 * len(values))

    def _binary(self, found: Inferred, truth: pd.Series, named: str | None) -> ScoredTask:
        """Return a binary task; encode its true labels and decisions as 0 and 1 in the table."""
        positive = self._positive(truth, named)
        score, decisions = f"score.{self.name}", f"predicted.{self.name}"
        values = sorted({text_of(value) for value in truth.dropna().unique()} - {""}, key=natural_order)
        shown = named or {"verification": "same"}.get(self.kind or "", positive)
        others = [value for value in values if value != positive]
        negative = others[0] if len(others) == 1 and not named else f"not {shown}"
        if self.kind == "verification":
            negative = "different"
        elif not named and not others:
            negative = {"1": "0", "0": "1"}.get(positive, negative)
        found.frame[f"true.{self.name}"] = _equals(truth, positive)
        if len(others) > 1:
            counts = truth.map(text_of, na_action="ignore").value_counts()
            each = ", ".join(f"'{value}' ({int(counts[value]):,})" for value in others[:10])
            more = f" and {len(others) - 10} more" if len(others) > 10 else ""
            found.notes.append(f"{self.name}: the labels {each}{more} are combined into one negative class.")
        if decisions in found.frame.columns:
            decided = found.frame[decisions]
            strange = sorted({text_of(value) for value in decided.dropna().unique()} - {*values, positive, ""})
            if strange and not (set(strange) <= {"0", "1"} and set(values) <= {"0", "1"}):
                raise TableError(
                    f"{self.where}: {self.quoted(decisions)} holds '{strange[0][:60]}'; expected the values of the "
                    f"truth: {_quoted(values)}"
                )
            found.frame[decisions] = _equals(decided, positive)
        if score in found.frame.columns:
            found.rename(score, f"{score}.{shown}")
        if self.kind == "verification" and f"{score}.{shown}" in found.frame.columns:
            _move_similarities(found, f"{score}.{shown}")
        return ScoredTask(self.name, "binary", (negative, shown), {shown: 0.5}, ASSUMED)

    def _positive(self, truth: pd.Series, named: str | None) -> str:
        values = sorted({text_of(value) for value in truth.dropna().unique()} - {""}, key=natural_order)
        column = f"{self.where}: {self.quoted('true.' + self.name)}"
        if self.positive is not None:
            same = [value for value in values if value.strip().lower() == self.positive.strip().lower()]
            number = {"true": "1", "false": "0"}.get(self.positive.strip().lower())
            if not same and number in values and set(values) <= {"0", "1"}:
                return number
            if len(same) == 1 or self.positive in values:
                return self.positive if self.positive in values else same[0]
            if len(values) == 1 or not values:
                return self.positive
            raise TableError(f"{column} holds {_quoted(values)}; --positive {self.positive} is none of them")
        if set(values) <= {"0", "1"}:
            return "1"
        if named is not None and named in values and len(values) <= 2:
            return named
        if pd.api.types.is_numeric_dtype(truth) and len(values) != 2:
            odd = next(value for value in values if value not in ("0", "1"))
            raise TableError(
                f"{column} holds '{odd}'; expected 0 or 1; 1 is the class with high scores. For several "
                "classes, give a score column per class; for a number on a scale, add --kind ordinal"
            )
        if len(values) > 2:
            raise TableError(
                f"{column} holds {_quoted(values)}; expected two values for one score. Give a score column per "
                f"class (--score-for CLASS=COLUMN), or the positive value: --positive {shlex.quote(values[0][:60])}"
            )
        raise TableError(
            f"{column} holds {_quoted(values)}; expected 0 or 1. Name the value that a high score stands for: "
            + " or ".join(f"--positive {shlex.quote(value)}" for value in values)
        )

    def _of_classes(self, found: Inferred, truth: pd.Series) -> ScoredTask:
        column = f"true.{self.name}"
        texts = truth.map(text_of, na_action="ignore")
        unknown = truth.notna() & ~texts.isin([*self.scored, ""])
        share = float(unknown.mean()) if len(truth) else 0.0
        numeric = pd.api.types.is_numeric_dtype(truth) and to_numbers(pd.Series(self.scored, dtype=object)) is not None
        decided = found.frame.get(f"predicted.{self.name}")
        scale = decided is not None and not set(map(text_of, decided.dropna().unique())) <= set(self.scored)
        if self.kind == "ordinal" or (self.kind is None and numeric and (share > 0.5 or scale)):
            return ScoredTask(self.name, "ordinal", tuple(self.scored))
        if 0 < share <= _MOST_UNKNOWN:
            names = sorted(set(texts[unknown]), key=natural_order)
            count = int(unknown.sum())
            found.notes.append(
                f"{self.name}: {count:,} {'row has' if count == 1 else 'rows have'} the class {_quoted(names)}, which "
                f"has no score column; {'it is' if count == 1 else 'they are'} treated as unlabeled."
            )
            found.frame[column] = truth.astype(object).where(~unknown)
        if self.positive is not None and len(self.scored) == 2:
            if self.positive not in self.scored:
                raise TableError(f"{self.where}: --positive {self.positive} is not a class of {self.name}")
            return ScoredTask(self.name, "class", tuple(sorted(self.scored, key=lambda one: one == self.positive)))
        return ScoredTask(self.name, "class", tuple(self.scored))


def _equals(column: pd.Series, value: str) -> pd.Series:
    """Return 1 where a column equals the value, 0 where it has another value, and a missing value where it is empty."""
    known = column.notna() & (column.astype(object) != "")
    texts = column.astype(object).map(text_of, na_action="ignore")
    return (texts == value).astype(float).where(known)


def _move_similarities(found: Inferred, score: str) -> None:
    """Map similarities from [-1, 1] to [0, 1]."""
    values: Any = found.frame[score]
    low, high = float(values.min()), float(values.max())
    if low >= 0 or low < -1 or high > 1:
        return
    found.moved = True
    found.frame[score] = (values + 1) / 2
    found.notes.append(
        "Similarities s in [-1, 1] and their thresholds are shown as (1 + s) / 2. The false positive rate is the "
        "false match rate (FMR); one minus the true positive rate is the false non-match rate (FNMR)."
    )


def _quoted(values: list[str], most: int = 8) -> str:
    shown = [f"'{value if len(value) <= 60 else value[:60] + '...'}'" for value in values[:most]]
    if len(values) > most:
        return ", ".join(shown) + f" and {len(values) - most} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
