"""Validate a predictions table: reject it if its metrics would be wrong, and return notes on what it lacks."""

import numpy as np
import pandas as pd

from auxface.evaluation.predictions import ASSUMED, KEY, Predictions, ScoredTask, TableError, text_of

# A column with more levels than this is treated as an identifier, not as a group.
MOST_LEVELS = 256
LONGEST_NAME = 200
_TOLERANCE = 1e-6
_SHOWN_VALUE, _SHOWN_EXPECTED = 60, 300


def check_predictions(predictions: Predictions, where: str = "predictions") -> None:
    """Raise an error if a table cannot be measured.

    All scores of a task may be missing in a row: the sample then counts as not scored. Row numbers in messages start at
    1 and do not include the header of a CSV file.

    Args:
        predictions: table to check.
        where: name of the table in error messages, such as its file name.

    Raises:
        TableError: the table has no rows or tasks; a column is missing; scores are not numeric, lie outside [0, 1], or
            are missing for only some classes of a row; a class is unknown; a true label of a binary task is neither 0
            nor 1; two rows have the same key; a group has more than :data:`MOST_LEVELS` levels; or a name is longer
            than :data:`LONGEST_NAME`.

    >>> frame = pd.DataFrame({"true.a": [0, 1], "score.a.yes": [0.2, 7.0]})
    >>> try:
    ...     check_predictions(Predictions(frame, (ScoredTask("a", "binary", ("no", "yes")),)))
    ... except TableError as error:
    ...     print(str(error)[:61])
    predictions: row 2 of 'score.a.yes' holds 7, outside [0, 1] (
    """
    frame = predictions.frame
    if not len(frame):
        raise TableError(f"{where}: no rows; expected one row per sample")
    if not predictions.tasks:
        raise TableError(f"{where}: no task; expected columns true.TASK and score.TASK.CLASS")
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise TableError(f"{where}: column '{repeated[0]}' occurs twice")
    check_plain(frame, where)
    _check_keys(frame, where)
    _check_weights(frame, where)
    _check_names(predictions, where)
    for task in predictions.tasks:
        _check_scores(task, predictions, where)
        _check_truth(task, predictions, where)


def check_plain(frame: pd.DataFrame, where: str) -> None:
    """Raise an error if a column holds lists or other values that cannot be compared or counted.

    Raises:
        TableError: a column holds lists or other values that are not plain.
    """
    for name in frame.columns:
        kind = nested_kind(frame[name])
        if kind:
            raise TableError(f"{where}: column '{name}' holds a {kind}; expected text or numbers")


def nested_kind(column: pd.Series) -> str:
    """Return the type of the lists, mappings or arrays in a column, such as ``list``; "" if there are none."""
    if column.dtype != object:
        return ""
    return min((type(value).__name__ for value in column.array if value.__hash__ is None), default="")


def _check_names(predictions: Predictions, where: str) -> None:
    """Reject groups with too many levels, and names that are too long."""
    for group in predictions.groups():
        levels = predictions.frame[f"group.{group}"].dropna().unique()
        if len(levels) > MOST_LEVELS:
            raise TableError(
                f"{where}: group '{group}' has {len(levels):,} levels, more than {MOST_LEVELS}; merge them, such as "
                "ages into ranges, or remove the column"
            )
        _check_length([text_of(level) for level in levels], f"{where}: a level of group '{group}'")
    for task in predictions.tasks:
        _check_length([task.name, *task.classes], f"{where}: a name in task '{task.name[:40]}'")


def _check_length(names: list[str], what: str) -> None:
    longest = max(map(len, names), default=0)
    if longest > LONGEST_NAME:
        raise TableError(f"{what} has {longest:,} characters; names have at most {LONGEST_NAME}")


def _check_keys(frame: pd.DataFrame, where: str) -> None:
    if not all(name in frame.columns for name in KEY):
        return
    codes = [pd.factorize(frame[name], use_na_sentinel=False)[0] for name in KEY]
    repeated = pd.DataFrame(dict(zip(KEY, codes))).duplicated()
    if repeated.any():
        row = int(np.flatnonzero(repeated)[0])
        key = ", ".join(f"{name}={str(frame[name].iloc[row])[:60]}" for name in KEY)
        raise TableError(
            f"{where}: row {row + 1} repeats the key of an earlier row ({key}; {_rows_do(repeated.to_numpy())}); "
            "keep one row per sample"
        )


