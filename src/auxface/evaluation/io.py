"""The JSON header of a predictions table: tasks with thresholds, samples left out, provenance.

Reading the tasks off the columns of a table that came without a header.

Reading and writing predictions tables: Parquet with a JSON header, or CSV.

Predictions on damaged images as one table: columns ``corruption`` and ``severity`` beside the others.
"""

import csv
import json
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
from auxface.evaluation.predictions import ASSUMED, KEY, LevelThresholds, Predictions, TableError, Task, text_of
from auxface.evaluation.results import Severity

VERSION = 1
_KINDS = ("class", "binary", "multilabel", "ordinal")


def parse_header(text: bytes, where: Path) -> dict[str, Any]:
    """The header as a dictionary.

    Raises:
        TableError: not a JSON object, or of a version that is not known.
    """
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise TableError(f"{where}: the header 'auxface' is not JSON") from None
    if not isinstance(header, dict):
        raise TableError(f"{where}: the header 'auxface' must be a JSON object")
    if header.get("version", VERSION) != VERSION:
        raise TableError(
            f"{where}: header version {header['version']} is not known; this program reads version {VERSION}"
        )
    return header


def tasks_of(header: dict[str, Any], where: Path) -> tuple[Task, ...]:
    """The tasks of a header.

    Raises:
        TableError: an entry that is not what it should be.
    """
    entries = header["tasks"]
    if not isinstance(entries, dict):
        raise TableError(f"{where}: 'tasks' in the header must be an object, a task by name")
    return tuple(_task(str(name), entry, where) for name, entry in entries.items())


def account_of(header: dict[str, Any], where: Path) -> tuple[dict[str, int], dict[str, Any]]:
    """Samples left out by reason, and provenance.

    Raises:
        TableError: an entry that is not what it should be.
    """
    try:
        left_out = {str(reason): int(count) for reason, count in (header.get("left_out") or {}).items()}
        provenance = dict(header.get("provenance") or {})
    except (AttributeError, OverflowError, TypeError, ValueError):
        raise TableError(
            f"{where}: left_out and provenance in the header must be objects of counts and facts"
        ) from None
    if any(count < 0 for count in left_out.values()):
        raise TableError(f"{where}: a count in left_out is below zero")
    return left_out, provenance


def header_of(predictions: Predictions) -> str:
    """The header of a table as JSON."""
    tasks = {
        task.name: {
            "kind": task.kind,
            "classes": list(task.classes),
            "thresholds": dict(task.thresholds),
            "threshold_rule": task.threshold_rule,
        }
        | ({} if task.abstain is None else {"abstain": list(task.abstain)})
        | ({} if task.level_thresholds is None else {"level_thresholds": task.level_thresholds.to_dict()})
        for task in predictions.tasks
    }
    left_out, provenance = predictions.left_out, predictions.provenance
    header = {"version": VERSION, "tasks": tasks, "left_out": left_out, "provenance": provenance}
    return json.dumps(header, sort_keys=True)


def _task(name: str, entry: Any, where: Path) -> Task:
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if kind not in _KINDS:
        raise TableError(f"{where}: task '{name}' in the header has kind {kind!r}; give one of {', '.join(_KINDS)}")
    given = entry.get("classes") or ()
    if not isinstance(given, list | tuple):
        raise TableError(f"{where}: the classes of task '{name}' in the header must be a list of names")
    classes = tuple(map(str, given))
    wrong_count = (kind == "binary" and len(classes) != 2) or (kind in ("class", "multilabel") and not classes)
    if len(set(classes)) != len(classes) or wrong_count:
        raise TableError(f"{where}: task '{name}' ({kind}) in the header has classes {', '.join(classes) or 'none'}")
    try:
        thresholds = {str(key): float(value) for key, value in (entry.get("thresholds") or {}).items()}
        abstain = None if entry.get("abstain") is None else tuple(map(float, entry["abstain"]))
    except (AttributeError, TypeError, ValueError):
        raise TableError(f"{where}: thresholds and abstain of task '{name}' in the header must be numbers") from None
    if not all(0 <= value <= 1.001 for value in (*thresholds.values(), *(abstain or ()))):
        raise TableError(f"{where}: a threshold of task '{name}' in the header lies outside [0, 1]")
    if abstain is not None and (len(abstain) != 2 or abstain[0] > abstain[1]):
        raise TableError(f"{where}: abstain of task '{name}' in the header must be [low, high]")
    rule = entry.get("threshold_rule")
    by_level = _level_thresholds(name, entry.get("level_thresholds"), where)
    return Task(name, kind, classes, thresholds, None if rule is None else str(rule), abstain, by_level)  # pyright: ignore[reportArgumentType]


def _level_thresholds(name: str, entry: Any, where: Path) -> LevelThresholds | None:
    if entry is None:
        return None
    try:
        thresholds = {
            str(positive): {str(level): float(value) for level, value in levels.items()}
            for positive, levels in entry["thresholds"].items()
        }
        found = LevelThresholds(str(entry["group"]), thresholds)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise TableError(
            f"{where}: level_thresholds of task '{name}' in the header must be a group and, by class and level, numbers"
        ) from None
    if not all(0 <= value <= 1.001 for levels in found.thresholds.values() for value in levels.values()):
        raise TableError(f"{where}: a threshold of task '{name}' in the header lies outside [0, 1]")
    return found


