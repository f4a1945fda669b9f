"""Find and read the files of a data set, with an error that names what is missing."""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from auxface.data.images.decode import SUFFIXES
from auxface.errors import InputError


def require_root(root: Path, layout: str) -> Path:
    """Return the data set's folder.

    Raises:
        InputError: there is no such folder.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; layout {layout} reads the data set's own folder")
    return root


def require_file(root: Path, names: Sequence[str], layout: str) -> Path:
    """Return the first of several possible places of a file that exists.

    Raises:
        InputError: none exists; the message names them.
    """
    return _require(root, names, layout, "file")


def require_folder(root: Path, names: Sequence[str], layout: str) -> Path:
    """Return the first of several possible places of a folder that exists.

    Raises:
        InputError: none exists; the message names them.
    """
    return _require(root, names, layout, "folder")


def _require(root: Path, names: Sequence[str], layout: str, kind: str) -> Path:
    require_root(root, layout)
    for name in names:
        path = root / name
        if path.is_file() if kind == "file" else path.is_dir():
            return path
    others = f" (also looked for: {', '.join(names[1:])})" if len(names) > 1 else ""
    raise InputError(f"{root}: {kind} {names[0]} of {layout} is missing{others}; docs/data.md shows the folder tree")


def list_files(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> Iterator[Path]:
    """Yield the files below a folder that have one of the suffixes, in sorted order.

    Links to folders are not followed, so the walk ends and stays inside. Hidden files are skipped, such as the ``._``
    files of macOS archives.
    """
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        for name in sorted(files):
            if not name.startswith(".") and name.lower().endswith(tuple(suffixes)):
                yield Path(place) / name


def read_lines(path: Path) -> list[str]:
    """Return the non-empty lines of a text file.

    Raises:
        InputError: not a readable text file.
    """
    try:
        return [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeError):
        raise InputError(f"{path}: not a readable text file") from None


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a CSV file with a header; names and values are stripped.

    Args:
        path: the file.
        columns: columns that it must have.

    Raises:
        InputError: not a readable CSV file, no rows, or a missing column.
    """
    try:
        # A cell of FER2013 holds a whole image.
        csv.field_size_limit(1 << 20)
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = [
                {(key or "").strip(): (value or "").strip() for key, value in row.items() if isinstance(value, str)}
                for row in csv.DictReader(lines)
            ]
    except (OSError, UnicodeError, csv.Error):
        raise InputError(f"{path}: not a readable CSV file") from None
    if not rows:
        raise InputError(f"{path}: the file has no rows")
    for column in columns:
        if column not in rows[0]:
            raise InputError(f"{path}: column '{column}' is missing; it has {', '.join(rows[0])}")
    return rows
