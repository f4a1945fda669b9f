"""Reading and writing predictions tables: Parquet with a JSON header, or CSV with the header in a file beside it.

>>> predictions = read_predictions("predictions.parquet")  # doctest: +SKIP
>>> write_predictions(predictions, "predictions.csv")  # doctest: +SKIP
"""

import csv
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from auxface.evaluation.checks import check_predictions
from auxface.evaluation.header import dump_header, infer_tasks, parse_header, parse_origin, parse_tasks
from auxface.evaluation.predictions import KEY, Predictions, TableError, text_of
from auxface.evaluation.results import Severity

# A table that would take more memory is not read.
MOST_BYTES = 8 * 2**30
_HEADER = b"auxface"
_PREFIXES = ("group.", "true.", "score.", "predicted.")
_UNREADABLE = (
    pa.ArrowException, pd.errors.ParserError, pd.errors.EmptyDataError, OSError, UnicodeError, ValueError,
    OverflowError, KeyError, csv.Error,
)  # fmt: skip
# Columns of a table of predictions on corrupted images.
CONDITION = ("corruption", "severity")


def read_predictions(path: str | os.PathLike[str]) -> Predictions:
    """Return a checked predictions table.

    Args:
        path: a Parquet file, whose schema metadata may hold a JSON header under the key ``auxface``, or a CSV file with
            the same JSON in ``NAME.json`` beside it. Without a header the tasks are inferred from the columns and a
            threshold of 0.5 is assumed; ``threshold_rule`` is then ``"assumed"``.

    Raises:
        TableError: the file is missing, is neither Parquet nor CSV, would take more than :data:`MOST_BYTES` of memory,
            or holds a table that cannot be measured.
    """
    predictions = _read(Path(path))
    present = [name for name in CONDITION if name in predictions.frame.columns]
    if present:
        raise TableError(
            f"{path}: it has a column '{present[0]}', so it holds predictions on corrupted images; pass it "
            "as robustness (--robustness)"
        )
    check_predictions(predictions, str(path))
    return predictions


def read_conditions(path: str | os.PathLike[str]) -> dict[str, dict[Severity, Predictions]]:
    """Return checked predictions on corrupted images: corruption to severity to table.

    Args:
        path: a table as for :func:`read_predictions`, with the additional columns ``corruption`` and ``severity``.

    Raises:
        TableError: as :func:`read_predictions`; a row without a corruption or severity.
    """
    conditions = split_conditions(_read(Path(path)), str(path))
    for corruption, steps in conditions.items():
        for severity, table in steps.items():
            check_predictions(table, f"{path}, {corruption} {severity}")
    return conditions


def write_predictions(predictions: Predictions, path: str | os.PathLike[str]) -> None:
    """Write a table as Parquet, or as CSV with its header in ``NAME.json`` beside it; each file is complete or absent.

    Raises:
        TableError: the suffix is neither ``.parquet`` nor ``.csv``.
    """
    path = Path(path)
    header = dump_header(predictions).encode()
    if path.suffix.lower() == ".csv":
        put_file(path.with_suffix(".json"), header)
        put_file(path, predictions.frame.to_csv(index=False).encode())
        return
    if path.suffix.lower() != ".parquet":
        raise TableError(f"{path}: the name of a predictions table must end in .parquet or .csv")
    table = pa.Table.from_pandas(predictions.frame, preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), _HEADER: header})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    put_file(path, sink.getvalue())