def duplicate_note(predictions: Predictions) -> list[str]:
    """Return a note on duplicate rows (equal to an earlier row in every column) if the table has no key.

    Different samples with coarse scores can have equal rows, so the note is given only if scores rarely repeat.
    """
    frame = predictions.frame
    scores = [name for name in frame.columns if str(name).startswith("score.")]
    if all(name in frame.columns for name in KEY) or not scores:
        return []
    if max(frame[name].nunique() for name in scores) < 0.1 * len(frame):
        return []
    count = int(frame.duplicated().sum())
    if not count:
        return []
    return [
        f"{count:,} {'row repeats' if count == 1 else 'rows repeat'} an earlier row in every used column. Repeated "
        "rows are included. If they are the same samples, remove them. "
        f"The columns {', '.join(KEY)} identify a sample."
    ]


def threshold_notes(name: str, table: Predictions) -> list[str]:
    """Return notes on missing thresholds and on thresholds that depend on a group."""
    notes = []
    assumed = [
        task.name
        for task in table.tasks
        if (task.threshold_rule == ASSUMED or _lacks_threshold(task))
        and f"predicted.{task.name}" not in table.frame.columns
    ]
    if assumed:
        notes.append(
            f"{name}: no threshold is stored for {', '.join(assumed)}. A threshold of 0.5 is assumed; all "
            "metrics of decisions depend on it."
        )
    for group in {task.level_thresholds.group: None for task in table.tasks if task.level_thresholds is not None}:
        notes.append(_level_threshold_note(name, table, group))
    return notes


def _level_threshold_note(name: str, table: Predictions, group: str) -> str:
    tasks = [task.name for task in table.tasks if task.level_thresholds and task.level_thresholds.group == group]
    if group not in table.groups():
        return (
            f"{name} has a threshold for each level of {group} on {', '.join(tasks)}, but the table has no column "
            f"group.{group}; the common threshold is used for all samples."
        )
    return (
        f"{name} has a threshold for each level of {group} on {', '.join(tasks)}. These decisions require the {group} "
        "of every sample at test time. It may be unknown, or its use may not be permitted."
    )


def _lacks_threshold(task: ScoredTask) -> bool:
    needed = task.classes[1:] if task.kind == "binary" else task.classes if task.kind == "multilabel" else ()
    return any(name not in task.thresholds for name in needed)


def _check_weights(frame: pd.DataFrame, where: str) -> None:
    if "weight" in frame.columns:
        weight = pd.to_numeric(frame["weight"], errors="coerce").to_numpy(float, na_value=np.nan)
        wrong = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))
        if len(wrong):
            value = frame["weight"].iloc[wrong[0]]
            raise TableError(
                f"{where}: row {int(wrong[0]) + 1} of 'weight' holds {value!s:.40}; expected a number of at least 0; "
                "correct it, or omit --weight"
            )
        with np.errstate(over="ignore"):
            total = weight.sum()
        if not 0 < total < 1e300:
            raise TableError(f"{where}: the weights add up to {total:g}; expected a positive number below 1e300")


def _check_decisions(task: ScoredTask, predictions: Predictions, where: str) -> None:
    frame = predictions.frame
    for name in (f"predicted.{one.removeprefix('true.')}" for one in task.true_columns()):
        if name not in frame.columns:
            continue
        values = {text_of(value) for value in frame[name].dropna().unique()} - {""}
        known = set(task.classes) if task.kind == "class" else {"0", "1"}
        if values - known:
            value = _shortened(sorted(values - known)[0], _SHOWN_VALUE)
            expected = _shortened(", ".join(sorted(known)), _SHOWN_EXPECTED)
            raise TableError(f"{where}: '{predictions.file_column(name)}' holds '{value}'; expected one of {expected}")


