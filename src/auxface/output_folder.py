"""Folders that auxface writes: each keeps a record of its files, and only recorded files are ever replaced or deleted.

The record is ``.auxface.json``: ``files`` has size and SHA-256 of every file; ``pending`` those of files that are about
to be renamed into place, so that a kill in the middle leaves nothing unknown; ``growing`` has patterns of names, for
files that a run appends to or replaces until it ends. A folder below with a record of its own is judged by that one.

    check_output_folder(out, overwrite)          # before any work
    with written_folder(out) as beside:          # whole or not at all
        (beside / "report.json").write_text(...)
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from auxface.atomic import atomic_file
from auxface.errors import InputError

RECORD = ".auxface.json"
_VERSION = 1
_ANYTHING = "**"
# Desktops leave these in every folder that they show. They are never deleted, so they need not stop anything.
_OF_THE_DESKTOP = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
# What a kill inside of atomic_file leaves: .STEM.RANDOM.SUFFIX beside STEM.SUFFIX.
_TEMPORARY = re.compile(r"\.(?P<stem>.+)\.[a-z0-9_]{6,8}(?P<suffix>\.[^.]*)?")


@dataclass(frozen=True)
class _File:
    size: int
    sha256: str


@dataclass(frozen=True)
class _Record:
    """What auxface wrote into a folder; names are relative to it, with ``/``."""

    files: dict[str, _File] = field(default_factory=dict)
    pending: dict[str, _File] = field(default_factory=dict)
    growing: tuple[str, ...] = ()

    def has_name(self, name: str) -> bool:
        """Whether auxface writes a file of this name there."""
        return name in self.files or name in self.pending or any(_fits(name, pattern) for pattern in self.growing)

    def has(self, name: str, path: Path) -> bool:
        """Whether auxface wrote this file, and it has not changed since."""
        if path.is_symlink() or not path.is_file():
            return False
        known = [files[name] for files in (self.files, self.pending) if name in files]
        if known:
            size = path.stat().st_size
            return any(one.size == size for one in known) and _described(path) in known
        if name == RECORD or any(_fits(name, pattern) for pattern in self.growing):
            return True
        return self.has_leftover(name, path)

    def has_leftover(self, name: str, path: Path) -> bool:
        """Whether the file is what a kill left of one that auxface was writing there."""
        temporary = _TEMPORARY.fullmatch(path.name)
        if temporary is None or path.is_symlink():
            return False
        final = name[: -len(path.name)] + temporary["stem"] + (temporary["suffix"] or "")
        return final == RECORD or self.has_name(final)


def check_output_folder(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that may not be written, before any work is done.

    Args:
        folder: the output; it may be absent or empty.
        overwrite: whether what auxface wrote there may be replaced.

    Raises:
        InputError: a file of that name; without ``overwrite`` a folder that holds anything; with it a folder that holds
            a file that auxface did not write or that has changed since.
    """
    place = _resolved(folder)
    if not place.exists():
        return
    if not place.is_dir():
        raise InputError(f"{folder} is a file, and the output is a folder; choose another output")
    if not overwrite:
        if any(place.iterdir()):
            raise InputError(
                f"{folder} exists already; choose another output, or add --overwrite to replace what auxface wrote"
            )
        return
    foreign = _first_foreign(place)
    if foreign is not None:
        raise _refusal(folder, place, *foreign)


