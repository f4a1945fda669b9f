"""Write output folders; only files listed in the folder's record are replaced or deleted.

The record is ``.auxface.json``; see ``folder_record``. A subfolder with its own record is checked against that record.
The only exception is :func:`added_files`, which also replaces other files that have the names of the new files.

Example::

    check_output_folder(out, overwrite)             # before any work
    with written_folder(out) as temporary:          # replaced only if the block succeeds
        (temporary / "report.json").write_text(...)
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from auxface.atomic import check_writable
from auxface.errors import InputError
from auxface.folder_record import (
    ANYTHING,
    RECORD,
    FileState,
    FolderRecord,
    file_state,
    matches,
    read_record,
    write_record,
)

# File managers create these files in the folders that they display. These files are never deleted and cause no error.
_FILE_MANAGER_FILES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})


def check_output_folder(folder: Path, overwrite: bool) -> None:
    """Check, before any work is done, that a folder may be written to.

    Args:
        folder: output folder; it may be missing or empty.
        overwrite: whether files that auxface wrote there may be replaced.

    Raises:
        InputError: ``folder`` is a file or cannot be written; ``overwrite`` is false and the folder is not empty; or
            ``overwrite`` is true and the folder contains a file that auxface did not write or that has changed since
            auxface wrote it.
    """
    place = _resolved(folder)
    if not place.exists():
        check_writable(folder)
        return
    if not place.is_dir():
        raise InputError(f"{folder} is a file, but the output must be a folder; choose another output")
    if not overwrite:
        if any(place.iterdir()):
            raise InputError(
                f"{folder} already exists; choose another output, or add --overwrite to replace what auxface wrote"
            )
    else:
        foreign = _first_foreign(place)
        if foreign is not None:
            raise _refusal(folder, place, *foreign)
    check_writable(folder)


def refuse_inputs_inside(folder: Path, inputs: Iterable[Path]) -> None:
    """Check that an output folder does not contain any input of the command.

    Args:
        folder: output folder.
        inputs: paths of the manifest, images, models and tables.

    Raises:
        InputError: an input is the folder or is inside it.
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
        # A symbolic link may point into the folder.
        if entry.is_relative_to(place) or (entry.is_symlink() and _resolved(entry).is_relative_to(place)):
            raise InputError(f"{folder} contains {path}, which this command reads; choose another output")


def refuse_foreign_names(folder: Path, names: Iterable[str]) -> None:
    """Check that files with these names may be written: they do not exist yet, or auxface wrote them.

    Raises:
        InputError: the folder cannot be written, or a file was not written by auxface or has changed since auxface
            wrote it.
    """
    check_writable(folder)
    place = _resolved(folder)
    record = read_record(place)
    for name in names:
        path = place / name
        links = any(parent.is_symlink() for parent in path.parents if parent != place and parent.is_relative_to(place))
        if (os.path.lexists(path) or links) and (links or not (record or FolderRecord()).wrote(name, path)):
            raise _refusal(folder, place, path, record is not None and record.has_name(name))


@contextmanager
def written_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder; if the block ends without an error, its files replace the files that auxface wrote.

    Files that the record of ``folder`` lists are replaced or deleted; other files are kept. A new folder appears only
    when it is complete. In an existing folder, files appear in the order in which they were written.

    Raises:
        InputError: the block would replace a file that auxface did not write or that has changed since auxface wrote
            it.
    """
    place = _resolved(folder)
    with _temporary_folder(place) as temporary:
        yield temporary
        new = _written_files(temporary)
        if place.exists():
            refuse_foreign_names(folder, new)
            record = read_record(place) or FolderRecord()
            old = [name for name in _own_files(place, record) if name not in new]
            _move(temporary, place, new, record)
            _delete(place, old)
        _finish(temporary, place, FolderRecord(new))


@contextmanager
def added_files(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder; if the block ends without an error, its files are moved into ``folder``.

    Files with the same names are replaced, even if auxface did not write them; nothing is deleted.
    """
    place = _resolved(folder)
    with _temporary_folder(place) as temporary:
        yield temporary
        new = _written_files(temporary)
        record = (read_record(place) if place.exists() else None) or FolderRecord()
        if place.exists():
            _move(temporary, place, new, record)
        _finish(temporary, place, FolderRecord(record.files | new, growing=record.growing))


