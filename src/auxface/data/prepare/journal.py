"""A journal of finished files, written line by line, so that interrupted runs resume and later runs skip them.

Example::

    with Journal(Path(".faces.parquet.journal"), settings) as journal:
        if journal.find(path) is None:
            state = file_state(path)
            journal.add(path, state, process(path))
"""

import hashlib
import json
import os
import warnings
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from auxface.atomic import atomic_file


class Journal:
    """An append-only JSON Lines file: a first line with a hash of the settings, then one line per finished file.

    A line holds the file's path, its state (size and modification time), the result and a checksum. Results are
    discarded if the file or the settings have changed. Lines with a wrong checksum are discarded with a note. A last
    line that is truncated because the process was killed is discarded without a note.

    Args:
        path: path of the journal.
        settings: settings on which the results depend.
        warn: function called with a note on corrupt lines.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], warn: Callable[[str], None] = warnings.warn) -> None:
        self._path, self._warn = path, warn
        self._first = {"settings": hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()}
        self._done: dict[str, tuple[str, Any]] = {}
        self._file: TextIO | None = None

    def __enter__(self) -> "Journal":
        kept = self._read()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if kept is None:
            self._file = self._path.open("w", encoding="utf-8")
            self._write(self._first)
        else:
            with atomic_file(self._path) as temporary:
                temporary.write_bytes(kept)
            self._file = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def find(self, path: str) -> Any:
        """Return the result of a file, or None if there is none or the file has changed since."""
        state, result = self._done.get(path, ("", None))
        return result if result is not None and state == file_state(path) else None

    def add(self, path: str, state: str, result: Any) -> None:
        """Append a result; ``state`` is the :func:`file_state` from before the file was opened."""
        self._write({"item": path, "state": state, "result": result})

    def _write(self, line: Mapping[str, Any]) -> None:
        assert self._file is not None
        content = json.dumps(line)
        self._file.write(f"{zlib.crc32(content.encode()):08x} {content}\n")
        # The line is passed to the operating system, which outlives this process.
        self._file.flush()

    def _read(self) -> bytes | None:
        """Load the intact lines and return them, or None if there is nothing to resume."""
        try:
            lines = self._path.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return None
        # A killed process leaves an incomplete last line, whereas zeros at the end result from a system crash.
        if lines and not lines[-1].endswith(b"\n") and b"\0" not in lines[-1]:
            lines.pop()
        if not lines:
            return None
        entries = [_intact(line) for line in lines]
        if entries[0] is None:
            self._warn(f"{self._path}: the first line is corrupt; all files are processed again")
        if entries[0] != self._first:
            return None
        for entry in entries[1:]:
            if entry is not None:
                self._done[entry["item"]] = (entry["state"], entry["result"])
        corrupt = entries.count(None)
        if corrupt:
            files = (
                "1 line is corrupt; its file is" if corrupt == 1 else f"{corrupt} lines are corrupt; their files are"
            )
            self._warn(f"{self._path}: {files} processed again")
        return b"".join(line for line, entry in zip(lines, entries, strict=True) if entry is not None)


def _intact(line: bytes) -> dict[str, Any] | None:
    """Return the content of a line, or None if its checksum is wrong."""
    checksum, _, content = line.rstrip(b"\n").partition(b" ")
    return json.loads(content) if checksum == b"%08x" % zlib.crc32(content) else None


def file_state(path: str | os.PathLike[str]) -> str:
    """Return the size and modification time of a file, or "missing"."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return "missing"
    return f"{status.st_size} {status.st_mtime_ns}"
