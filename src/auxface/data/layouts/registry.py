"""What a layout is, and which ones there are.

A layout reads one published data set as its owners publish it and says what each image is. It opens list files and
lists folders; it decodes nothing. Other packages add theirs by an entry point in the group ``auxface.layouts`` that
names a :class:`Layout`.
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
    """A setting of a layout, for the command line and for Python.

    Attributes:
        name: a Python name; on the command line ``--`` and dashes.
        type: ``str``, ``int``, ``float``, ``bool``, or ``tuple`` for text that may be given several times.
        default: its value when not given.
        help: one line.
        choices: the values allowed; empty: any.
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
        path: of the file.
        status: how the account counts it: ``unreadable`` (no usable label) or ``duplicate`` (it would leak).
        reason: a short phrase.
    """

    path: str
    status: Literal["unreadable", "duplicate"]
    reason: str


@dataclass(frozen=True)
class Listing:
    """What a layout found.

    Attributes:
        table: a row per image or video with the manifest's columns, labels and groups; ``path`` is absolute or starts
            from the working directory. Optional ``mask``: an image or video, as long as its row's, that is not black
            where a face was forged.
        labels: label name to what it is.
        groups: columns that are groups of people.
        excluded: what the layout found but cannot give a row, and why; counted and listed.
        extra_tables: tables of the data set's own protocol, such as verification pairs, by name.
        boundary: the folder that links must not leave, or None where the user named every path.
    """

    table: pd.DataFrame
    labels: Mapping[str, Label]
    groups: tuple[str, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    extra_tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    boundary: Path | None = None


@dataclass(frozen=True)
class Layout:
    """How one published data set becomes rows.

    Attributes:
        name: as on the command line.
        summary: one line: what it reads.
        read: ``read(root, **options) -> Listing``; raises InputError that names the missing or wrong file.
        options: its settings.
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
    """The options of a layout with defaults filled in.

    Raises:
        InputError: an option that the layout has not, or a value that is not allowed.
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
                raise InputError(f"layout {layout.name}: {name} '{item}' is not one of {', '.join(choices)}")
    return values
