"""``results.jsonl``: a line per run that ended, done or failed, and its predictions beside it.

Files of several machines may be put one after the other: lines with the same key are one run.
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

FILE = "results.jsonl"
DONE, FAILED = "done", "failed"
_NEEDED = {"key", "status", "data", "method", "seed"}

Line = dict[str, Any]


def read_results(folder: Path) -> dict[str, Line]:
    """Lines by key; where a run has several, the last that is done, else the last.

    Raises:
        InputError: a line that is no result.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8")
    # A kill may have cut the last line short; that run is then not done.
    whole = text[: text.rfind("\n") + 1]
    found: dict[str, Line] = {}
    for number, line in enumerate(whole.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict) or not set(entry) >= _NEEDED:
            raise InputError(f"{path}: line {number} is no result of a study; remove it")
        if found.get(entry["key"], {}).get("status") != DONE or entry["status"] == DONE:
            found[entry["key"]] = entry
    return found


def merged_results(folders: Sequence[Path]) -> dict[str, tuple[Line, Path]]:
    """Lines of several folders by key, each with the folder that it and its predictions are of.

    Raises:
        InputError: a folder without results.
    """
    merged: dict[str, tuple[Line, Path]] = {}
    for folder in folders:
        found = read_results(folder)
        if not found:
            raise InputError(f"{folder}: no {FILE} with a finished run; run 'auxface study STUDY.yaml --out {folder}'")
        for key, line in found.items():
            if key not in merged or (merged[key][0]["status"] != DONE and line["status"] == DONE):
                merged[key] = (line, folder)
    return merged


def predictions_file(folder: Path, key: str) -> Path:
    """Where a run's predictions are."""
    return folder / "predictions" / f"{key}.parquet"


def append_result(folder: Path, line: Line, predictions: Path | None = None) -> None:
    """Keep a run's predictions, then its line: a kill between the two leaves a run that is not done.

    Results are shown to others, so the names of sources and videos, which may be those of files, become numbers that
    tell only which rows belong together.
    """
    if predictions is not None:
        write_predictions(without_names(read_predictions(predictions)), predictions_file(folder, line["key"]))
    path = folder / FILE
    with path.open("ab+") as file:
        _drop_cut_line(file)
        file.write((json.dumps(line, allow_nan=False) + "\n").encode())
        file.flush()
        os.fsync(file.fileno())


def without_names(table: Predictions) -> Predictions:
    """The table with a hash in place of every source's and video's name."""
    names = {column: table.frame[column].map(_hashed) for column in ("source", "video")}
    return replace(table, frame=table.frame.assign(**names))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder of results, so that no second study writes there.

    Raises:
        InputError: another study holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"{folder}: another study is at work there; give it --jobs, or use another folder and report on both"
            ) from None
        yield


def _hashed(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16] if name else ""


def _drop_cut_line(file: Any) -> None:
    end = file.seek(0, os.SEEK_END)
    if not end:
        return
    file.seek(0)
    content = file.read()
    if not content.endswith(b"\n"):
        file.truncate(content.rfind(b"\n") + 1)
