"""Reading and writing predictions tables: Parquet with a JSON header, or CSV."""

import csv
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from auxface.evaluation.checking import check_predictions
from auxface.evaluation.conditions import CONDITION, split_conditions
from auxface.evaluation.header import account_of, header_of, parse_header, tasks_of
from auxface.evaluation.inferring import infer_tasks
from auxface.evaluation.results import Severity
from auxface.evaluation.table import KEY, Predictions, TableError

MOST_BYTES = 8 * 2**30
_HEADER = b"auxface"
_PREFIXES = ("group.", "true.", "score.", "predicted.")
_UNREADABLE = (
    pa.ArrowException, pd.errors.ParserError, pd.errors.EmptyDataError, OSError, UnicodeError, ValueError,
    OverflowError, KeyError, csv.Error,
)  # fmt: skip


def read_predictions(path: str | os.PathLike[str]) -> Predictions:
    """Read and check a predictions table.

    Args:
        path: a Parquet file, whose schema metadata may carry tasks under the key ``auxface`` (JSON), or a CSV file with
            the same JSON in ``NAME.json`` beside it. Without that header the tasks are read off the columns and a
            threshold of 0.5 is assumed; ``threshold_rule`` then says ``"assumed"``.

    Raises:
        TableError: the file is missing, is neither Parquet nor CSV, would take more than :data:`MOST_BYTES` of memory,
            or holds a table that cannot be measured.
    """
    predictions = _read(Path(path))
    present = [name for name in CONDITION if name in predictions.frame.columns]
    if present:
        raise TableError(f"{path}: column '{present[0]}' marks predictions on damaged pictures; give it as robustness")
    check_predictions(predictions, str(path))
    return predictions


def read_conditions(path: str | os.PathLike[str]) -> dict[str, dict[Severity, Predictions]]:
    """Read and check predictions on damaged pictures: corruption to severity to table.

    Args:
        path: a table as :func:`read_predictions` takes it, with the columns ``corruption`` and ``severity`` besides.

    Raises:
        TableError: as :func:`read_predictions`; a row that does not name its corruption or severity.
    """
    conditions = split_conditions(_read(Path(path)), str(path))
    for corruption, steps in conditions.items():
        for severity, table in steps.items():
            check_predictions(table, f"{path}, {corruption} {severity}")
    return conditions


def write_predictions(predictions: Predictions, path: str | os.PathLike[str]) -> None:
    """Write a table as Parquet, or as CSV with its header in ``NAME.json`` beside it; whole or not at all.

    Raises:
        TableError: the suffix is neither ``.parquet`` nor ``.csv``.
    """
    path = Path(path)
    header = header_of(predictions).encode()
    if path.suffix.lower() == ".csv":
        put_file(path.with_suffix(".json"), header)
        put_file(path, predictions.frame.to_csv(index=False).encode())
        return
    if path.suffix.lower() != ".parquet":
        raise TableError(f"{path}: a predictions table ends in .parquet or .csv")
    table = pa.Table.from_pandas(predictions.frame, preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), _HEADER: header})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    put_file(path, sink.getvalue())


def put_file(path: Path, content: bytes | pa.Buffer) -> None:
    """Write beside ``path``, then rename, so that the file is whole or absent."""
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
        raise TableError(f"{path}: no such file; a predictions table (.parquet or .csv) was expected")
    try:
        frame, header = _read_csv(path) if path.suffix.lower() == ".csv" else _read_parquet(path)
    except TableError:
        raise
    except _UNREADABLE as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise TableError(f"{path}: cannot be read as a table ({said}); a .parquet or .csv file was expected") from None
    tasks = tasks_of(header, path) if header.get("tasks") else infer_tasks(frame, str(path))
    return Predictions(frame, tasks, *account_of(header, path))


def _read_parquet(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    file = pq.ParquetFile(path)
    schema = file.schema_arrow
    wanted = [name for name in schema.names if _is_ours(name)]
    repeated = {name for name in wanted if wanted.count(name) > 1}
    if repeated:
        raise TableError(f"{path}: column '{min(repeated)}' stands twice")
    _check_size(path, file.metadata.num_rows, len(wanted), _uncompressed(file.metadata, set(wanted)))
    # Text columns repeat few values: as dictionaries ten million rows stay in a few hundred megabytes.
    words = [name for name in wanted if _is_text(schema.field(name).type)]
    table = pq.read_table(path, columns=wanted, read_dictionary=words)
    return table.to_pandas(), parse_header((schema.metadata or {}).get(_HEADER, b"{}"), path)


def _read_csv(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    _check_size(path, 0, 0, path.stat().st_size)
    with path.open(newline="", encoding="utf-8-sig") as file:
        names = next(csv.reader(file), [])
    repeated = {name for name in names if names.count(name) > 1 and _is_ours(name)}
    if repeated:
        raise TableError(f"{path}: column '{min(repeated)}' stands twice")
    wanted = [name for name in names if _is_ours(name)]
    if not wanted:
        raise TableError(f"{path}: no column true.TASK; a table needs true.TASK and score.TASK.CLASS")
    texts = {*KEY, *CONDITION} - {"frame"}
    words: dict[Any, Any] = {name: "category" for name in wanted if name in texts or name.startswith("group.")}
    beside = path.with_suffix(".json")
    header = parse_header(beside.read_bytes(), beside) if beside.is_file() else {}
    # "None" and "NA" are fine class and group names; only an empty field is missing.
    frame = pd.read_csv(path, usecols=wanted, dtype=words, keep_default_na=False, na_values=[""], encoding="utf-8-sig")
    for name in texts & set(wanted):
        if frame[name].isna().any():
            frame[name] = frame[name].cat.add_categories([""]).fillna("")
    return frame, header


def _is_ours(name: str) -> bool:
    return name in (*KEY, *CONDITION, "split") or name.startswith(_PREFIXES)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _uncompressed(metadata: pq.FileMetaData, wanted: set[str]) -> int:
    total = 0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for place in range(row_group.num_columns):
            column = row_group.column(place)
            total += column.total_uncompressed_size if column.path_in_schema in wanted else 0
    return total


def _check_size(path: Path, rows: int, columns: int, size: int) -> None:
    needed = max(size, rows * columns * 8)
    if needed > MOST_BYTES:
        raise TableError(
            f"{path}: {rows:,} rows would take {needed / 2**30:.0f} GB; at most {MOST_BYTES // 2**30} GB are read: "
            "measure fewer tasks at a time, or a sample of the rows"
        )
