"""Layout ``table``: any CSV or Parquet table of images, with labels and groups named by the user.

Example::

    auxface prepare table labels.csv --label gender --label age:ordinal --group race -o faces.parquet

A label is written ``NAME``, ``NAME:KIND`` or ``NAME:KIND=class,class``. If no kind is given, it is inferred from the
values.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pandas as pd
import pyarrow as pa

from auxface.data.layouts.registry import Layout, Listing, Option
from auxface.data.manifest import KEY, Label, LabelKind
from auxface.data.splits import DEFAULT, SPLIT_NAMES, parse_fractions, split_by_source
from auxface.errors import InputError
from auxface.evaluation.parquet_tables import read_whole_parquet
from auxface.evaluation.predictions import TableError
from auxface.evaluation.table_files import json_lines, refuse_documents
from auxface.plugins import nearest


def read(
    root: Path,
    *,
    label: Sequence[str] = (),
    group: Sequence[str] = (),
    path: str = "path",
    split: str | None = None,
    source: str | None = None,
    video: str | None = None,
    frame: str | None = None,
    method: str | None = None,
    dataset: str | None = None,
    dataset_column: str | None = None,
    split_fractions: str = DEFAULT,
) -> Listing:
    """Read the table at ``root``; :data:`layout` describes the options."""
    table = read_text_table(root)
    name = str(root)
    folder = Path(os.path.abspath(root)).parent
    rows = pd.DataFrame({"path": [str(folder / text) for text in _filled(table, path, name)]})

    # A column with the name of a manifest column is used without an option.
    columns = {"source": source, "video": video, "frame": frame, "method": method, "dataset": dataset_column}
    used = {key: given or key for key, given in columns.items() if given or key in table}
    for key, default in (("dataset", dataset or folder.name), ("method", ""), ("video", "")):
        from_column = key in used and not (key == "dataset" and dataset)
        rows[key] = _column(table, used[key], name).fillna("") if from_column else default
    rows["source"] = _filled(table, used.get("source", path), name)
    if "frame" in used:
        rows["frame"] = _integers(_filled(table, used["frame"], name), used["frame"], name)
    else:
        rows["frame"] = rows.groupby(list(KEY[:-1]), sort=False).cumcount()

    split = split or ("split" if "split" in table else None)
    if split is None:
        rows["split"] = split_by_source(rows["source"], parse_fractions(split_fractions))
    else:
        rows["split"] = _splits(_filled(table, split, name), split, name)

    labels: dict[str, Label] = {}
    for spec in map(parse_label, label):
        if spec.name in labels:
            raise InputError(f"label '{spec.name}' is given twice")
        for column in spec.columns:
            _column(table, column, name)
        labels[spec.name], values = read_label(table, spec, name)
        for column in values:
            rows[column] = values[column]
    for column in group:
        # A column may be both a label and a group; it then keeps the type of the label.
        if column not in rows:
            rows[column] = _column(table, column, name)
    return Listing(rows, labels, tuple(dict.fromkeys(group)))


def read_text_table(path: Path) -> pd.DataFrame:
    """Return a CSV, TSV or Parquet table with each cell as text, or as None if it is empty.

    Raises:
        InputError: the file does not exist or is not a readable table.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such table; expected a .csv, .tsv, .jsonl or .parquet file")
    if path.suffix == ".parquet":
        try:
            table = read_whole_parquet(path).to_pandas()
        except TableError as error:
            raise InputError(str(error)) from None
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path}: not a readable Parquet table ({str(error).splitlines()[0]})") from None
        table = table.apply(lambda column: column.map(_cell))
    elif path.suffix == ".jsonl":
        try:
            table = pd.DataFrame(json_lines(path.read_text(encoding="utf-8-sig"), path))
        except TableError as error:
            raise InputError(str(error)) from None
        except (OSError, UnicodeError) as error:
            raise InputError(f"{path}: not a readable JSON Lines table ({str(error).splitlines()[0]})") from None
        table = table.apply(lambda column: column.map(_cell))
    else:
        separator = "\t" if path.suffix == ".tsv" else ","
        try:
            with path.open("rb") as file:
                refuse_documents(file.read(512), path)
            table = pd.read_csv(
                path, dtype=str, keep_default_na=False, na_values=[""], sep=separator, encoding="utf-8-sig"
            )
        except TableError as error:
            raise InputError(str(error)) from None
        except (ValueError, pd.errors.ParserError, UnicodeError) as error:
            raise InputError(f"{path}: not a readable CSV table ({str(error).splitlines()[0]})") from None
    if table.empty:
        raise InputError(f"{path}: the table has no rows")
    table.columns = [str(column).strip() for column in table.columns]
    return table.astype(object).where(table.notna(), None)


