"""What a layout is, and the registry of layouts.

A layout reads one published data set as its owners publish it and describes each image. It reads list files and lists
folders; it decodes no image. Other packages add layouts by an entry point in the group ``auxface.layouts`` that names a
:class:`Layout`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from auxface.data.manifest import Label
from auxface.errors import InputError
from auxface.plugins import Registry, nearest


@dataclass(frozen=True)
class Option:
    """An option of a layout, for the command line and for Python.

    Attributes:
        name: a Python name; on the command line ``--`` and dashes.
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
    """A file of the data set that gets no row.

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
        extra_tables: name to a table of the data set's protocol, such as pairs; written beside the manifest.
        boundary: the folder that links must not leave; None if the user named every path.
    """

    table: pd.DataFrame
    labels: Mapping[str, Label]
    groups: tuple[str, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    extra_tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    boundary: Path | None = None


@dataclass(frozen=True)
class Layout:
    """How one published data set is read.

    Attributes:
        name: as on the command line.
        summary: one line: what it reads.
        read: ``read(root, **options) -> Listing``; raises InputError that names the missing or wrong file.
        options: its options.
    """

    name: str
    summary: str
    read: Callable[..., Listing] = field(repr=False)
    options: tuple[Option, ...] = ()


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
