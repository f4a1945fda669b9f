"""Find the columns of true labels, scores, decisions and groups, named by the caller or recognized by their names.

Tables with the names of auxface (``true.TASK``, ``score.TASK.CLASS``, ``group.NAME``) need no options. In other tables,
common names are recognized if they are unambiguous, and a note in the result states which columns were recognized.

>>> frame = pd.DataFrame({"y_true": [0, 1, 1], "y_score": [0.2, 0.4, 0.9], "sex": ["F", "M", "F"]})
>>> renamed, notes, _ = rename_columns(frame, Columns(), "t.csv")
>>> list(renamed), notes[0]
(['true.y_true', 'score.y_true', 'group.sex'], "Recognized: truth 'y_true', score 'y_score', groups 'sex'.")
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from auxface.evaluation.cell_values import is_missing_text, to_numbers
from auxface.evaluation.column_names import (
    EITHER,
    GROUP_WORDS,
    PATHS,
    POSE,
    SAMPLES,
    SCORE,
    TRUE,
    VIDEO,
    class_scores,
    decision_pairs,
    holds_decisions,
    is_numeric,
    listed,
    named_like,
    named_like_scores,
    plain_name,
    sole,
)  # fmt: skip
from auxface.evaluation.column_options import several_readings
from auxface.evaluation.groups import MOST_CROSSED
from auxface.evaluation.predictions import KEY, TableError, text_of
from auxface.evaluation.row_columns import FoundColumns, clusters_of, find_clusters, find_samples, folder_notes
from auxface.plugins import nearest

# Additional columns of a table of predictions on corrupted images.
CONDITION = ("corruption", "severity")
_PREFIXES = ("group.", "true.", "score.", "predicted.", "property.")
_OURS = (*KEY, *CONDITION, "split")

# A recognized group has at most this many levels. A column with more levels is used only if --group names it.
_MOST_LEVELS = 50


@dataclass(frozen=True)
class Columns:
    """Roles of the columns of a table that auxface did not write; unset columns are recognized by name.

    Attributes:
        true: column of the true label.
        score: column of the score of the positive class.
        predicted: column of predicted classes, used in place of scores and thresholds.
        score_for: name of the score column of each class.
        groups: columns that hold the groups.
        cluster: ``auto`` (videos if present, otherwise sources, otherwise rows), ``source``, ``row``, or the name of a
            column that identifies the cluster of each row.
        positive: value of the true label that denotes the positive class, for which scores are high.
        clean_levels: whether to merge levels that differ only in spaces or letter case.
        weight: column of sample weights.
        threshold: lowest score at which a sample counts as positive.
        kind: kind of the task (``class``, ``binary``, ``ordinal``), or ``verification`` for similarities of pairs.
        properties: columns to search for weak segments.
        other_scores: columns of scores that belong to other models.
    """

    true: str | None = None
    score: str | None = None
    predicted: str | None = None
    score_for: Mapping[str, str] = field(default_factory=dict)
    groups: Sequence[str] = ()
    cluster: str = "auto"
    positive: str | None = None
    clean_levels: bool = False
    weight: str | None = None
    threshold: float | None = None
    kind: str | None = None
    properties: Sequence[str] = ()
    other_scores: Sequence[str] = ()

    def named(self) -> list[str]:
        """Return the columns that the caller named."""
        given = [self.true, self.score, self.predicted, self.weight, *self.score_for.values(), *self.groups]
        given += [*self.properties, *self.other_scores]
        return [name for name in (*given, self.cluster_column) if name is not None]

    @property
    def cluster_column(self) -> str | None:
        """Name of the cluster column; None if ``cluster`` is one of the rules ``auto``, ``source`` and ``row``."""
        return None if self.cluster in ("auto", "source", "row") else self.cluster


def is_ours(name: str) -> bool:
    """Return whether a column name follows the naming scheme of auxface."""
    return name in _OURS or name.startswith(_PREFIXES)


def has_our_names(names: Sequence[str], columns: Columns) -> bool:
    """Return whether the column of true labels follows the naming scheme of auxface."""
    return columns.true is None and any(name.startswith("true.") for name in names)


def used_columns(names: Sequence[str], columns: Columns, where: str) -> list[str]:
    """Return the names of the columns to read; in a table of auxface, columns that are not needed are not read."""
    if not has_our_names(names, columns):
        return [name for name in names if name]
    named = {find_column(name, names, where) for name in columns.named()}
    if not {*KEY} <= {*names}:
        # The rows of two tables are matched by these columns.
        named |= {*named_like(names, SAMPLES | VIDEO | PATHS)}
    return [name for name in names if is_ours(name) or name in named]


def find_column(name: str, names: Sequence[str], where: str) -> str:
    """Return the column that the caller named; case and spaces are ignored if only one column then matches.

    Raises:
        TableError: there is no such column; the message suggests the closest name.
    """
    if name in names:
        return name
    same = [one for one in names if plain_name(one) == plain_name(name)]
    if len(same) == 1:
        return same[0]
    raise TableError(f"{where}: no column '{name}'{nearest(name, names)}; columns: {listed(names)}")


def rename_columns(frame: pd.DataFrame, columns: Columns, where: str) -> tuple[pd.DataFrame, list[str], dict[str, str]]:
    """Rename the columns to auxface's naming scheme.

    Returns:
        The table; notes on recognized and unused columns; and the former name of each renamed column.

    Raises:
        TableError: no column of true labels or of scores is found, or several are possible.
    """
    names = [str(name) for name in frame.columns]
    found = FoundColumns({}, [])
    named = {
        name: find_column(name, names, where) for name in columns.named()
    }  # name given by the caller -> name in the table
    if has_our_names(names, columns):
        found.renamed = {name: name for name in names if is_ours(name)}
        _check_truth_options(columns, names, where)
    else:
        found.used |= {named[name] for name in columns.other_scores}
        _find_truth(frame, columns, named, found, where)
        found.renamed |= {name: name for name in names if name in _OURS and name not in found.renamed}
        if not columns.groups:
            _find_groups(frame, found)
    pose = [] if has_our_names(names, columns) else _find_pose(frame, found, [*named.values()])
    for name in columns.groups:
        found.renamed[named[name]] = f"group.{named[name].removeprefix('group.')}"
    chosen = frame[list(found.renamed)].rename(columns=found.renamed)
    for name in columns.properties:
        plain = named[name].removeprefix("property.")
        if found.renamed.get(named[name], "").startswith(("true.", "score.", "predicted.", "group.")):
            raise TableError(
                f"{where}: --property {name} is already used as '{found.renamed[named[name]]}'; labels and scores "
                "cannot be properties, and groups always are"
            )
        column = frame[named[name]]
        numbers = None if pd.api.types.is_bool_dtype(column) else to_numbers(column)
        chosen[f"property.{plain}"] = column if numbers is None else numbers
        found.notes += _property_notes(plain, chosen[f"property.{plain}"])
    chosen = chosen.assign(**{f"property.{name}": to_numbers(frame[name]) for name in pose})
    if columns.weight is not None:
        chosen["weight"] = _weights(frame[named[columns.weight]], named[columns.weight], where)
    if columns.cluster_column is not None:
        chosen["cluster"] = clusters_of(frame[named[columns.cluster_column]])
    elif not has_our_names(names, columns):
        find_clusters(frame, chosen, found)
        if columns.cluster == "auto" and not {"video", "source"} & set(chosen.columns):
            found.notes += folder_notes(frame, found)
    find_samples(frame, chosen, found)
    notes = [*([f"Recognized: {', '.join(found.said)}."] if found.said else []), *found.notes]
    skipped = [name for name in names if name not in found.renamed and name not in named.values()]
    former = {new: old for old, new in found.renamed.items() if new != old}
    return chosen, notes + unused_note([name for name in skipped if name not in found.used]), former


def unused_note(names: Sequence[str]) -> list[str]:
    """Return a list with one note on the unused columns, or an empty list if all columns were used."""
    shown = [name for name in names if not name.startswith(("Unnamed:", "__index_level_"))]
    return [f"Columns that were not used: {listed(shown)}."] if shown else []


def nested_notes(kinds: Mapping[str, str]) -> list[str]:
    """Return a note for each kind of nested values, such as lists, which cannot be used.

    Args:
        kinds: kind of the values of each nested column, such as ``list`` or ``struct``.
    """
    notes = []
    for kind in dict.fromkeys(kinds.values()):
        names = [name for name, own in kinds.items() if own == kind]
        subject, verbs = ("Column", ("holds", "was")) if len(names) == 1 else ("Columns", ("hold", "were"))
        notes.append(
            f"{subject} {listed(names)} {verbs[0]} a {kind} in each row and {verbs[1]} not used; expected one value "
            "per row."
        )
    return notes


def _property_notes(name: str, column: pd.Series) -> list[str]:
    """Return a note on a property that forms no segments, or that counts as text because of a few values."""
    values = column.dropna()
    if values.nunique() < 2:
        return [f"Property '{name}' forms no segments: it has {'one value' if len(values) else 'no values'}."]
    if pd.api.types.is_numeric_dtype(values):
        return []
    other = values[pd.to_numeric(values, errors="coerce").isna()]
    if 0 < len(other) < len(values) / 2:
        return [
            f"Property '{name}' counts as text, since {len(other):,} of its {len(values):,} values are not numbers, "
            f"such as '{str(other.iloc[0])[:40]}'. Remove them to compare ranges of numbers."
        ]
    if values.nunique() > MOST_CROSSED:
        return [f"Property '{name}' forms no segments: it has {values.nunique():,} values, more than {MOST_CROSSED}."]
    return []


def _check_truth_options(columns: Columns, names: Sequence[str], where: str) -> None:
    given = {"--score": columns.score, "--score-for": columns.score_for, "--predicted": columns.predicted}
    for option, value in given.items():
        if value:
            task = next(name for name in names if name.startswith("true."))
            raise TableError(f"{where}: {option} requires --true; add --true, such as --true {task}, or omit {option}")


def _check_roles(columns: Columns, named: Mapping[str, str], where: str) -> None:
    """Reject a column that is named as the true label and as a score or a decision."""
    given = {"--score": columns.score, "--predicted": columns.predicted}
    given |= {f"--score-for {label}": name for label, name in columns.score_for.items()}
    for option, name in given.items():
        if columns.true and name and named[name] == named[columns.true]:
            raise TableError(f"{where}: column '{named[name]}' is named by --true and by {option}; name two columns")


def _find_truth(
    frame: pd.DataFrame, columns: Columns, named: Mapping[str, str], found: FoundColumns, where: str
) -> None:
    """Add the true labels, scores and decisions of a table that does not follow the naming scheme of auxface."""
    _check_roles(columns, named, where)
    free = [name for name in map(str, frame.columns) if name not in named.values()]
    predicted = named[columns.predicted] if columns.predicted else None
    known = named_like(free, TRUE)
    pairs = [] if known or columns.true or columns.score or columns.score_for or predicted else decision_pairs(free)
    true = named[columns.true] if columns.true else sole(known)
    if len(pairs) == 1:
        true, predicted = pairs[0]
    if true is None:
        raise TableError(_ambiguous(frame, columns, where, "the true label"))
    task = true.removeprefix("true.") or true
    free = [name for name in free if name != true]
    scores = {label: named[name] for label, name in columns.score_for.items()}
    single = named[columns.score] if columns.score else None
    every = list(dict.fromkeys(map(text_of, frame[true].dropna().unique())))
    labels = [label for label in every if not is_missing_text(label)]
    if not columns.true:
        found.said.append(f"truth '{true}'")
    if pairs:
        found.said.append(f"decisions '{predicted}'")
    if not scores and single is None and not pairs:
        numeric = [name for name in free if is_numeric(frame[name])]
        # A label such as "unknown" is a class if it has a score.
        scores = class_scores(numeric, every if len(class_scores(numeric, every)) == len(every) else labels)
        if len(scores) == 1:
            single, scores = next(iter(scores.values())), {}
        either = {name: holds_decisions(frame[name], labels) for name in named_like(free, EITHER)}
        if not scores and single is None:
            own = [name for name in named_like(free, SCORE) if is_numeric(frame[name])]
            candidates = own or [name for name, decides in either.items() if decides is False]
            candidates += [] if own else [name for name in named_like_scores(free) if name not in candidates]
            single = sole(candidates)
            if len(candidates) > 1:
                raise TableError(_ambiguous(frame, columns, where, "the score"))
        decided = [name for name, decides in either.items() if decides]
        if predicted is None and len(decided) == 1:
            predicted = decided[0]
            found.said.append(f"decisions '{predicted}'")
        if not scores and single is None and predicted is None:
            raise TableError(_ambiguous(frame, columns, where, "the score"))
        if scores:
            found.said.append("scores " + ", ".join(f"'{name}'" for name in scores.values()))
        elif single is not None:
            found.said.insert(1, f"score '{single}'")
    found.renamed[true] = f"true.{task}"
    if set(labels) <= {"0", "1"} and set(scores) == {"0", "1"}:
        # The score of class 0 is the complement of that of class 1.
        found.used.add(scores["0"])
        single, scores = scores["1"], {}
    if single is not None:
        found.renamed[single] = f"score.{task}"
    found.renamed |= {name: f"score.{task}.{label}" for label, name in scores.items()}
    if predicted is not None:
        found.renamed[predicted] = f"predicted.{task}"


def _ambiguous(frame: pd.DataFrame, columns: Columns, where: str, what: str) -> str:
    return several_readings(frame, where, what, true=columns.true, score=columns.score, named=columns.named())


def _find_groups(frame: pd.DataFrame, found: FoundColumns) -> None:
    groups = []
    for name in map(str, frame.columns):
        words = set(plain_name(name).split("_"))
        if (
            name in found.renamed
            or name in found.used
            or not words & GROUP_WORDS
            or words & {"pred", "predicted", "prob"}
        ):
            continue
        column = frame[name]
        numbers = to_numbers(column)
        whole = numbers is None or bool((numbers.dropna() % 1 == 0).all())
        levels = int(column.nunique())
        if whole and 2 <= levels <= _MOST_LEVELS:
            groups.append(name)
            found.renamed[name] = f"group.{name}"
            continue
        why = (
            "its numbers are not integers"
            if not whole
            else f"it has {levels:,} levels, and at most {_MOST_LEVELS} are recognized"
        )
        why = f"it has only {levels} level" if levels == 1 else "it is empty" if not levels else why
        found.notes.append(f"Column '{name}' was not used as a group: {why}. To use it: --group {shlex.quote(name)}.")
    if groups:
        found.said.append("groups " + ", ".join(f"'{name}'" for name in groups))


def _find_pose(frame: pd.DataFrame, found: FoundColumns, named: Sequence[str]) -> list[str]:
    """Return the numeric columns named yaw, pitch or roll, in which weak segments are searched."""
    pose = [
        name
        for name in map(str, frame.columns)
        if plain_name(name) in POSE
        and name not in found.renamed
        and name not in found.used
        and name not in named
        and to_numbers(frame[name]) is not None
    ]
    if pose:
        found.said.append("properties " + ", ".join(f"'{name}'" for name in pose))
        found.used |= set(pose)
    return pose


def _weights(column: pd.Series, name: str, where: str) -> pd.Series:
    numbers = to_numbers(column)
    if numbers is None:
        raise TableError(f"{where}: the weights in '{name}' must be numbers")
    values = numbers.to_numpy(float, na_value=np.nan)
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if len(wrong):
        row = int(wrong[0])
        raise TableError(f"{where}: row {row + 1} of '{name}' holds {values[row]:g}; expected a weight of at least 0")
    if not values.sum():
        raise TableError(f"{where}: all weights in '{name}' are 0")
    return pd.Series(values, index=column.index)
