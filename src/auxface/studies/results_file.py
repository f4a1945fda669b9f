"""Read and write ``results.jsonl``: one JSON record per finished or failed run; predictions are in separate files.

The files of several machines may be concatenated: records with the same key belong to the same run.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from auxface.errors import InputError
from auxface.evaluation.io import read_predictions, write_predictions
from auxface.evaluation.predictions import Predictions

RESULTS_FILE = "results.jsonl"
DONE, FAILED = "done", "failed"
_REQUIRED = {"key", "status", "data", "method", "seed"}

RunRecord = dict[str, Any]


def read_results(folder: Path) -> dict[str, RunRecord]:
    """Return the records of a folder by key; for duplicate keys, the last finished record or, if none, the last record.

    Raises:
        InputError: a line is not the record of a run.
    """
    path = folder / RESULTS_FILE
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8")
    # A killed process may leave an incomplete last line. Its run then has no result.
    complete = text[: text.rfind("\n") + 1]
    records: dict[str, RunRecord] = {}
    for number, line in enumerate(complete.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict) or not set(record) >= _REQUIRED:
            raise InputError(f"{path}: line {number} is not the result of a run; remove this line")
        if records.get(record["key"], {}).get("status") != DONE or record["status"] == DONE:
            records[record["key"]] = record
    return records


def merge_results(folders: Sequence[Path]) -> dict[str, tuple[RunRecord, Path]]:
    """Return the records of several folders by key, each with the folder that contains its predictions.

    Raises:
        InputError: a folder contains no results.
    """
    merged: dict[str, tuple[RunRecord, Path]] = {}
    for folder in folders:
        records = read_results(folder)
        if not records:
            raise InputError(
                f"{folder}: no finished run in {RESULTS_FILE}; run 'auxface study STUDY.yaml --out {folder}' first"
            )
        for key, record in records.items():
            if key not in merged or (merged[key][0]["status"] != DONE and record["status"] == DONE):
                merged[key] = (record, folder)
    return merged


def predictions_path(folder: Path, key: str) -> Path:
    """Return the path of a run's predictions."""
    return folder / "predictions" / f"{key}.parquet"


def append_result(folder: Path, record: RunRecord, predictions: Path | None = None) -> None:
    """Store the predictions of a run, and then append its record.

    If the process is killed between these two steps, the run has no result. The names of sources and videos, which may
    be file names of private data, are replaced with hashes, so that results can be published.
    """
    if predictions is not None:
        write_predictions(hash_source_names(read_predictions(predictions)), predictions_path(folder, record["key"]))
    with (folder / RESULTS_FILE).open("ab+") as file:
        _drop_incomplete_line(file)
        file.write((json.dumps(record, allow_nan=False) + "\n").encode())
        file.flush()
        os.fsync(file.fileno())


def hash_source_names(table: Predictions) -> Predictions:
    """Return the table with the names of sources and videos replaced with hashes."""
    names = {column: table.frame[column].map(_hash) for column in ("source", "video")}
    return replace(table, frame=table.frame.assign(**names))


@contextmanager
def lock_results(folder: Path) -> Iterator[None]:
    """Lock a results folder inside a ``with`` block, so that no other study writes to it.

    Raises:
        InputError: another study has locked the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"{folder}: another study is running in this folder; start that study with more --jobs, or use another "
                "folder and report on both"
            ) from None
        yield


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16] if name else ""


def _drop_incomplete_line(file: Any) -> None:
    end = file.seek(0, os.SEEK_END)
    if not end:
        return
    file.seek(0)
    content = file.read()
    if not content.endswith(b"\n"):
        file.truncate(content.rfind(b"\n") + 1)
