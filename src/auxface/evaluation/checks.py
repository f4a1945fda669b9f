"""Refusing a table that would give a wrong number."""

import numpy as np
import pandas as pd

from auxface.evaluation.predictions import KEY, Predictions, TableError, Task, text_of

MOST_LEVELS = 256
LONGEST_NAME = 200
_TOLERANCE = 1e-6


def check_predictions(predictions: Predictions, where: str = "predictions") -> None:
    """Refuse a table that cannot be measured.

    A row whose scores of a task are all missing is allowed: it is a sample the model did not score, and is counted.

    Args:
        predictions: the table.
        where: names the table in the message, such as its file.

    Raises:
        TableError: no rows or tasks, a missing column, scores that are no numbers, outside [0, 1] or missing for some
            classes of a row, an unknown class, a truth other than 0 and 1, two rows with one key, a group with more
            than :data:`MOST_LEVELS` levels, a name longer than :data:`LONGEST_NAME`.
    """
    frame = predictions.frame
    if not len(frame):
        raise TableError(f"{where}: no rows; a table needs a row per sample")
    if not predictions.tasks:
        raise TableError(f"{where}: no task found; columns true.TASK and score.TASK.CLASS are needed")
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise TableError(f"{where}: column '{repeated[0]}' stands twice")
    _check_plain(frame, where)
    _check_keys(frame, where)
    _check_names(predictions, where)
    for task in predictions.tasks:
        _check_scores(task, frame, where)
        _check_truth(task, frame, where)


def _check_plain(frame: pd.DataFrame, where: str) -> None:
    """Refuse lists, records and the like, which cannot be told apart or counted."""
    for name in frame.columns:
        column = frame[name]
        if column.dtype != object:
            continue
        strange = {type(value).__name__ for value in column.array if value.__hash__ is None}
        if strange:
            raise TableError(
                f"{where}: column '{name}' holds a {sorted(strange)[0]} where text or a number was expected"
            )


def _check_names(predictions: Predictions, where: str) -> None:
    """Refuse groups that are no groups, and texts that are no names."""
    for group in predictions.groups():
        levels = predictions.frame[f"group.{group}"].dropna().unique()
        if len(levels) > MOST_LEVELS:
            raise TableError(
                f"{where}: group '{group}' has {len(levels):,} levels, more than {MOST_LEVELS}; join them into a few, "
                "such as ages into ranges, or take the column out"
            )
        _check_length([text_of(level) for level in levels], f"{where}: a level of group '{group}'")
    for task in predictions.tasks:
        _check_length([task.name, *task.classes], f"{where}: a name in task '{task.name[:40]}'")


def _check_length(names: list[str], what: str) -> None:
    longest = max(map(len, names), default=0)
    if longest > LONGEST_NAME:
        raise TableError(f"{what} has {longest:,} letters; a name has at most {LONGEST_NAME}")


def _check_keys(frame: pd.DataFrame, where: str) -> None:
    if not all(name in frame.columns for name in KEY):
        return
    codes = [pd.factorize(frame[name], use_na_sentinel=False)[0] for name in KEY]
    repeated = pd.DataFrame(dict(zip(KEY, codes))).duplicated()
    if repeated.any():
        row = int(np.flatnonzero(repeated)[0])
        key = ", ".join(f"{name}={str(frame[name].iloc[row])[:60]}" for name in KEY)
        raise TableError(
            f"{where}: row {row} repeats the key of an earlier row ({key}); "
            f"{int(repeated.sum())} rows do: keep one row per sample"
        )


def _check_scores(task: Task, frame: pd.DataFrame, where: str) -> None:
    columns = task.score_columns()
    direct = f"predicted.{task.name}"
    if task.kind == "ordinal" and direct in frame.columns:
        columns = []
        if not pd.api.types.is_numeric_dtype(frame[direct]):
            raise TableError(f"{where}: column '{direct}' must hold numbers")
        if np.isinf(frame[direct].to_numpy(dtype=float, na_value=np.nan)).any():
            raise TableError(f"{where}: column '{direct}' holds an infinite number")
    elif task.kind == "ordinal" and not columns:
        raise TableError(f"{where}: ordinal task '{task.name}' needs '{direct}', or scores of numbered classes")
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise TableError(
            f"{where}: column '{missing[0]}' is missing; task '{task.name}' needs {len(columns)} score columns"
        )
    for name in columns:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            raise TableError(f"{where}: column '{name}' must hold numbers in [0, 1]")
    absent = np.zeros(len(frame), dtype=int)
    for name in columns:
        score = frame[name].to_numpy(dtype=float, na_value=np.nan)
        with np.errstate(invalid="ignore"):
            outside = (score < -_TOLERANCE) | (score > 1 + _TOLERANCE)
        if outside.any():
            row = int(np.flatnonzero(outside)[0])
            raise TableError(
                f"{where}: '{name}' is {score[row]:g} in row {row}, outside [0, 1] ({int(outside.sum())} rows are); "
                "give probabilities, not logits"
            )
        absent += np.isnan(score)
    partly = (absent > 0) & (absent < len(columns))
    if partly.any():
        row = int(np.flatnonzero(partly)[0])
        raise TableError(
            f"{where}: row {row} has scores for some classes of task '{task.name}' and none for others "
            f"({int(partly.sum())} rows do); give all, or none where the sample was not scored"
        )


def _check_truth(task: Task, frame: pd.DataFrame, where: str) -> None:
    present = [name for name in task.true_columns() if name in frame.columns]
    if not present:
        raise TableError(
            f"{where}: column '{task.true_columns()[0]}' is missing; nothing to measure task '{task.name}' by"
        )
    for name in present:
        known = frame[name].dropna()
        if task.kind == "class":
            strange = set(map(text_of, known.unique())) - set(task.classes) - {""}
            wanted = f"one of {', '.join(task.classes)}"
        elif task.kind == "ordinal":
            strange = set() if pd.api.types.is_numeric_dtype(known) else set(known.unique())
            if not strange and not np.isfinite(known.to_numpy(dtype=float)).all():
                strange = {"inf"}
            wanted = "a number"
        else:
            numbers = pd.to_numeric(known, errors="coerce")
            strange = set(known[~numbers.isin([0, 1])].unique())
            wanted = "0 or 1"
            if task.kind == "binary" and not pd.api.types.is_numeric_dtype(known):
                wanted += f" (of a choice, give a score for every class, not {', '.join(task.score_columns())} alone)"
        if strange:
            first = sorted(map(str, strange))[0]
            shown = first if len(first) <= 60 else f"{first[:60]}..."
            known_as = wanted if len(wanted) <= 300 else f"{wanted[:300]}..."
            raise TableError(f"{where}: '{name}' holds '{shown}' where {known_as} was expected")
