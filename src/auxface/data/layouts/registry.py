"""The ``Layout`` class, its registry, and functions that find and read the files of a data set.

A layout reads one data set in its published form and describes each image. It reads list files and lists folders, but
decodes no images. Other packages can add layouts through an entry point in the group ``auxface.layouts`` that refers to
a :class:`Layout`.
"""

import csv
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from auxface.data.audio.spectrogram import SpectrogramSettings
from auxface.data.manifest import Label
from auxface.data.media import IMAGE_SUFFIXES, VIDEO_SUFFIXES, file_kind
from auxface.errors import InputError
from auxface.plugins import Registry, nearest

_FILE_MANAGER_FILES = ("Thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Option:
    """An option of a layout, on the command line and in Python.

    Attributes:
        name: Python identifier; on the command line it is prefixed with ``--`` and underscores become dashes.
        type: ``str``, ``int``, ``float``, ``bool``, or ``tuple`` for text that may be given several times.
        default: value used if the option is not given.
        help: description in one line.
        choices: allowed values; empty if any value is allowed.
    """

    name: str
    type: type
    default: Any
    help: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Excluded:
    """A data set file that is excluded from the table.

    Attributes:
        path: path of the file.
        status: category in which the file is counted: ``unreadable`` if it has no usable label or does not exist,
            ``duplicate`` if it would leak between splits.
        reason: reason for the exclusion, a short phrase.
    """

    path: str
    status: Literal["unreadable", "duplicate"]
    reason: str


@dataclass(frozen=True)
class Listing:
    """The images or videos of a data set, as found by its layout.

    Attributes:
        table: one row per image or video, with the manifest's columns, labels and groups; ``path`` is absolute or
            relative to the working directory. The optional column ``mask`` names an image or a video of the same length
            that is not black where the face was forged.
        labels: description of each label, by name.
        groups: columns that hold demographic groups.
        excluded: files without a row, with reasons; they are counted and listed.
        extra_tables: tables of the data set's protocol, such as pairs, by name; written next to the manifest.
        boundary: folder that links must not leave, or None if the user named every path.
        spectrogram: settings for converting excerpts of audio files to log-mel images, or None for images and videos.
    """

    table: pd.DataFrame
    labels: Mapping[str, Label]
    groups: tuple[str, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    extra_tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    boundary: Path | None = None
    spectrogram: SpectrogramSettings | None = None


@dataclass(frozen=True)
class Layout:
    """A reader of one published data set.

    Attributes:
        name: name on the command line.
        summary: description in one line.
        read: function that reads the data set, called as ``read(root, **options)``. It returns a :class:`Listing`, or
            raises an InputError that names the missing or invalid file.
        options: options that ``read`` accepts.
        audio: whether the files are audio; the listing must then have a ``spectrogram``.
    """

    name: str
    summary: str
    read: Callable[..., Listing] = field(repr=False)
    options: tuple[Option, ...] = ()
    audio: bool = False


registry = Registry("layout", "auxface.layouts", Layout)
register = registry.register
layouts = registry.available
get_layout = registry.get


def resolve_options(layout: Layout, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of a layout, with default values for those not given.

    Raises:
        InputError: an option is unknown, or a value is not allowed.
    """
    known = {option.name: option for option in layout.options}
    for name in given:
        if name not in known:
            have = ", ".join(known) or "none"
            raise InputError(f"layout {layout.name} has no option '{name}'{nearest(name, known)}; options: {have}")
    values = {option.name: option.default for option in layout.options} | dict(given)
    for name, value in values.items():
        choices = known[name].choices
        for item in value if isinstance(value, tuple | list) else (value,):
            if choices and item is not None and item not in choices:
                raise InputError(f"layout {layout.name}: {name} '{item}' must be one of {', '.join(choices)}")
    return values


def require_root(root: Path, layout: str) -> Path:
    """Check that the folder of a data set exists, and return it.

    Raises:
        InputError: the folder does not exist.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected the folder of the {layout} data set")
    return root


def require_file(root: Path, names: Sequence[str], layout: str) -> Path:
    """Return the first existing file among possible paths relative to ``root``.

    Raises:
        InputError: none of the paths exists; the message names the paths.
    """
    return _require(root, names, layout, "file")


def require_folder(root: Path, names: Sequence[str], layout: str) -> Path:
    """Return the first existing folder among possible paths relative to ``root``.

    Raises:
        InputError: none of the paths exists; the message names the paths.
    """
    return _require(root, names, layout, "folder")


def _require(root: Path, names: Sequence[str], layout: str, kind: str) -> Path:
    require_root(root, layout)
    for name in names:
        path = root / name
        if path.is_file() if kind == "file" else path.is_dir():
            return path
    others = f" (other accepted names: {', '.join(names[1:])})" if len(names) > 1 else ""
    raise InputError(f"{root}: {kind} {names[0]} of {layout} is missing{others}; docs/data.md shows the folder tree")


def list_files(folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES, *, below: bool = True) -> Iterator[Path]:
    """Yield the files in a folder that have one of the suffixes, in sorted order.

    Links to folders are not followed, so the search terminates and stays inside the folder. Hidden files, such as the
    ``._`` files of macOS archives, and files created by file managers are skipped.

    Args:
        folder: folder to search.
        suffixes: suffixes of the files to list, in lower case.
        below: whether to search subfolders.
    """
    for place, folders, files in os.walk(folder):
        if not below:
            folders.clear()
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        for name in sorted(files):
            if not (name.startswith(".") or name in _FILE_MANAGER_FILES) and name.lower().endswith(tuple(suffixes)):
                yield Path(place) / name


def list_media(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Yield every file below a folder, in sorted order, and whether it is an image or a video.

    Files are recognized by their content. A file with an image or video suffix also counts as an image or a video, so
    that the reason why it cannot be read is reported.
    """
    for path in list_files(folder, ("",)):
        yield path, file_kind(path) is not None or path.name.lower().endswith((*IMAGE_SUFFIXES, *VIDEO_SUFFIXES))


def read_lines(path: Path) -> list[str]:
    """Return the non-empty lines of a text file.

    Raises:
        InputError: the file is not a readable text file.
    """
    try:
        return [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeError):
        raise InputError(f"{path}: not a readable text file") from None


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a CSV file with a header, with whitespace stripped from names and values.

    Args:
        path: CSV file to read.
        columns: columns that the file must have.

    Raises:
        InputError: the file is not a readable CSV file, has no rows, or lacks a column.
    """
    try:
        # A single cell of FER2013 holds an entire image.
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
            raise InputError(f"{path}: column '{column}' is missing; columns: {', '.join(rows[0])}")
    return rows
