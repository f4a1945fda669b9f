"""``.auxface.json``: the record of the files that auxface wrote into a folder.

``files`` holds the size and SHA-256 hash of every complete file. ``pending`` holds the size and hash of every file that
is about to be renamed into place, so that a process killed while it renames files leaves no unknown file. ``growing``
holds name patterns of files that a run appends to or replaces until the run ends.

Example::

    record = read_record(folder) or FolderRecord()
    record.wrote("report.json", folder / "report.json")
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from auxface.atomic import atomic_file

RECORD = ".auxface.json"
ANYTHING = "**"
_VERSION = 1
# A process killed inside atomic_file leaves .STEM.RANDOM.SUFFIX beside STEM.SUFFIX.
_TEMPORARY = re.compile(r"\.(?P<stem>.+)\.[a-z0-9_]{6,8}(?P<suffix>\.[^.]*)?")


@dataclass(frozen=True)
class FileState:
    """The size and hash of a file.

    Attributes:
        size: size in bytes.
        sha256: SHA-256 hash of the content.
    """

    size: int
    sha256: str


def file_state(path: Path) -> FileState:
    """Return the size and hash of a file."""
    with path.open("rb") as content:
        return FileState(path.stat().st_size, hashlib.file_digest(content, "sha256").hexdigest())


@dataclass(frozen=True)
class FolderRecord:
    """The files that auxface wrote into a folder; names are relative to it and separated by ``/``.

    Attributes:
        files: states of complete files, by name.
        pending: states of files that are being renamed into place, by name.
        growing: name patterns of files that still change.
    """

    files: dict[str, FileState] = field(default_factory=dict)
    pending: dict[str, FileState] = field(default_factory=dict)
    growing: tuple[str, ...] = ()

    def has_name(self, name: str) -> bool:
        """Return whether the record lists a file with this name."""
        return name in self.files or name in self.pending or matches(name, self.growing)

    def wrote(self, name: str, path: Path) -> bool:
        """Return whether auxface wrote this file and the file has not changed since then."""
        if path.is_symlink() or not path.is_file():
            return False
        states = [files[name] for files in (self.files, self.pending) if name in files]
        if states:
            size = path.stat().st_size
            return any(state.size == size for state in states) and file_state(path) in states
        return name == RECORD or matches(name, self.growing) or self.left_by_kill(name, path)

    def left_by_kill(self, name: str, path: Path) -> bool:
        """Return whether this is a temporary file that a killed auxface process left behind."""
        temporary = _TEMPORARY.fullmatch(path.name)
        if temporary is None or path.is_symlink():
            return False
        final = name[: -len(path.name)] + temporary["stem"] + (temporary["suffix"] or "")
        return final == RECORD or self.has_name(final)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether a name matches one of the patterns, in which ``*`` does not match ``/``."""
    return any(_matches(name, pattern) for pattern in patterns)


def _matches(name: str, pattern: str) -> bool:
    if pattern == ANYTHING:
        return True
    names, patterns = name.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(map(fnmatchcase, names, patterns))


def read_record(folder: Path) -> FolderRecord | None:
    """Return the record of a folder; None if the record is missing or invalid."""
    try:
        raw = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if raw["version"] != _VERSION:
            return None
        files, pending = ({name: FileState(**one) for name, one in raw[key].items()} for key in ("files", "pending"))
        return FolderRecord(files, pending, tuple(map(str, raw["growing"])))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_record(folder: Path, record: FolderRecord) -> None:
    """Write the record of a folder."""
    with atomic_file(folder / RECORD) as temporary:
        temporary.write_text(json.dumps({"version": _VERSION, **asdict(record)}, indent=1) + "\n", encoding="utf-8")
