"""``table``: any CSV or Parquet list of pictures, with labels and groups named on the command line."""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from auxface.data.label_columns import parse_label, read_label
from auxface.data.layouts.registry import Layout, Listing, Option
from auxface.data.manifest import KEY, Label
from auxface.data.splits import DEFAULT, parse_fractions, split_by_source
from auxface.errors import InputError

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


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
    """Read the table at ``root``; every option is described in :data:`layout`."""
    table = read_text_table(root)
    name = str(root)
    folder = Path(os.path.abspath(root)).parent
    rows = pd.DataFrame({"path": [str(folder / text) for text in _filled(table, path, name)]})

    # A column named as the manifest names it is taken without being asked for.
    columns = {"source": source, "video": video, "frame": frame, "method": method, "dataset": dataset_column}
    taken = {key: given or key for key, given in columns.items() if given or key in table}
    for key, default in (("dataset", dataset or folder.name), ("method", ""), ("video", "")):
        named = key in taken and not (key == "dataset" and dataset)
        rows[key] = _column(table, taken[key], name).fillna("") if named else default
    rows["source"] = _filled(table, taken.get("source", path), name)
    if "frame" in taken:
        rows["frame"] = _whole_numbers(_filled(table, taken["frame"], name), taken["frame"], name)
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
        # A column may be both: a label keeps the type that it was read as.
        if column not in rows:
            rows[column] = _column(table, column, name)
    return Listing(rows, labels, tuple(dict.fromkeys(group)))


def read_text_table(path: Path) -> pd.DataFrame:
    """A CSV or Parquet table with every cell as text, or None where it is empty.

    Raises:
        InputError: no such file, or not a readable table.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such table; expected a .csv or .parquet file")
    if path.suffix == ".parquet":
        try:
            table = pq.read_table(path).to_pandas()
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path}: not a readable Parquet table ({str(error).splitlines()[0]})") from None
        table = table.apply(lambda column: column.map(_cell))
    else:
        separator = "\t" if path.suffix == ".tsv" else ","
        try:
            table = pd.read_csv(
                path, dtype=str, keep_default_na=False, na_values=[""], sep=separator, encoding="utf-8-sig"
            )
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
        near = difflib.get_close_matches(column, table.columns, 1)
        hint = f"did you mean '{near[0]}'" if near else f"it has {', '.join(table.columns)}"
        raise InputError(f"{name}: column '{column}' is missing; {hint}")
    return table[column]


def _filled(table: pd.DataFrame, column: str, name: str) -> pd.Series:
    values = _column(table, column, name)
    if values.isna().any():
        raise InputError(f"{name}: row {int(values.isna().to_numpy().argmax()) + 1} has no {column}")
    return values


def _whole_numbers(values: pd.Series, column: str, name: str) -> pd.Series:
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = numbers.isna() | (numbers % 1 != 0)
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise InputError(f"{name}: row {row + 1} has {column} '{values.iloc[row]}'; expected a whole number")
    return numbers.astype("int64")


def _splits(values: pd.Series, column: str, name: str) -> pd.Series:
    splits = values.map(lambda text: SPLIT_NAMES.get(text.strip().lower()))
    if splits.isna().any():
        row = int(splits.isna().to_numpy().argmax())
        raise InputError(f"{name}: row {row + 1} has {column} '{values.iloc[row]}'; expected train, val or test")
    return splits


layout = Layout(
    "table",
    "a CSV or Parquet list of pictures; relative paths start from its folder",
    read,
    (
        Option("label", tuple, (), "NAME, NAME:KIND, NAME:KIND=class,class or NAME:multilabel=COLUMN,COLUMN"),
        Option("group", tuple, (), "column that says which group of people a row belongs to"),
        Option("path", str, "path", "column of the pictures"),
        Option("split", str, None, "column with train, val or test; 'split' where the table has it"),
        Option("source", str, None, "column that splits must not cross: person, original video or photograph"),
        Option("video", str, None, "column that names the video of a frame"),
        Option("frame", str, None, "column with the frame's number"),
        Option("method", str, None, "column with the forgery method"),
        Option("dataset", str, None, "name of the data set; otherwise the folder's"),
        Option("dataset_column", str, None, "column with the data set's name"),
        Option("split_fractions", str, DEFAULT, "train,val,test where there is no split column, drawn by source"),
    ),
)