def _cell(value: object) -> str | None:
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _column(table: pd.DataFrame, column: str, name: str) -> pd.Series:
    if column not in table:
        hint = nearest(column, table.columns)
        raise InputError(f"{name}: column '{column}' is missing{hint}; columns: {', '.join(table.columns)}")
    return table[column]


def _filled(table: pd.DataFrame, column: str, name: str) -> pd.Series:
    values = _column(table, column, name)
    if values.isna().any():
        raise InputError(f"{name}: row {int(values.isna().to_numpy().argmax()) + 1} has no {column}")
    return values


def _integers(values: pd.Series, column: str, name: str) -> pd.Series:
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = numbers.isna() | (numbers % 1 != 0)
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise InputError(f"{name}: row {row + 1} has {column} '{values.iloc[row]}'; expected an integer")
    return numbers.astype("int64")


def _splits(values: pd.Series, column: str, name: str) -> pd.Series:
    splits = values.map(lambda text: SPLIT_NAMES.get(text.strip().lower()))
    if splits.isna().any():
        row = int(splits.isna().to_numpy().argmax())
        raise InputError(f"{name}: row {row + 1} has {column} '{values.iloc[row]}'; expected train, val or test")
    return splits


@dataclass(frozen=True)
class LabelSpec:
    """A label as the user wrote it: ``NAME``, ``NAME:KIND`` or ``NAME:KIND=class,class``.

    Attributes:
        name: name of the label and, except for ``multilabel``, of its column.
        kind: kind of the label, or None to infer it from the values.
        classes: class names in order, empty to infer them; for ``multilabel``, the names of the columns.
    """

    name: str
    kind: LabelKind | None = None
    classes: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The table columns from which the label is read."""
        return self.classes if self.kind == "multilabel" else (self.name,)


def parse_label(text: str) -> LabelSpec:
    """Parse one label specification.

    Raises:
        InputError: the kind is unknown, or the classes are not allowed for the kind.
    """
    name, colon, rest = text.partition(":")
    kind, equals, listed = rest.partition("=")
    kinds = get_args(LabelKind)
    if not name or (colon and kind not in kinds):
        raise InputError(f"label '{text}': expected NAME or NAME:KIND, where KIND is one of {', '.join(kinds)}")
    if not colon:
        return LabelSpec(name)
    classes = tuple(item.strip() for item in listed.split(",")) if equals else ()
    if equals and (len(set(classes)) != len(classes) or not all(classes)):
        raise InputError(f"label '{text}': class names must be distinct and not empty")
    if kind in ("ordinal", "identity") and classes:
        raise InputError(f"label '{text}': kind {kind} takes no classes; remove them")
    if kind == "multilabel" and not classes:
        raise InputError(f"label '{text}': kind multilabel needs columns; write {name}:multilabel=COLUMN,COLUMN")
    if kind == "binary" and classes and len(classes) != 2:
        raise InputError(f"label '{text}': kind binary takes two classes, the negative one first")
    if kind == "class" and len(classes) == 1:
        raise InputError(f"label '{text}': kind class needs at least two classes")
    return LabelSpec(name, kind, classes)  # pyright: ignore[reportArgumentType]


def read_label(table: pd.DataFrame, spec: LabelSpec, where: str) -> tuple[Label, dict[str, pd.Series]]:
    """Return the label of a specification, and its columns as stored in a manifest.

    If no kind is given, text becomes ``class`` with its distinct values in sorted order, and a column of 0 and 1
    becomes ``binary``. Other numbers could be classes or quantities, so they are rejected.

    Args:
        table: table whose cells are text or None.
        spec: result of :func:`parse_label`; the table must have its columns.
        where: name of the table, for messages.

    Raises:
        InputError: a value is not valid for the label.
    """
    kind = spec.kind or _infer_kind(table[spec.name], spec.name, where)
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
    found = sorted(column.dropna().unique(), key=_number_then_text)
    classes = spec.classes or tuple(found)
    unknown = [value for value in found if value not in classes]
    if unknown:
        row = int((column == unknown[0]).to_numpy().argmax())
        raise InputError(f"{where}: row {row + 1} has {spec.name} '{unknown[0]}'; expected {', '.join(classes)}")
    if len(classes) < 2:
        raise InputError(f"{where}: label '{spec.name}' has {len(classes)} class(es); expected at least two")
    return Label("class", classes), {spec.name: column}


def _infer_kind(column: pd.Series, name: str, where: str) -> LabelKind:
    values = column.dropna()
    if values.empty:
        raise InputError(f"{where}: label '{name}' is empty in every row")
    if pd.to_numeric(values, errors="coerce").isna().any():
        return "class"
    if set(values) <= {"0", "1"}:
        return "binary"
    raise InputError(
        f"{where}: label '{name}' holds numbers; write {name}:ordinal for a quantity or {name}:class for classes"
    )


def _zero_one(column: pd.Series, name: str, classes: tuple[str, ...], where: str) -> pd.Series:
    present = set(column.dropna())
    meaning = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "False": 0, "True": 1, "false": 0, "true": 1}
    if classes and present <= set(classes):
        meaning = {classes[0]: 0, classes[1]: 1}
    # CelebA encodes "no" as -1. In a column that also contains 0, -1 could mean unknown, so the column is rejected.
    elif present <= {"-1", "1"}:
        meaning = {"-1": 0, "1": 1}
    unknown = [value for value in present if value not in meaning]
    if unknown:
        row = int((column == sorted(unknown)[0]).to_numpy().argmax())
        expected = " or ".join(classes) if classes else "0 or 1"
        raise InputError(
            f"{where}: row {row + 1} has {name} '{column.iloc[row]}'; expected {expected}, or an empty cell"
        )
    return column.map(meaning).astype("Int64")


def _numbers(column: pd.Series, name: str, where: str) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = numbers.isna() & column.notna()
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise InputError(f"{where}: row {row + 1} has {name} '{column.iloc[row]}'; expected a number")
    return numbers.astype("float64")


def _number_then_text(value: str) -> tuple[int, float, str]:
    try:
        return (0, float(value), value)
    except ValueError:
        return (1, 0.0, value)


layout = Layout(
    "table",
    "a CSV or Parquet list of images; paths are absolute or relative to its folder",
    read,
    (
        Option("label", tuple, (), "NAME, NAME:KIND, NAME:KIND=class,class or NAME:multilabel=COLUMN,COLUMN"),
        Option("group", tuple, (), "column with a demographic group"),
        Option("path", str, "path", "column with the image files"),
        Option("split", str, None, "column with train, val or test; default: column 'split' if there is one"),
        Option("source", str, None, "column with the person or original video, which stays in one split"),
        Option("video", str, None, "column with the name of a frame's video"),
        Option("frame", str, None, "column with the frame number"),
        Option("method", str, None, "column with the forgery method"),
        Option("dataset", str, None, "name of the data set; default: the folder's name"),
        Option("dataset_column", str, None, "column with the name of the data set"),
        Option("split_fractions", str, DEFAULT, "fractions train,val,test if there is no split column, by source"),
    ),
)