def _range_hint(score: np.ndarray) -> str:
    """Return a hint on the likely meaning of scores outside [0, 1]."""
    low, high = float(np.nanmin(score)), float(np.nanmax(score))
    if np.isinf(score).any():
        return "expected a probability; leave the cell empty if the sample was not scored"
    if low >= -1 and high <= 1:
        return (
            "for similarities of pairs, add --kind verification; otherwise map the scores to [0, 1], as in (1 + s) / 2"
        )
    if low >= 0 and 2 < high <= 100:
        return "expected probabilities; divide percentages by 100"
    return "expected probabilities; apply a sigmoid or softmax to logits"


def _check_scores(task: ScoredTask, predictions: Predictions, where: str) -> None:
    frame, columns = predictions.frame, task.score_columns()
    if task.kind != "ordinal":
        _check_decisions(task, predictions, where)
        if not any(name in frame.columns for name in columns) and f"predicted.{task.name}" in frame.columns:
            return
    direct = f"predicted.{task.name}"
    if task.kind == "ordinal" and direct in frame.columns:
        columns = []
        if not pd.api.types.is_numeric_dtype(frame[direct]):
            raise TableError(f"{where}: column '{predictions.file_column(direct)}' must hold numbers")
        if np.isinf(frame[direct].to_numpy(dtype=float, na_value=np.nan)).any():
            raise TableError(f"{where}: column '{predictions.file_column(direct)}' holds an infinite number")
    elif task.kind == "ordinal" and not columns:
        raise TableError(
            f"{where}: ordinal task '{task.name}' needs a column '{direct}', or scores of classes that are numbers"
        )
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise TableError(
            f"{where}: column '{missing[0]}' is missing; task '{task.name}' needs {len(columns)} score columns"
        )
    for name in columns:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            raise TableError(f"{where}: column '{predictions.file_column(name)}' must hold numbers in [0, 1]")
    absent = np.zeros(len(frame), dtype=int)
    for name in columns:
        score = frame[name].to_numpy(dtype=float, na_value=np.nan)
        with np.errstate(invalid="ignore"):
            outside = (score < -_TOLERANCE) | (score > 1 + _TOLERANCE)
        if outside.any():
            row = int(np.flatnonzero(outside)[0])
            raise TableError(
                f"{where}: row {row + 1} of '{predictions.file_column(name)}' holds {score[row]:g}, outside [0, 1] "
                f"({_rows_do(outside)}); {_range_hint(score)}"
            )
        absent += np.isnan(score)
    partly = (absent > 0) & (absent < len(columns))
    if partly.any():
        row = int(np.flatnonzero(partly)[0])
        raise TableError(
            f"{where}: row {row + 1} has scores for some classes of task '{task.name}' but not for others "
            f"({_rows_do(partly)}); give all of its scores, or none if the sample was not scored"
        )


def _rows_do(rows: np.ndarray) -> str:
    count = int(rows.sum())
    return "1 row does" if count == 1 else f"{count:,} rows do"


def _check_truth(task: ScoredTask, predictions: Predictions, where: str) -> None:
    frame = predictions.frame
    present = [name for name in task.true_columns() if name in frame.columns]
    if not present:
        raise TableError(
            f"{where}: column '{task.true_columns()[0]}' is missing; task '{task.name}' needs its true labels"
        )
    for name in present:
        known = frame[name].dropna()
        if task.kind == "class":
            invalid = set(map(text_of, known.unique())) - set(task.classes) - {""}
            expected = f"one of {', '.join(task.classes)}"
        elif task.kind == "ordinal":
            invalid = set() if pd.api.types.is_numeric_dtype(known) else set(known.unique())
            if not invalid and not np.isfinite(known.to_numpy(dtype=float)).all():
                invalid = {"inf"}
            expected = "a number"
        else:
            numbers = pd.to_numeric(known, errors="coerce")
            invalid = set(known[~numbers.isin([0, 1])].unique())
            expected = "0 or 1"
            if task.kind == "binary" and not pd.api.types.is_numeric_dtype(known):
                given = ", ".join(map(predictions.file_column, task.score_columns()))
                expected += f"; for class names give a score column for every class, not {given} alone"
        if invalid:
            value = _shortened(sorted(map(str, invalid))[0], _SHOWN_VALUE)
            raise TableError(
                f"{where}: '{predictions.file_column(name)}' holds '{value}'; expected "
                f"{_shortened(expected, _SHOWN_EXPECTED)}"
            )


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}..."
