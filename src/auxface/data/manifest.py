"""The manifest, a table with one row per image or clip and a header that declares label and group columns.

The file is Parquet with a JSON header under the schema's metadata key ``auxface``, or CSV with the same header in
``NAME.json`` next to it. docs/formats.md describes the format.

Example::

    manifest = read_manifest(Path("faces.parquet"))
    manifest.labels["emotion"].classes   # ("neutral", "happy", ...)
    manifest.only("val").paths()         # files of the validation split
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from auxface.atomic import atomic_file, refuse_existing
from auxface.errors import InputError
from auxface.evaluation.csv_cells import escape_cells, restore_cells
from auxface.evaluation.parquet_tables import MOST_BYTES, decode_dictionaries, read_parquet
from auxface.evaluation.predictions import TableError

LabelKind = Literal["class", "binary", "multilabel", "ordinal", "identity"]
Split = Literal["train", "val", "test"]

SPLITS: tuple[str, ...] = get_args(Split)
KEY: tuple[str, ...] = ("dataset", "method", "source", "video", "frame")
COLUMNS: tuple[str, ...] = ("path", "split", *KEY)
VERSION = 1
MAX_ROWS = 50_000_000


@dataclass(frozen=True)
class Label:
    """The kind and classes of a label.

    Attributes:
        kind: ``class`` (one class name per row), ``binary`` (0 or 1), ``multilabel`` (one 0/1 column per class, named
            after the class), ``ordinal`` (a number) or ``identity`` (a name or number). Empty cells are unknown.
        classes: class names in order; (negative, positive) for ``binary``; empty for ``ordinal`` and ``identity``.
    """

    kind: LabelKind
    classes: tuple[str, ...] = ()

    def columns(self, name: str) -> tuple[str, ...]:
        """Return the names of the table columns that hold a label of this kind with the given name."""
        return self.classes if self.kind == "multilabel" else (name,)


@dataclass(frozen=True)
class Manifest:
    """A table of images or clips and its header.

    Attributes:
        table: table with the columns :data:`COLUMNS`, followed by the label and group columns. ``video`` and ``method``
            may be "". Without a video, ``frame`` numbers the images of a source.
        labels: description of each label, by name.
        groups: names of the columns with demographic groups, which are used only for evaluation.
        crop: settings with which faces were cropped, or None if the images were used unchanged.
        root: folder to which relative paths refer.
    """

    table: pd.DataFrame
    labels: Mapping[str, Label]
    groups: tuple[str, ...] = ()
    crop: Mapping[str, Any] | None = None
    root: Path = field(default_factory=Path)

    def only(self, split: str) -> "Manifest":
        """Return a manifest with the rows of one split.

        Raises:
            InputError: the split has no rows.
        """
        rows = self.table[self.table["split"] == split]
        if rows.empty:
            have = ", ".join(f"{name} {count}" for name, count in self.table["split"].value_counts().items()) or "none"
            raise InputError(f"the manifest has no rows in split '{split}' (splits: {have})")
        return replace(self, table=rows.reset_index(drop=True))

    def paths(self) -> list[Path]:
        """Return the path of each row's file, with relative paths joined to ``root``."""
        return [self.root / path for path in self.table["path"]]

    @property
    def hash(self) -> str:
        """Return the SHA-256 of the header and rows, which is independent of file format and folder location."""
        digest = hashlib.sha256(json.dumps(header(self), sort_keys=True).encode())
        digest.update(self.table.astype(str).to_csv(index=False).encode())
        return digest.hexdigest()


def header(manifest: Manifest) -> dict[str, Any]:
    """Return the header as plain JSON with the keys version, labels, groups and crop."""
    labels: dict[str, Any] = {}
    for name, label in manifest.labels.items():
        labels[name] = {"kind": label.kind} | ({"classes": list(label.classes)} if label.classes else {})
    return {"version": VERSION, "labels": labels, "groups": list(manifest.groups), "crop": manifest.crop}