def begin_growing(folder: Path, patterns: Iterable[str], changing: Iterable[str] | None = None) -> None:
    """Record that files whose names match ``patterns`` change until :func:`end_growing` is called.

    The folder is created if it is missing.

    Args:
        folder: folder of the run.
        patterns: name patterns such as ``log.jsonl`` or ``checkpoint/*/state.json``; ``*`` does not match ``/``.
        changing: names of recorded files that will change; by default, all recorded files that match a pattern.
    """
    place = _resolved(folder)
    place.mkdir(parents=True, exist_ok=True)
    old, growing = read_record(place) or FolderRecord(), tuple(patterns)
    if changing is None:
        changing = [name for name in old.files if matches(name, growing)]
    changing = frozenset(changing)
    files = {name: state for name, state in old.files.items() if name not in changing}
    write_record(place, FolderRecord(files, growing=growing))


def end_growing(folder: Path) -> None:
    """Record the final content of every file that was growing."""
    place = _resolved(folder)
    record = read_record(place) or FolderRecord()
    grown = [name for name in _own_files(place, record) if name != RECORD and name not in record.files]
    write_record(place, FolderRecord(record.files | {name: file_state(place / name) for name in grown}))


def record_files(folder: Path, names: Iterable[str]) -> None:
    """Record the content of files that the folder's record does not list yet; growing files remain growing."""
    place = _resolved(folder)
    record = read_record(place) or FolderRecord()
    new = {name: file_state(place / name) for name in names if name not in record.files}
    write_record(place, FolderRecord(record.files | new, growing=record.growing))


def clear_folder(folder: Path) -> None:
    """Delete the files listed in the folder's own record, and the record itself; everything else is kept."""
    place = _resolved(folder)
    record = read_record(place) if place.is_dir() else None
    if record is not None:
        _delete(place, list(_own_files(place, record)))


def delete_leftovers(folder: Path) -> None:
    """Delete the temporary files that a killed process left in the folder, but not in its subfolders."""
    place = _resolved(folder)
    record = read_record(place) or FolderRecord()
    for path in place.iterdir():
        if path.is_file() and record.left_by_kill(path.name, path):
            path.unlink()


def delete_written(folder: Path) -> None:
    """Delete the files that auxface wrote to a folder and its subfolders, and the folders that become empty."""
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


def _refusal(folder: Path, place: Path, path: Path, has_changed: bool) -> InputError:
    why = "has changed since auxface wrote it" if has_changed else "is not recorded as written by auxface"
    return InputError(
        f"{folder}: '{path.relative_to(place).as_posix()}' {why}; --overwrite replaces only files that auxface wrote; "
        "move the file elsewhere or choose another output"
    )


def _first_foreign(place: Path) -> tuple[Path, bool] | None:
    """Return the first file in a folder or its subfolders that differs from the record, and whether it has changed."""
    record, nested = read_record(place), []
    for path in _files(place, nested):
        name = path.relative_to(place).as_posix()
        if path.name in _FILE_MANAGER_FILES or (record is not None and record.wrote(name, path)):
            continue
        return path, record is not None and record.has_name(name)
    return next(filter(None, map(_first_foreign, nested)), None)


def _own_files(place: Path, record: FolderRecord) -> Iterator[str]:
    for path in _files(place, []):
        name = path.relative_to(place).as_posix()
        if record.wrote(name, path):
            yield name


def _files(folder: Path, nested: list[Path]) -> Iterator[Path]:
    """Yield files and links in order of name; subfolders with their own record are appended to ``nested``."""
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or not path.is_dir():
            yield path
        elif (path / RECORD).is_file():
            nested.append(path)
        else:
            yield from _files(path, nested)


@contextmanager
def _temporary_folder(place: Path) -> Iterator[Path]:
    """Yield a temporary folder on the same file system: inside the folder if it exists, otherwise beside it."""
    parent = place if place.exists() else place.parent
    parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=parent))
    try:
        # With this record, a folder left by a killed process is recognized as written by auxface.
        write_record(temporary, FolderRecord(growing=(ANYTHING,)))
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _written_files(temporary: Path) -> dict[str, FileState]:
    """Return the files of a temporary folder in the order in which they were written."""
    paths = [path for path in _files(temporary, []) if path != temporary / RECORD]
    paths.sort(key=lambda path: path.stat().st_mtime_ns)
    return {path.relative_to(temporary).as_posix(): file_state(path) for path in paths}


def _move(temporary: Path, place: Path, new: dict[str, FileState], record: FolderRecord) -> None:
    write_record(place, FolderRecord(record.files, pending=new, growing=record.growing))
    for name in new:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (temporary / name).replace(place / name)


def _finish(temporary: Path, place: Path, record: FolderRecord) -> None:
    if place.exists():
        write_record(place, record)
        return
    write_record(temporary, record)
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o777 & ~umask)
    temporary.replace(place)


def _delete(place: Path, names: Sequence[str]) -> None:
    for name in names:
        (place / name).unlink(missing_ok=True)
        for parent in Path(name).parents[:-1]:
            _remove_empty(place / parent)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
