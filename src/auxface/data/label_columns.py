"""Labels from columns of text: what the user said they are, or what their values make plain."""

from dataclasses import dataclass
from typing import get_args

import pandas as pd

from auxface.data.manifest import Label, LabelKind
from auxface.errors import InputError


@dataclass(frozen=True)
class LabelSpec:
    """A label as the user wrote it: ``NAME``, ``NAME:KIND`` or ``NAME:KIND=class,class``.

    Attributes:
        name: of the label; also of its column, except for ``multilabel``.
        kind: empty where it is left to the values.
        classes: in order; empty where they are left to the values. For ``multilabel`` the columns.
    """

    name: str
    kind: LabelKind | None = None
    classes: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The table's columns that it reads."""
        return self.classes if self.kind == "multilabel" else (self.name,)


def parse_label(text: str) -> LabelSpec:
    """Read one label specification.

    Raises:
        InputError: an unknown kind, or classes where the kind has none.
    """
    name, colon, rest = text.partition(":")
    kind, equals, listed = rest.partition("=")
    kinds = get_args(LabelKind)
    if not name or (colon and kind not in kinds):
        raise InputError(f"label '{text}': expected NAME or NAME:KIND with a KIND of {', '.join(kinds)}")
    if not colon:
        return LabelSpec(name)
    classes = tuple(item.strip() for item in listed.split(",")) if equals else ()
    if equals and (len(set(classes)) != len(classes) or not all(classes)):
        raise InputError(f"label '{text}': its classes must be different names")
    if kind in ("ordinal", "identity") and classes:
        raise InputError(f"label '{text}': kind {kind} has no classes")
    if kind == "multilabel" and not classes:
        raise InputError(f"label '{text}': say which columns it is made of, as {name}:multilabel=COLUMN,COLUMN")
    if kind == "binary" and classes and len(classes) != 2:
        raise InputError(f"label '{text}': binary has two classes, negative first")
    if kind == "class" and len(classes) == 1:
        raise InputError(f"label '{text}': one class leaves nothing to learn")
    return LabelSpec(name, kind, classes)  # pyright: ignore[reportArgumentType]


def read_label(table: pd.DataFrame, spec: LabelSpec, where: str) -> tuple[Label, dict[str, pd.Series]]:
    """The label that a specification makes of a table, and its columns.

    Without a kind, text becomes ``class`` with its distinct values in sorted order, and a column of 0 and 1 becomes
    ``binary``; other numbers could be classes or amounts, so they are refused with both ways to say it.

    Args:
        table: every cell text or None.
        spec: of :func:`parse_label`; its columns are in the table.
        where: name of the table, for errors.

    Raises:
        InputError: a value that the label cannot hold.
    """
    kind = spec.kind or _infer(table[spec.name], spec.name, where)
    if kind == "multilabel":
        columns = {column: _zero_one(table[column], column, (), where) for column in spec.classes}
        return Label("multilabel", spec.classes), columns
    column = table[spec.name]
    if kind == "binary":
        classes = spec.classes or (f"not {spec.name}", spec.name)
        return Label("binary", classes), {spec.name: _zero_one(column, spec.name, spec.classes, where)}
    if kind == "ordinal":
        return Label("ordinal"), {spec.name: _numbers(column, spec.name, where)}
    if kind == "identity":
        return Label("identity"), {spec.name: column}
    found = sorted(column.dropna().unique(), key=_natural)
    classes = spec.classes or tuple(found)
    unknown = [value for value in found if value not in classes]
    if unknown:
        row = int((column == unknown[0]).to_numpy().argmax())
        raise InputError(f"{where}: row {row + 1} has {spec.name} '{unknown[0]}'; expected {', '.join(classes)}")
    if len(classes) < 2:
        raise InputError(f"{where}: label '{spec.name}' has {len(classes)} class(es); at least two are needed")
    return Label("class", classes), {spec.name: column}


def _infer(column: pd.Series, name: str, where: str) -> LabelKind:
    values = column.dropna()
    if values.empty:
        raise InputError(f"{where}: label '{name}' is empty in every row")
    if pd.to_numeric(values, errors="coerce").isna().any():
        return "class"
    if set(values) <= {"0", "1"}:
        return "binary"
    raise InputError(
        f"{where}: label '{name}' holds numbers; write {name}:ordinal for an amount or {name}:class for classes"
    )


def _zero_one(column: pd.Series, name: str, classes: tuple[str, ...], where: str) -> pd.Series:
    present = set(column.dropna())
    meaning = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "False": 0, "True": 1, "false": 0, "true": 1}
    if classes and present <= set(classes):
        meaning = {classes[0]: 0, classes[1]: 1}
    # In CelebA's own coding -1 is no; beside a 0 it could mean unknown, so then it is refused.
    elif present <= {"-1", "1"}:
        meaning = {"-1": 0, "1": 1}
    unknown = [value for value in present if value not in meaning]
    if unknown:
        row = int((column == sorted(unknown)[0]).to_numpy().argmax())
        expected = " or ".join(classes) if classes else "0 or 1"
        raise InputError(f"{where}: row {row + 1} has {name} '{column.iloc[row]}'; expected {expected}, or nothing")
    return column.map(meaning).astype("Int64")


def _numbers(column: pd.Series, name: str, where: str) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = numbers.isna() & column.notna()
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise InputError(f"{where}: row {row + 1} has {name} '{column.iloc[row]}'; expected a number")
    return numbers.astype("float64")


def _natural(value: str) -> tuple[int, float, str]:
    try:
        return (0, float(value), value)
    except ValueError:
        return (1, 0.0, value)
