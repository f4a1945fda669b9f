"""Reading and writing predictions tables: Parquet with a JSON header, or CSV with the header in a separate file.

>>> predictions = read_predictions("predictions.parquet")  # doctest: +SKIP
>>> write_predictions(predictions, "predictions.csv")  # doctest: +SKIP
"""

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from auxface.evaluation.checks import check_plain, check_predictions, nested_kind
from auxface.evaluation.column_names import plain_name
from auxface.evaluation.columns import (
    CONDITION,
    Columns,
    is_ours,
    nested_notes,
    rename_columns,
    unused_note,
    used_columns,
)
from auxface.evaluation.csv_cells import escape_cells
from auxface.evaluation.groups import clean_levels, dirty_levels
from auxface.evaluation.header import dump_header, parse_header, parse_origin, parse_tasks
from auxface.evaluation.infer_tasks import infer_tasks
from auxface.evaluation.predictions import Predictions, ScoredTask, TableError, text_of
from auxface.evaluation.results import Severity
from auxface.evaluation.table_files import HEADER, TableFile, read_table

DEFAULT = Columns()


def read_predictions(path: str | os.PathLike[str] | pd.DataFrame, columns: Columns = DEFAULT) -> Predictions:
    """Read a predictions table and validate it.

    Args:
        path: a Parquet file, whose schema metadata may hold a JSON header under the key ``auxface``; a CSV file with
            the same JSON in ``NAME.json`` next to it; any other table that
            :func:`~auxface.evaluation.table_files.read_table` reads; or a data frame. Without a header, the tasks are
            inferred from the columns and a threshold of 0.5 is assumed; ``threshold_rule`` is then ``"assumed"``.
        columns: roles of the columns, for tables with other column names.

    Raises:
        TableError: the file is missing, is not a table, or would take too much memory; its columns are ambiguous; or
            the table cannot be measured.
    """
    predictions = _read(path, columns)
    present = [name for name in CONDITION if name in predictions.frame.columns]
    if present:
        raise TableError(
            f"{_name(path)}: the column '{present[0]}' marks predictions on corrupted images; pass the table with "
            "--robustness"
        )
    check_predictions(predictions, _name(path))
    return predictions


def read_conditions(
    path: str | os.PathLike[str] | pd.DataFrame, columns: Columns = DEFAULT
) -> dict[str, dict[Severity, Predictions]]:
    """Read predictions on corrupted images and validate them; return tables by corruption and severity.

    Args:
        path: a table accepted by :func:`read_predictions`, with the additional columns ``corruption`` and ``severity``.
        columns: roles of the columns.

    Raises:
        TableError: a row has no corruption or severity, or :func:`read_predictions` rejects the table.
    """
    conditions = split_conditions(_read(path, columns), _name(path))
    for corruption, steps in conditions.items():
        for severity, table in steps.items():
            check_predictions(table, f"{_name(path)}, {corruption} {severity}")
    return conditions


def _name(table: str | os.PathLike[str] | pd.DataFrame) -> str:
    return "the table" if isinstance(table, pd.DataFrame) else str(table)


def write_predictions(predictions: Predictions, path: str | os.PathLike[str]) -> None:
    """Write a table as Parquet, or as CSV with its header in ``NAME.json``; each file is complete or absent.

    Raises:
        TableError: the suffix is neither ``.parquet`` nor ``.csv``.
    """
    path = Path(path)
    header = dump_header(predictions).encode()
    if path.suffix.lower() == ".csv":
        put_file(path.with_suffix(".json"), header)
        put_file(path, escape_cells(predictions.frame).to_csv(index=False).encode())
        return
    if path.suffix.lower() != ".parquet":
        raise TableError(f"{path}: the name of a predictions table must end in .parquet or .csv")
    table = pa.Table.from_pandas(predictions.frame, preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), HEADER: header})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    put_file(path, sink.getvalue())


def split_conditions(predictions: Predictions, where: str = "predictions") -> dict[str, dict[Severity, Predictions]]:
    """Return a table per corruption and severity; integer severities become int, others remain text.

    Args:
        predictions: a table with the columns :data:`CONDITION`.
        where: name of the table in messages.

    Raises:
        TableError: a column is missing, or a row has no corruption or severity.
    """
    frame = predictions.frame
    for name in CONDITION:
        if name not in frame.columns:
            raise TableError(
                f"{where}: column '{name}' is missing; predictions on corrupted images need corruption and severity"
            )
        if frame[name].isna().any() or (frame[name].astype(str) == "").any():
            raise TableError(f"{where}: some rows have no '{name}'; move predictions on clean images to the main table")
    found: dict[str, dict[Severity, Predictions]] = {}
    for key, rows in frame.groupby(list(CONDITION), sort=False, observed=True):
        corruption, severity = map(text_of, key)
        part = replace(predictions, frame=rows.drop(columns=list(CONDITION)).reset_index(drop=True))
        found.setdefault(corruption, {})[int(severity) if severity.isdecimal() else severity] = part
    return {name: dict(sorted(steps.items(), key=_order)) for name, steps in found.items()}