def infer_tasks(frame: pd.DataFrame, where: str = "predictions") -> tuple[Task, ...]:
    """Tasks as the columns ``true.*`` and ``score.*`` show them; every threshold is 0.5 and marked as assumed.

    ``true.T`` with one ``score.T.P`` is binary with positive class P; with several it is a choice between them
    (``class``), or ``ordinal`` where the classes are numbers and the truth holds others. ``true.T.A`` with
    ``score.T.A`` for every A is ``multilabel``.

    Raises:
        TableError: a truth without scores, or no truth at all.
    """
    truths = [str(name).removeprefix("true.") for name in frame.columns if str(name).startswith("true.")]
    scores = [str(name).removeprefix("score.") for name in frame.columns if str(name).startswith("score.")]
    if not truths:
        raise TableError(f"{where}: no column true.TASK; a table needs true.TASK and score.TASK.CLASS")
    tasks: list[Task] = []
    attributes: dict[str, list[str]] = {}
    for truth in truths:
        own = [score.removeprefix(f"{truth}.") for score in scores if _owner(score, truths) == truth]
        if f"predicted.{truth}" in frame.columns:
            tasks.append(Task(truth, "ordinal"))
        elif own:
            tasks.append(_single(truth, own, frame[f"true.{truth}"]))
        elif truth in scores and "." in truth:
            name, attribute = truth.split(".", 1)
            attributes.setdefault(name, []).append(attribute)
        else:
            raise TableError(f"{where}: column 'true.{truth}' has no scores; add score.{truth}.CLASS in [0, 1]")
    for name, found in attributes.items():
        tasks.append(Task(name, "multilabel", tuple(found), dict.fromkeys(found, 0.5), ASSUMED))
    return tuple(tasks)


def _owner(score: str, truths: list[str]) -> str:
    """The truth that a score belongs to: the longest that it begins with, since names may hold dots themselves."""
    return max((truth for truth in truths if score.startswith(f"{truth}.")), key=len, default="")


def _single(name: str, classes: list[str], truth: pd.Series) -> Task:
    if len(classes) == 1:
        return Task(name, "binary", (f"not {classes[0]}", classes[0]), {classes[0]: 0.5}, ASSUMED)
    numbers = pd.to_numeric(pd.Series(classes), errors="coerce").notna().all()
    others = set(map(text_of, truth.dropna().unique())) - set(classes)
    if numbers and pd.api.types.is_numeric_dtype(truth) and others:
        return Task(name, "ordinal", tuple(classes))
    return Task(name, "class", tuple(classes))


CONDITION = ("corruption", "severity")


def split_conditions(predictions: Predictions, where: str = "predictions") -> dict[str, dict[Severity, Predictions]]:
    """Corruption to severity to the rows there; severities that are whole numbers are ints, others text.

    Args:
        predictions: a table with the columns :data:`CONDITION`.
        where: names the table in messages.

    Raises:
        TableError: a column is missing, or a row does not name its corruption or severity.
    """
    frame = predictions.frame
    for name in CONDITION:
        if name not in frame.columns:
            raise TableError(
                f"{where}: column '{name}' is missing; predictions on damaged images name corruption and severity"
            )
        if frame[name].isna().any() or (frame[name].astype(str) == "").any():
            raise TableError(f"{where}: some rows have no '{name}'; undamaged images belong in the main table")
    found: dict[str, dict[Severity, Predictions]] = {}
    for key, rows in frame.groupby(list(CONDITION), sort=False, observed=True):
        corruption, severity = map(text_of, key)
        part = Predictions(rows.drop(columns=list(CONDITION)).reset_index(drop=True), predictions.tasks)
        found.setdefault(corruption, {})[int(severity) if severity.isdecimal() else severity] = part
    return {name: dict(sorted(steps.items(), key=_order)) for name, steps in found.items()}


def join_conditions(conditions: Mapping[str, Mapping[Severity, Predictions]]) -> Predictions:
    """The reverse of :func:`split_conditions`.

    Raises:
        TableError: no table.
    """
    parts = [
        table.frame.assign(corruption=corruption, severity=str(severity))
        for corruption, steps in conditions.items()
        for severity, table in steps.items()
    ]
    if not parts:
        raise TableError("no predictions on damaged images")
    first = next(iter(next(iter(conditions.values())).values()))
    return Predictions(pd.concat(parts, ignore_index=True), first.tasks, {}, first.provenance)


def _order(item: tuple[Severity, Predictions]) -> tuple[bool, int]:
    return (isinstance(item[0], str), item[0] if isinstance(item[0], int) else 0)


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
        raise TableError(f"{path}: column '{present[0]}' marks predictions on damaged images; give it as robustness")
    check_predictions(predictions, str(path))
    return predictions


def read_conditions(path: str | os.PathLike[str]) -> dict[str, dict[Severity, Predictions]]:
    """Read and check predictions on damaged images: corruption to severity to table.

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