def refuse_inputs_inside(folder: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output folder that holds something that the command reads.

    Args:
        folder: the output.
        inputs: the manifest, its images, models, tables.

    Raises:
        InputError: one of them is inside the folder, or is the folder.
    """
    place = _resolved(folder)
    if not place.is_dir() or not any(place.iterdir()):
        return
    resolved: dict[str, str] = {}
    for path in inputs:
        parent, name = os.path.split(os.path.abspath(path))
        if parent not in resolved:
            resolved[parent] = os.path.realpath(parent)
        entry = Path(resolved[parent], name)
        # A link may lead into the folder.
        if entry.is_relative_to(place) or (entry.is_symlink() and _resolved(entry).is_relative_to(place)):
            raise InputError(f"{folder} holds {path}, which this command reads; choose another output")


def refuse_foreign_names(folder: Path, names: Iterable[str]) -> None:
    """Refuse to replace files of these names unless auxface wrote them.

    Raises:
        InputError: there is one that auxface did not write, or that has changed since.
    """
    place = _resolved(folder)
    record = _read(place)
    for name in names:
        path = place / name
        links = any(parent.is_symlink() for parent in path.parents if parent != place and parent.is_relative_to(place))
        if (os.path.lexists(path) or links) and (links or not (record or _Record()).has(name, path)):
            raise _refusal(folder, place, path, record is not None and record.has_name(name))


@contextmanager
def written_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder; when the block ends without an error, its files are what auxface has in ``folder``.

    Files that the record names are replaced or deleted; others stay. A folder that does not exist appears whole. In one
    that exists files appear in the order in which they were written.

    Raises:
        InputError: a file would be replaced that auxface did not write, or that has changed since.
    """
    place = _resolved(folder)
    with _staging(place) as stage:
        yield stage
        new = _described_files(stage)
        if place.exists():
            refuse_foreign_names(folder, new)
            record = _read(place) or _Record()
            old = [name for name in _own_files(place, record) if name not in new]
            _move(stage, place, new, record)
            _delete(place, old)
        _finish(stage, place, _Record(new))


@contextmanager
def added_files(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder; when the block ends without an error, its files are moved into ``folder``.

    Files of the same names are replaced, whoever wrote them; nothing is deleted.
    """
    place = _resolved(folder)
    with _staging(place) as stage:
        yield stage
        new = _described_files(stage)
        record = (_read(place) if place.exists() else None) or _Record()
        if place.exists():
            _move(stage, place, new, record)
        _finish(stage, place, _Record(record.files | new, growing=record.growing))


def begin_growing(folder: Path, patterns: Iterable[str], changing: Iterable[str] | None = None) -> None:
    """Record that files of these names change until :func:`end_growing`; the folder is made if absent.

    Args:
        folder: of a run.
        patterns: such as ``log.jsonl`` or ``checkpoint/*/state.json``; ``*`` stays within one part of a name.
        changing: names of recorded files that will change; by default all that fit a pattern.
    """
    place = _resolved(folder)
    place.mkdir(parents=True, exist_ok=True)
    old, growing = _read(place) or _Record(), tuple(patterns)
    if changing is None:
        changing = [name for name in old.files if any(_fits(name, pattern) for pattern in growing)]
    changing = frozenset(changing)
    files = {name: one for name, one in old.files.items() if name not in changing}
    _write(place, _Record(files, growing=growing))


def end_growing(folder: Path) -> None:
    """Record every file that grew as it is now."""
    place = _resolved(folder)
    record = _read(place) or _Record()
    grown = [name for name in _own_files(place, record) if name != RECORD and name not in record.files]
    _write(place, _Record(record.files | {name: _described(place / name) for name in grown}))


def record_files(folder: Path, names: Iterable[str]) -> None:
    """Record these files of a folder as they are now, where they are not recorded yet; names that grow go on to."""
    place = _resolved(folder)
    record = _read(place) or _Record()
    new = {name: _described(place / name) for name in names if name not in record.files}
    _write(place, _Record(record.files | new, growing=record.growing))


def clear_folder(folder: Path) -> None:
    """Delete the files that the folder's own record names, and the record; everything else stays."""
    place = _resolved(folder)
    record = _read(place) if place.is_dir() else None
    if record is not None:
        _delete(place, list(_own_files(place, record)))


def delete_leftovers(folder: Path) -> None:
    """Delete what a kill left of files that auxface was writing into the folder itself, not into folders below."""
    place = _resolved(folder)
    record = _read(place) or _Record()
    for path in place.iterdir():
        if path.is_file() and record.has_leftover(path.name, path):
            path.unlink()


def delete_written(folder: Path) -> None:
    """Delete what auxface wrote in a folder and in the folders below it, and the folders if nothing else is in them."""
    place = _resolved(folder)
    nested: list[Path] = []
    if place.is_dir():
        list(_files(place, nested))
        clear_folder(place)
        for each in nested:
            delete_written(each)
        _remove_empty(place)


def _resolved(folder: Path) -> Path:
    return Path(os.path.realpath(folder))


def _refusal(folder: Path, place: Path, path: Path, changed: bool) -> InputError:
    why = "has changed since auxface wrote it" if changed else "is not recorded as written by auxface"
    return InputError(
        f"{folder}: '{path.relative_to(place).as_posix()}' {why}, and --overwrite replaces only what auxface wrote; "
        "move it elsewhere or choose another output"
    )


def _first_foreign(place: Path) -> tuple[Path, bool] | None:
    """The first file, here or in a folder below, that is not as auxface wrote it, and whether it only has changed."""
    record, nested = _read(place), []
    for path in _files(place, nested):
        name = path.relative_to(place).as_posix()
        if path.name in _OF_THE_DESKTOP or (record is not None and record.has(name, path)):
            continue
        return path, record is not None and record.has_name(name)
    return next(filter(None, map(_first_foreign, nested)), None)


def _own_files(place: Path, record: _Record) -> Iterator[str]:
    for path in _files(place, []):
        name = path.relative_to(place).as_posix()
        if record.has(name, path):
            yield name


def _files(folder: Path, nested: list[Path]) -> Iterator[Path]:
    """Files and links in order of name; folders below that have a record are put into ``nested`` instead."""
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or not path.is_dir():
            yield path
        elif (path / RECORD).is_file():
            nested.append(path)
        else:
            yield from _files(path, nested)


@contextmanager
def _staging(place: Path) -> Iterator[Path]:
    """A temporary folder on the same file system: inside of a folder that exists, beside one that does not."""
    parent = place if place.exists() else place.parent
    parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=parent))
    try:
        # One that a kill leaves behind is known as ours.
        _write(stage, _Record(growing=(_ANYTHING,)))
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _move(stage: Path, place: Path, new: dict[str, _File], record: _Record) -> None:
    _write(place, _Record(record.files, pending=new, growing=record.growing))
    for name in new:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (stage / name).replace(place / name)


def _finish(stage: Path, place: Path, record: _Record) -> None:
    if place.exists():
        _write(place, record)
        return
    _write(stage, record)
    umask = os.umask(0)
    os.umask(umask)
    stage.chmod(0o777 & ~umask)
    stage.replace(place)


def _delete(place: Path, names: Sequence[str]) -> None:
    for name in names:
        (place / name).unlink(missing_ok=True)
        for parent in Path(name).parents[:-1]:
            _remove_empty(place / parent)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _described_files(stage: Path) -> dict[str, _File]:
    """Files of a temporary folder in the order in which they were written."""
    paths = [path for path in _files(stage, []) if path != stage / RECORD]
    paths.sort(key=lambda path: path.stat().st_mtime_ns)
    return {path.relative_to(stage).as_posix(): _described(path) for path in paths}


def _described(path: Path) -> _File:
    with path.open("rb") as content:
        return _File(path.stat().st_size, hashlib.file_digest(content, "sha256").hexdigest())


def _fits(name: str, pattern: str) -> bool:
    if pattern == _ANYTHING:
        return True
    parts, wanted = name.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _read(place: Path) -> _Record | None:
    """The record of a folder; None where there is none that can be read."""
    try:
        raw = json.loads((place / RECORD).read_text(encoding="utf-8"))
        if raw["version"] != _VERSION:
            return None
        files, pending = ({name: _File(**one) for name, one in raw[key].items()} for key in ("files", "pending"))
        return _Record(files, pending, tuple(map(str, raw["growing"])))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _write(place: Path, record: _Record) -> None:
    with atomic_file(place / RECORD) as beside:
        beside.write_text(json.dumps({"version": _VERSION, **asdict(record)}, indent=1) + "\n", encoding="utf-8")
