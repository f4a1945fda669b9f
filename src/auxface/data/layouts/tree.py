"""Looking into a data set's folder: what must be there, and one sentence where it is not."""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from auxface.data.images.decode import SUFFIXES
from auxface.errors import InputError


def need_root(root: Path, layout: str) -> Path:
    """The data set's folder, or InputError."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; layout {layout} reads the data set's own folder")
    return root


def need_file(root: Path, names: Sequence[str], layout: str) -> Path:
    """The first of several places of one file that exists, or InputError that names the first."""
    return _need(root, names, layout, "file")


def need_folder(root: Path, names: Sequence[str], layout: str) -> Path:
    """The first of several places of one folder that exists, or InputError that names the first."""
    return _need(root, names, layout, "folder")


def _need(root: Path, names: Sequence[str], layout: str, what: str) -> Path:
    need_root(root, layout)
    for name in names:
        path = root / name
        if path.is_file() if what == "file" else path.is_dir():
            return path
    others = f" (nor {', '.join(names[1:])})" if len(names) > 1 else ""
    raise InputError(f"{root}: the {what} {names[0]} of {layout} is missing{others}; see docs/data.md for the tree")


def files_under(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> Iterator[Path]:
    """Files with one of these suffixes, in sorted order, below a folder.

    Links to folders are not entered, so that a loop ends and nothing outside is walked. Hidden files, such as the
    ``._`` doubles of macOS archives, are passed over.
    """
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        for name in sorted(files):
            if not name.startswith(".") and name.lower().endswith(tuple(suffixes)):
                yield Path(place) / name


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not empty, or InputError."""
    try:
        return [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeError):
        raise InputError(f"{path}: not a readable text file") from None


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file with a header, names and values stripped, or InputError where a column is missing."""
    try:
        # A field of FER2013 holds a whole image.
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