def split_conditions(predictions: Predictions, where: str = "predictions") -> dict[str, dict[Severity, Predictions]]:
    """Return a table per corruption and severity; severities that are whole numbers become int, others stay text.

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
            raise TableError(
                f"{where}: some rows have no '{name}'; predictions on clean images belong in the main table"
            )
    found: dict[str, dict[Severity, Predictions]] = {}
    for key, rows in frame.groupby(list(CONDITION), sort=False, observed=True):
        corruption, severity = map(text_of, key)
        part = Predictions(rows.drop(columns=list(CONDITION)).reset_index(drop=True), predictions.tasks)
        found.setdefault(corruption, {})[int(severity) if severity.isdecimal() else severity] = part
    return {name: dict(sorted(steps.items(), key=_order)) for name, steps in found.items()}


def _order(item: tuple[Severity, Predictions]) -> tuple[bool, int]:
    return (isinstance(item[0], str), item[0] if isinstance(item[0], int) else 0)


def join_conditions(conditions: Mapping[str, Mapping[Severity, Predictions]]) -> Predictions:
    """Return one table of predictions on corrupted images, the inverse of :func:`split_conditions`.

    Raises:
        TableError: no table.
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
    """Write a temporary file beside ``path`` and rename it, so that the file is complete or absent."""
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


def _read(path: Path) -> Predictions:
    if not path.is_file():
        raise TableError(f"{path}: no such file; expected a predictions table (.parquet or .csv)")
    try:
        frame, header = _read_csv(path) if path.suffix.lower() == ".csv" else _read_parquet(path)
    except TableError:
        raise
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise TableError(f"{path}: cannot be read as a table ({reason}); expected a .parquet or .csv file") from None
    tasks = parse_tasks(header, path) if header.get("tasks") else infer_tasks(frame, str(path))
    return Predictions(frame, tasks, *parse_origin(header, path))


def _read_parquet(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    file = pq.ParquetFile(path)
    schema = file.schema_arrow
    used = [name for name in schema.names if _is_ours(name)]
    repeated = {name for name in used if used.count(name) > 1}
    if repeated:
        raise TableError(f"{path}: column '{min(repeated)}' occurs twice")
    _check_size(path, file.metadata.num_rows, len(used), _uncompressed(file.metadata, set(used)))
    # Text columns repeat few values: as dictionaries, ten million rows take a few hundred megabytes.
    words = [name for name in used if _is_text(schema.field(name).type)]
    table = pq.read_table(path, columns=used, read_dictionary=words)
    return table.to_pandas(), parse_header((schema.metadata or {}).get(_HEADER, b"{}"), path)


def _read_csv(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    _check_size(path, 0, 0, path.stat().st_size)
    with path.open(newline="", encoding="utf-8-sig") as file:
        names = next(csv.reader(file), [])
    repeated = {name for name in names if names.count(name) > 1 and _is_ours(name)}
    if repeated:
        raise TableError(f"{path}: column '{min(repeated)}' occurs twice")
    used = [name for name in names if _is_ours(name)]
    if not used:
        raise TableError(f"{path}: no column true.TASK; a table needs columns true.TASK and score.TASK.CLASS")
    texts = {*KEY, *CONDITION} - {"frame"}
    words: dict[Any, Any] = {name: "category" for name in used if name in texts or name.startswith("group.")}
    beside = path.with_suffix(".json")
    header = parse_header(beside.read_bytes(), beside) if beside.is_file() else {}
    # "None" and "NA" are valid names of classes and levels; only an empty field is missing.
    frame = pd.read_csv(path, usecols=used, dtype=words, keep_default_na=False, na_values=[""], encoding="utf-8-sig")
    for name in texts & set(used):
        if frame[name].isna().any():
            frame[name] = frame[name].cat.add_categories([""]).fillna("")
    return frame, header


def _is_ours(name: str) -> bool:
    return name in (*KEY, *CONDITION, "split") or name.startswith(_PREFIXES)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _uncompressed(metadata: pq.FileMetaData, used: set[str]) -> int:
    total = 0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for place in range(row_group.num_columns):
            column = row_group.column(place)
            total += column.total_uncompressed_size if column.path_in_schema in used else 0
    return total


def _check_size(path: Path, rows: int, columns: int, size: int) -> None:
    needed = max(size, rows * columns * 8)
    if needed > MOST_BYTES:
        raise TableError(
            f"{path}: {rows:,} rows would take {needed / 2**30:.0f} GB of memory; the limit is "
            f"{MOST_BYTES // 2**30} GB. Keep fewer tasks, or a sample of the rows"
        )