def check_manifest_output(path: Path, overwrite: bool) -> None:
    """Check that a manifest, and the JSON header of a CSV manifest, may be written to ``path``.

    Raises:
        InputError: the suffix is neither ``.parquet`` nor ``.csv``; the output exists and ``overwrite`` is false; or
            the header would replace a file that is not a manifest header.
    """
    if path.suffix not in (".parquet", ".csv"):
        raise InputError(f"{path}: the name of a manifest must end in .parquet or .csv")
    refuse_existing(path, overwrite)
    beside = path.with_suffix(".json")
    if path.suffix == ".csv" and os.path.lexists(beside):
        try:
            known = {"version", "labels", "groups"} <= set(json.loads(beside.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            known = False
        if not known:
            raise InputError(
                f"{beside} is not a manifest header and would be replaced by the header of {path.name}; move it "
                "elsewhere or choose another output"
            )
        refuse_existing(beside, overwrite)


def write_manifest(manifest: Manifest, path: Path) -> None:
    """Write a manifest as Parquet, or as CSV with a JSON header next to it, depending on the suffix of ``path``.

    The manifest is validated first. Relative paths in the table must be relative to the folder of ``path``.

    Raises:
        InputError: the suffix is neither ``.parquet`` nor ``.csv``, or the manifest is not valid.
    """
    check_manifest(manifest, str(path))
    if path.suffix == ".parquet":
        table = pa.Table.from_pandas(manifest.table, preserve_index=False)
        metadata = {**(table.schema.metadata or {}), b"auxface": json.dumps(header(manifest)).encode()}
        with atomic_file(path) as temporary:
            pq.write_table(table.replace_schema_metadata(metadata), temporary)
    elif path.suffix == ".csv":
        with atomic_file(path.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(header(manifest), indent=1) + "\n")
        with atomic_file(path) as temporary:
            escape_cells(manifest.table).to_csv(temporary, index=False)
    else:
        raise InputError(f"{path}: the name of a manifest must end in .parquet or .csv")


def relative_path(path: str, manifest: Path) -> str:
    """Return a path relative to a manifest's folder if it is absolute and below that folder, otherwise unchanged."""
    folder = os.path.abspath(manifest.parent)
    inside = os.path.commonpath([folder, path]) == folder
    return Path(os.path.relpath(path, folder)).as_posix() if inside else path


def read_manifest(path: Path, *, allow_leaks: bool = False) -> Manifest:
    """Read and validate a manifest.

    Args:
        path: ``.parquet`` or ``.csv`` file, or a folder of shards, which contains its manifest.
        allow_leaks: whether to accept sources in more than one split, for inspection.

    Raises:
        InputError: the file is missing, is not a manifest, or violates a rule of the format.
    """
    path = Path(path)
    if (path / "shards.json").is_file():
        path = path / "manifest.parquet"
    elif path.is_dir():
        raise InputError(
            f"{path}: neither a manifest nor a complete folder of shards from 'auxface data shard' (shards.json is "
            "missing)"
        )
    if not path.is_file():
        raise InputError(f"{path}: no such manifest; write one with 'auxface prepare'")
    if path.suffix not in (".parquet", ".csv"):
        raise InputError(f"{path}: the name of a manifest must end in .parquet or .csv")
    table, raw = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    labels, groups, crop = _parse_header(raw, path)
    for name in ("dataset", "method", "source", "video"):
        if name in table.columns:
            table[name] = table[name].fillna("").astype(str)
    manifest = Manifest(table, labels, groups, crop, path.resolve().parent)
    _check_rows(manifest, str(path))
    if not allow_leaks:
        _check_sources(table, str(path))
    return manifest


def check_manifest(manifest: Manifest, name: str) -> None:
    """Check all rules of the format: columns, splits, class names, unique keys, and one split per source.

    Args:
        manifest: manifest to check.
        name: name of the file, for messages.

    Raises:
        InputError: a rule is violated; the message names the first violation.
    """
    _check_rows(manifest, name)
    _check_sources(manifest.table, name)


def _check_rows(manifest: Manifest, name: str) -> None:
    table = manifest.table
    label_columns = [column for label, what in manifest.labels.items() for column in what.columns(label)]
    for column in (*COLUMNS, *label_columns, *manifest.groups):
        if column not in table.columns:
            raise InputError(f"{name}: column '{column}' is missing; columns: {', '.join(map(str, table.columns))}")
    if table.empty:
        raise InputError(f"{name}: the manifest has no rows")
    _check_cells(table, name)
    wrong = table.loc[~table["split"].isin(SPLITS), "split"]
    if len(wrong):
        raise InputError(f"{name}: row {wrong.index[0] + 1} has split '{wrong.iloc[0]}'; expected train, val or test")
    for label, what in manifest.labels.items():
        _check_label(table, label, what, name)
    repeated = table.duplicated(list(KEY))
    if repeated.any():
        row = int(repeated.to_numpy().argmax())
        key = ", ".join(f"{column}={table[column].iloc[row]}" for column in KEY)
        raise InputError(
            f"{name}: row {row + 1} repeats the key of an earlier row ({key}); give each image its own source, "
            "video or frame"
        )


def _check_cells(table: pd.DataFrame, name: str) -> None:
    texts = pd.api.types.infer_dtype(table["path"], skipna=True) == "string"
    if not texts or table["path"].isna().any() or (table["path"] == "").any():
        good = np.array([isinstance(path, str) and path != "" for path in table["path"]])
        row = table.index[~good][0]
        raise InputError(f"{name}: row {row + 1} has path {table['path'][row]!r}; expected a file name")
    if not pd.api.types.is_integer_dtype(table["frame"]) or table["frame"].isna().any():
        raise InputError(f"{name}: column 'frame' must hold an integer in every row")


def _check_label(table: pd.DataFrame, label: str, what: Label, name: str) -> None:
    if what.kind not in get_args(LabelKind):
        raise InputError(f"{name}: label '{label}' has kind '{what.kind}'; expected {', '.join(get_args(LabelKind))}")
    count = len(what.classes)
    if not {"binary": count == 2, "ordinal": count == 0, "identity": count == 0}.get(what.kind, count >= 1):
        raise InputError(
            f"{name}: label '{label}' is {what.kind} and has {count} classes; expected two for binary, at "
            "least one for class and multilabel, and none for ordinal and identity"
        )
    if len(set(what.classes)) != len(what.classes):
        raise InputError(f"{name}: label '{label}' lists a class twice")
    if what.kind == "class":
        known = table[label].isna() | table[label].isin(what.classes)
        if not known.all():
            row = table.index[~known][0]
            raise InputError(
                f"{name}: row {row + 1} has {label} '{table[label][row]}'; expected one of its classes "
                f"({', '.join(what.classes)})"
            )
    if what.kind in ("binary", "multilabel"):
        for column in what.columns(label):
            known = table[column].isna() | table[column].isin([0, 1])
            if not known.all():
                row = table.index[~known][0]
                raise InputError(
                    f"{name}: row {row + 1} has {column} '{table[column][row]}'; expected 0, 1 or an empty cell"
                )
    if what.kind == "ordinal" and not pd.api.types.is_numeric_dtype(table[label]):
        raise InputError(f"{name}: label '{label}' is ordinal, but its column is not numeric")
    if what.kind == "ordinal":
        infinite = np.isinf(table[label].to_numpy(dtype=np.float64, na_value=np.nan))
        if infinite.any():
            raise InputError(
                f"{name}: row {int(infinite.argmax()) + 1} has {label} '{table[label].iloc[int(infinite.argmax())]}'; "
                "expected a finite number or an empty cell"
            )


def _check_sources(table: pd.DataFrame, name: str) -> None:
    shared = sources_in_several_splits(table)
    if len(shared):
        first = shared.iloc[0]
        raise InputError(
            f"{name}: source '{first['source']}' of {first['dataset']} is in more than one split ({len(shared)} such "
            "sources); move all rows of a source to one split"
        )


def sources_in_several_splits(table: pd.DataFrame) -> pd.DataFrame:
    """Return the sources in more than one split as a table with the columns dataset, source, splits and rows."""
    parts = table[["dataset", "source", "split"]].drop_duplicates()
    parts = parts[parts.duplicated(["dataset", "source"], keep=False)]
    columns = ["dataset", "source", "splits", "rows"]
    if parts.empty:
        return pd.DataFrame(columns=columns)
    rows = table.groupby(["dataset", "source"], sort=False).size().rename("rows")
    joined = parts.groupby(["dataset", "source"], sort=False)["split"].agg(" ".join).rename("splits")
    return joined.to_frame().join(rows).reset_index()[columns]


def _read_parquet(path: Path) -> tuple[pd.DataFrame, Any]:
    try:
        count, schema = pq.read_metadata(path).num_rows, pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({_first_line(error)})") from None
    if count > MAX_ROWS:
        raise InputError(f"{path}: the manifest has {count} rows; at most {MAX_ROWS} are read")
    text = (schema.metadata or {}).get(b"auxface")
    if text is None:
        raise InputError(f"{path}: the header 'auxface' is missing; write a manifest with 'auxface prepare table'")
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{path}: the manifest's header is not valid JSON") from None
    labels, groups, _ = _parse_header(raw, path)
    declared = _declared_columns(labels, groups)
    names = [name for name in schema.names if name in declared]
    for name, kind in zip(schema.names, schema.types):
        nested = pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
        if name in declared and nested:
            raise InputError(f"{path}: column '{name}' holds {kind} values; expected text or numbers")
    try:
        table = decode_dictionaries(read_parquet(path, names), path)
        return table.to_pandas(), raw
    except TableError as error:
        raise InputError(str(error)) from None
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({_first_line(error)})") from None


def _declared_columns(labels: Mapping[str, Label], groups: Sequence[str]) -> set[str]:
    return {*COLUMNS, *groups, *(column for name, what in labels.items() for column in what.columns(name))}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _read_csv(path: Path) -> tuple[pd.DataFrame, Any]:
    beside = path.with_suffix(".json")
    if not beside.is_file():
        raise InputError(f"{path}: its header {beside.name} is missing; write a manifest with 'auxface prepare table'")
    try:
        raw = json.loads(beside.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError):
        raise InputError(f"{beside}: not valid JSON") from None
    labels, groups, _ = _parse_header(raw, beside)
    if path.stat().st_size > MOST_BYTES:
        raise InputError(
            f"{path}: {path.stat().st_size} bytes; a CSV manifest may have at most {MOST_BYTES} bytes; use Parquet"
        )
    names = {name for name, what in labels.items() if what.kind in ("class", "identity")} | set(groups)
    declared = _declared_columns(labels, groups)
    texts = _with_escaped({"path", "split", "dataset", "source", "video", "method"} | names)
    used = _with_escaped(declared)
    try:
        table = pd.read_csv(
            path, dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values=[""], usecols=used.__contains__
        )  # fmt: skip
        return restore_cells(table), raw
    except (ValueError, OSError, OverflowError, pd.errors.ParserError) as error:
        raise InputError(f"{path}: not a readable CSV table ({_first_line(error)})") from None


def _with_escaped(names: set[str]) -> set[str]:
    return names | set(escape_cells(pd.DataFrame(columns=list(names))).columns)


def _parse_header(raw: Any, path: Path) -> tuple[dict[str, Label], tuple[str, ...], dict[str, Any] | None]:
    if not isinstance(raw, dict) or raw.get("version") != VERSION:
        found = repr(raw.get("version"))[:40] if isinstance(raw, dict) else "none"
        raise InputError(f"{path}: the manifest's header has version {found}; expected {VERSION}")
    try:
        labels = {name: Label(what["kind"], _names(what.get("classes", []))) for name, what in raw["labels"].items()}
        groups = tuple(dict.fromkeys(_names(raw.get("groups", []))))
        crop = raw.get("crop")
        if crop is not None and not isinstance(crop, dict):
            raise TypeError
    except (KeyError, TypeError, AttributeError):
        raise InputError(
            f"{path}: the header's labels, groups or crop are not in the format that docs/formats.md specifies"
        ) from None
    return labels, groups, crop


def _names(listed: Any) -> tuple[str, ...]:
    if not isinstance(listed, list) or not all(isinstance(name, (str, int)) and name != "" for name in listed):
        raise TypeError
    return tuple(map(str, listed))
