"""Reading and writing predictions tables: Parquet with a JSON header, or CSV."""

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from auxface.evaluation.checking import check_predictions
from auxface.evaluation.inferring import infer_tasks
from auxface.evaluation.table import KEY, Predictions, TableError, Task

VERSION = 1
_HEADER = b"auxface"
_PREFIXES = ("group.", "true.", "score.", "predicted.")


def read_predictions(path: str | os.PathLike[str]) -> Predictions:
    """Read and check a predictions table.

    Args:
        path: a Parquet file, whose schema metadata may carry tasks under the key ``auxface`` (JSON), or a CSV file with
            the same JSON in ``NAME.json`` beside it. Without that header the tasks are read off the columns and a
            threshold of 0.5 is assumed; ``threshold_rule`` then says ``"assumed"``.

    Raises:
        TableError: the file is missing, is neither Parquet nor CSV, or holds a table that cannot be measured.
    """
    path = Path(path)
    if not path.is_file():
        raise TableError(f"{path}: no such file; a predictions table (.parquet or .csv) was expected")
    try:
        frame, header = _read_csv(path) if path.suffix.lower() == ".csv" else _read_parquet(path)
    except (pa.ArrowException, pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise TableError(f"{path}: cannot be read as a table ({str(error).splitlines()[0]})") from None
    tasks = _tasks(header, path) if header.get("tasks") else infer_tasks(frame, str(path))
    try:
        left_out = {str(reason): int(count) for reason, count in (header.get("left_out") or {}).items()}
        provenance = dict(header.get("provenance") or {})
    except (AttributeError, TypeError, ValueError):
        raise TableError(f"{path}: left_out and provenance in the header must be objects of counts and facts") from None
    predictions = Predictions(frame, tasks, left_out, provenance)
    check_predictions(predictions, str(path))
    return predictions


def write_predictions(predictions: Predictions, path: str | os.PathLike[str]) -> None:
    """Write a table as Parquet, or as CSV with its header in ``NAME.json`` beside it; whole or not at all.

    Raises:
        TableError: the suffix is neither ``.parquet`` nor ``.csv``.
    """
    path = Path(path)
    header = json.dumps(_header(predictions), sort_keys=True)
    if path.suffix.lower() == ".csv":
        put_file(path.with_suffix(".json"), header.encode())
        put_file(path, predictions.frame.to_csv(index=False).encode())
        return
    if path.suffix.lower() != ".parquet":
        raise TableError(f"{path}: a predictions table ends in .parquet or .csv")
    table = pa.Table.from_pandas(predictions.frame, preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), _HEADER: header.encode()})
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


def _read_parquet(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    file = pq.ParquetFile(path)
    schema = file.schema_arrow
    wanted = [name for name in schema.names if name in (*KEY, "split") or name.startswith(_PREFIXES)]
    # Text columns repeat few values: as dictionaries ten million rows stay in a few hundred megabytes.
    words = [name for name in wanted if pa.types.is_string(schema.field(name).type)]
    table = pq.read_table(path, columns=wanted, read_dictionary=words)
    return table.to_pandas(), _parse((schema.metadata or {}).get(_HEADER, b"{}"), path)


def _read_csv(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    names = list(pd.read_csv(path, nrows=0).columns)
    wanted = [name for name in names if name in (*KEY, "split") or name.startswith(_PREFIXES)]
    words: dict[Any, Any] = {name: "category" for name in wanted if name in KEY or name.startswith("group.")}
    beside = path.with_suffix(".json")
    header = _parse(beside.read_bytes(), beside) if beside.is_file() else {}
    # "None" and "NA" are fine class and group names; only an empty field is missing.
    frame = pd.read_csv(path, usecols=wanted, dtype=words, keep_default_na=False, na_values=[""])
    for name in KEY:
        if name in frame and name != "frame":
            frame[name] = frame[name].cat.add_categories([""]).fillna("") if frame[name].isna().any() else frame[name]
    return frame, header


def _parse(text: bytes, where: Path) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except ValueError:
        raise TableError(f"{where}: the header 'auxface' is not JSON") from None
    if not isinstance(header, dict):
        raise TableError(f"{where}: the header 'auxface' must be a JSON object")
    if header.get("version", VERSION) != VERSION:
        raise TableError(
            f"{where}: header version {header['version']} is not known; this program reads version {VERSION}"
        )
    return header


def _tasks(header: dict[str, Any], path: Path) -> tuple[Task, ...]:
    tasks = []
    for name, entry in header["tasks"].items() if isinstance(header["tasks"], dict) else ():
        kind = entry.get("kind") if isinstance(entry, dict) else None
        if kind not in ("class", "binary", "multilabel", "ordinal"):
            raise TableError(
                f"{path}: task '{name}' in the header has kind {kind!r}; class, binary, multilabel or ordinal"
            )
        classes = tuple(map(str, entry.get("classes") or ()))
        if (
            len(set(classes)) != len(classes)
            or (kind == "binary" and len(classes) != 2)
            or (kind == "class" and len(classes) < 2)
        ):
            raise TableError(f"{path}: task '{name}' ({kind}) in the header has classes {list(classes)}")
        thresholds = {str(key): float(value) for key, value in (entry.get("thresholds") or {}).items()}
        tasks.append(Task(str(name), kind, classes, thresholds, entry.get("threshold_rule")))
    return tuple(tasks)


def _header(predictions: Predictions) -> dict[str, Any]:
    tasks = {
        task.name: {
            "kind": task.kind,
            "classes": list(task.classes),
            "thresholds": dict(task.thresholds),
            "threshold_rule": task.threshold_rule,
        }
        for task in predictions.tasks
    }
    left_out, provenance = predictions.left_out, predictions.provenance
    return {"version": VERSION, "tasks": tasks, "left_out": left_out, "provenance": provenance}
