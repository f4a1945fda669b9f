"""The ``Layout`` class and its registry, and functions that find and read the files of a data set.

A layout reads one data set in its published form and describes each image. It reads list files and lists
folders; it decodes no image. Other packages add layouts by an entry point in the group ``auxface.layouts`` that names a
:class:`Layout`.
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
    """An option of a layout, for the command line and for Python.

    Attributes:
        name: a Python identifier; on the command line it starts with ``--`` and has dashes for underscores.
        type: ``str``, ``int``, ``float``, ``bool``, or ``tuple`` for text that may be given several times.
        default: value if the option is not given.
        help: one line.
        choices: allowed values; empty: any.
    """

    name: str
    type: type
    default: Any
    help: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Excluded:
    """A file of the data set that is excluded from the table.

    Attributes:
        path: the file.
        status: how it is counted: ``unreadable`` (no usable label or no such file) or ``duplicate`` (it would leak).
        reason: a short phrase.
    """

    path: str
    status: Literal["unreadable", "duplicate"]
    reason: str


@dataclass(frozen=True)
class Listing:
    """The images or videos of a data set, as its layout found them.

    Attributes:
        table: one row per image or video with the manifest's columns, labels and groups; ``path`` is absolute or
            relative to the working directory. Optional column ``mask``: an image or video, as long as its row's, that
            is not black where a face was forged.
        labels: label name to its description.
        groups: columns that are demographic groups.
        excluded: files that get no row, with reasons; they are counted and listed.
        extra_tables: name to a table of the data set's protocol, such as pairs; written next to the manifest.
        boundary: the folder that links must not leave; None if the user named every path.
        spectrogram: how the excerpts of audio files become log-mel images; None: the files are images or videos.
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
        name: as on the command line.
        summary: a description in one line.
        read: ``read(root, **options) -> Listing``; raises InputError that names the missing or wrong file.
        options: its options.
        audio: whether its files are audio; the listing then states the ``spectrogram``.
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
    """Return all options of a layout: the given values, and defaults for the others.

    Raises:
        InputError: an unknown option, or a value that is not allowed.
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
    """Return the data set's folder.

    Raises:
        InputError: there is no such folder.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected the folder of the {layout} data set")
    return root


def require_file(root: Path, names: Sequence[str], layout: str) -> Path:
    """Return the first of the possible paths of a file, relative to ``root``, that exists.

    Raises:
        InputError: none exists; the message names them.
    """
    return _require(root, names, layout, "file")


def require_folder(root: Path, names: Sequence[str], layout: str) -> Path:
    """Return the first of the possible paths of a folder, relative to ``root``, that exists.

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


def list_files(folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES, *, below: bool = True) -> Iterator[Path]:
    """Yield the files below a folder that have one of the suffixes, in sorted order.

    Links to folders are not followed, so the search terminates and stays inside the folder. Hidden files are skipped,
    such as the ``._`` files of macOS archives, and the files that file managers keep in folders.

    Args:
        folder: where to search.
        suffixes: of the files to list, in lower case.
        below: whether folders inside the folder are searched.
    """
    for place, folders, files in os.walk(folder):
        if not below:
            folders.clear()
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        for name in sorted(files):
            if not (name.startswith(".") or name in _FILE_MANAGER_FILES) and name.lower().endswith(tuple(suffixes)):
                yield Path(place) / name


def list_media(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Yield every file below a folder, in sorted order, and whether it is an image or video.

    Files are recognized by their content. A file with an image or video suffix counts as one, so that the reason
    why it cannot be read is reported.
    """
    for path in list_files(folder, ("",)):
        yield path, file_kind(path) is not None or path.name.lower().endswith((*IMAGE_SUFFIXES, *VIDEO_SUFFIXES))


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