def _order(item: tuple[Severity, Predictions]) -> tuple[bool, int]:
    return (isinstance(item[0], str), item[0] if isinstance(item[0], int) else 0)


def join_conditions(conditions: Mapping[str, Mapping[Severity, Predictions]]) -> Predictions:
    """Return one table of predictions on corrupted images, the inverse of :func:`split_conditions`.

    Raises:
        TableError: ``conditions`` contains no table.
    """
    parts = [
        table.frame.assign(corruption=corruption, severity=str(severity))
        for corruption, steps in conditions.items()
        for severity, table in steps.items()
    ]
    if not parts:
        raise TableError("no table was given")
    first = next(iter(next(iter(conditions.values())).values()))
    return Predictions(pd.concat(parts, ignore_index=True), first.tasks, {}, first.provenance)


def put_file(path: Path, content: bytes | pa.Buffer) -> None:
    """Write a temporary file next to ``path`` and rename it, so that the file is complete or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)


def _read(table: str | os.PathLike[str] | pd.DataFrame, columns: Columns) -> Predictions:
    """Return the predictions with auxface's column names, and with their tasks."""
    if isinstance(table, pd.DataFrame):
        where = "the table"
        frame = table.rename(columns=lambda name: str(name).strip()).reset_index(drop=True)
        found = TableFile(frame)
    else:
        where = str(table)
        found = read_table(Path(table), lambda names: used_columns(names, columns, where), parse_header)
        if not len(found.frame.columns):
            raise TableError(
                f"{where}: no column true.TASK; expected columns true.TASK and score.TASK.CLASS. For other names, add "
                f"--true COLUMN --score COLUMN (columns: {', '.join(found.skipped[:20])})"
            )
    plain, nested = _without_nested(found.frame, columns)
    check_plain(plain, where)
    kinds = {plain_name(name): kind for name, kind in found.nested.items()}
    named = next((one for one in columns.named() if plain_name(one) in kinds), None)
    if named is not None:
        kind = kinds[plain_name(named)]
        raise TableError(f"{where}: column '{named}' holds a {kind} in each row; expected text or numbers")
    frame, notes, file_columns = rename_columns(plain, columns, where)
    moved = False
    notes = [*found.notes, *nested_notes(found.nested | nested), *notes, *unused_note(found.skipped)]
    left_out, provenance = parse_origin(found.header, Path(where))
    if found.header.get("tasks"):
        if columns.positive is not None or columns.kind is not None:
            raise TableError(
                f"{where}: --positive and --kind do not apply, since the header of the table defines the tasks; "
                "remove them"
            )
        tasks = parse_tasks(found.header, Path(where))
    else:
        inferred = infer_tasks(frame, where, kind=columns.kind, positive=columns.positive, file_columns=file_columns)
        frame, tasks, moved, file_columns = inferred.frame, inferred.tasks, inferred.moved, inferred.file_columns
        notes += inferred.notes
    if columns.threshold is not None:
        threshold = (1 + columns.threshold) / 2 if moved else columns.threshold
        tasks = tuple(_at_threshold(task, threshold, where) for task in tasks)
    frame, level_notes = clean_levels(frame) if columns.clean_levels else (frame, dirty_levels(frame))
    return Predictions(frame, tasks, left_out, provenance, notes + level_notes, file_columns)


def _without_nested(frame: pd.DataFrame, columns: Columns) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return the table without nested columns that no option or name selects, and the kind of each removed column."""
    named = set(map(plain_name, columns.named()))
    nested = {
        name: kind
        for name in map(str, frame.columns)
        if frame.columns.is_unique
        and not is_ours(name)
        and plain_name(name) not in named
        and (kind := nested_kind(frame[name]))
    }
    return frame.drop(columns=list(nested)), nested


def _at_threshold(task: ScoredTask, threshold: float, where: str) -> ScoredTask:
    if not 0 <= threshold <= 1:
        raise TableError(f"{where}: --threshold {threshold:g} is outside [0, 1]")
    names = task.classes[1:] if task.kind == "binary" else task.classes if task.kind == "multilabel" else ()
    if not names:
        return task
    return replace(task, thresholds=dict.fromkeys(names, threshold), threshold_rule="given", level_thresholds=None)
