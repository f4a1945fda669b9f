"""A journal of finished files, written line by line, so that an interrupted run resumes and a second one skips them.

Example::

    with Journal(Path(".faces.parquet.journal"), settings) as journal:
        if journal.find(path) is None:
            state = file_state(path)
            journal.add(path, state, process(path))
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO


class Journal:
    """An append-only JSON Lines file: a first line with a hash of the settings, then one line per finished file.

    A line holds the file's path, its state (size and modification time) and the result. Results are discarded if the
    file or the settings have changed; a line that is truncated because the process was killed is discarded too.

    Args:
        path: the journal.
        settings: everything else that the results depend on.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self._path = path
        self._first = {"settings": hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()}
        self._done: dict[str, tuple[str, Any]] = {}
        self._file: TextIO | None = None

    def __enter__(self) -> "Journal":
        complete = self._read()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if complete is None:
            self._file = self._path.open("w", encoding="utf-8")
            self._write(self._first)
        else:
            with self._path.open("r+b") as torn:
                torn.truncate(complete)
            self._file = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def find(self, path: str) -> Any:
        """Return the result of a file if the file has not changed since; otherwise None."""
        state, result = self._done.get(path, ("", None))
        return result if result is not None and state == file_state(path) else None

    def add(self, path: str, state: str, result: Any) -> None:
        """Append a result; ``state`` is the :func:`file_state` from before the file was opened."""
        self._write({"item": path, "state": state, "result": result})

    def _write(self, line: Mapping[str, Any]) -> None:
        assert self._file is not None
        self._file.write(json.dumps(line) + "\n")
        # To the operating system, which outlives this process.
        self._file.flush()

    def _read(self) -> int | None:
        """Load the complete lines; return their length in bytes, or None if there is nothing to resume."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        complete = 0
        for line in data.splitlines(keepends=True):
            try:
                entry = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n") or (complete == 0 and entry != self._first):
                break
            if complete:
                self._done[entry["item"]] = (entry["state"], entry["result"])
            complete += len(line)
        return complete or None


def file_state(path: str | os.PathLike[str]) -> str:
    """Return size and modification time of a file, or "missing"."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return "missing"
    return f"{status.st_size} {status.st_mtime_ns}"
