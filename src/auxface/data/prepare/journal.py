"""What was done, line by line on disk, so that a killed run goes on where it was and a second one repeats nothing."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO


class Journal:
    """An append-only JSON Lines file: a first line with the settings, then one line per finished item.

    A line holds the item's name, the state of its file (size and time of change) and the result. Results of a changed
    file, of other settings, and of a line that a kill cut short are forgotten.
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

    def find(self, item: str) -> Any:
        """The result kept for an item whose file has not changed since, or None."""
        state, result = self._done.get(item, ("", None))
        return result if result is not None and state == file_state(item) else None

    def add(self, item: str, state: str, result: Any) -> None:
        """Keep a result; ``state`` is :func:`file_state` taken before the work began."""
        self._write({"item": item, "state": state, "result": result})

    def _write(self, line: Mapping[str, Any]) -> None:
        assert self._file is not None
        self._file.write(json.dumps(line) + "\n")
        # To the operating system, which outlives this process.
        self._file.flush()

    def _read(self) -> int | None:
        """Load the finished lines; returns how many bytes they are, or None where there is nothing to go on from."""
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
    """Size and time of change of a file, or "missing"."""
    try:
        about = os.stat(path)
    except (OSError, ValueError):
        return "missing"
    return f"{about.st_size} {about.st_mtime_ns}"
