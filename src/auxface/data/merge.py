"""Merging of manifests into one with the rows, labels and groups of all of them.

If a manifest lacks a label, the label is unknown in its rows. The column ``dataset`` distinguishes the rows, so
manifests of two data sets never share a sample, a source or a person.

Example::

    merged = merge_manifests(["utkface.parquet", "celeba.parquet"], "faces.parquet")
    merged.rows     # {"utkface.parquet": 6664, "celeba.parquet": 6007}
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from auxface.data.manifest import (
    COLUMNS,
    KEY,
    Label,
    Manifest,
    check_manifest_output,
    read_manifest,
    relative_path,
    write_manifest,
)
from auxface.data.shards.sharded_images import refuse_shards
from auxface.errors import InputError


@dataclass(frozen=True)
class MergedManifest:
    """The result of :func:`merge_manifests`.

    Attributes:
        manifest: merged manifest, as written.
        rows: number of rows from each input.
        known_labels: number of rows in which each label is known (for multilabel, at least one attribute), by label.
        excluded_groups: group columns of each input whose values are not in the merged manifest because another input
            has a label with the same name.
    """

    manifest: Manifest
    rows: Mapping[str, int]
    known_labels: Mapping[str, int]
    excluded_groups: Mapping[str, tuple[str, ...]]


def merge_manifests(manifests: Sequence[str | Path], out: str | Path, *, overwrite: bool = False) -> MergedManifest:
    """Merge manifests whose labels may differ, and write the merged manifest.

    Labels with the same name must have the same kind and classes. If several manifests have the same identity label,
    its values become ``DATASET/VALUE``, since person 7 of one data set is not person 7 of another. If a group column of
    one manifest is a label in another, the label is unknown in the rows of the first manifest, because a group value
    never becomes a label.

    Args:
        manifests: two or more manifests, ``.parquet`` or ``.csv``.
        out: manifest to write, ``.parquet`` or ``.csv``. Paths below its folder become relative, others absolute.
        overwrite: whether to replace ``out`` if it exists.

    Raises:
        InputError: there are fewer than two manifests, the kinds or classes of a label differ, the face crops differ, a
            sample or file is in two manifests, a source is in two splits, or images are in shards.

    Example:
        >>> import auxface
        >>> options = {"count": 20, "size": 64, "seed": 1, "dataset": "more"}
        >>> counts = auxface.prepare("synthetic", "more", out="more.parquet", options=options)
        >>> merged = auxface.merge_manifests(["faces.parquet", "more.parquet"], "all.parquet")
        >>> merged.rows["more.parquet"], merged.known_labels["emotion"]
        (20, 80)
    """
    paths, out = [Path(path) for path in manifests], Path(out)
    if len(paths) < 2:
        raise InputError(f"{len(paths)} manifest given; a merge needs two or more")
    if any(path.resolve() == out.resolve() for path in paths):
        raise InputError(f"{out} is an input of the merge; choose another output")
    check_manifest_output(out, overwrite)
    parts = {str(path): read_manifest(path) for path in paths}
    if len(parts) < len(paths):
        raise InputError("a manifest is named twice; name each manifest once")
    merged = join_manifests(parts)
    table = merged.table.assign(path=[relative_path(path, out) for path in merged.table["path"]])
    merged = replace(merged, table=table, root=out.resolve().parent)
    write_manifest(merged, out)
    owners = _owners(parts)
    excluded = {name: tuple(g for g in part.groups if not _keeps(part, g, owners)) for name, part in parts.items()}
    return MergedManifest(
        merged,
        rows={name: len(part.table) for name, part in parts.items()},
        known_labels={
            name: int(table[list(label.columns(name))].notna().any(axis=1).sum())
            for name, label in merged.labels.items()
        },
        excluded_groups={name: groups for name, groups in excluded.items() if groups},
    )


def join_manifests(parts: Mapping[str, Manifest]) -> Manifest:
    """Return one manifest with the rows of all given manifests, in order and with absolute paths.

    Args:
        parts: manifests by file name; messages use these names.

    Raises:
        InputError: the manifests cannot be merged; see :func:`merge_manifests`.
    """
    labels = _join_labels(parts)
    groups = tuple(dict.fromkeys(group for part in parts.values() for group in part.groups))
    first = next(iter(parts))
    for name, part in parts.items():
        refuse_shards(part, Path(name))
        if part.crop != parts[first].crop:
            raise InputError(
                f"{name}: faces were cropped with {_crop(part)}, but those of {first} with {_crop(parts[first])}; "
                "prepare both with the same --faces options"
            )
    owners = _owners(parts)
    shared = {name for name, what in labels.items() if what.kind == "identity"}
    shared = {name for name in shared if sum(name in part.labels for part in parts.values()) > 1}
    tables = [_rows(part, owners, shared) for part in parts.values()]
    table = pd.concat(tables, ignore_index=True)
    table = table.reindex(columns=[*COLUMNS, *dict.fromkeys((*owners, *groups))])
    for column in table.columns[len(COLUMNS) :]:
        label = labels.get(owners.get(column, ""))
        if label is not None and label.kind in ("binary", "multilabel"):
            table[column] = pd.to_numeric(table[column]).astype("Int64")
        elif pd.api.types.is_numeric_dtype(table[column]):
            continue
        elif pd.api.types.infer_dtype(table[column], skipna=True).startswith("mixed"):
            table[column] = table[column].map(str, na_action="ignore")
    _check_rows(table, {name: part.table.index for name, part in parts.items()})
    return Manifest(table, labels, groups, parts[first].crop)


def _join_labels(parts: Mapping[str, Manifest]) -> dict[str, Label]:
    labels: dict[str, Label] = {}
    stated: dict[str, str] = {}
    for file, part in parts.items():
        for name, label in part.labels.items():
            known = labels.setdefault(name, label)
            if stated.setdefault(name, file) == file:
                continue
            if known.kind != label.kind:
                raise InputError(
                    f"{file}: label '{name}' is {label.kind}, but {known.kind} in {stated[name]}; labels with the "
                    "same name must have the same kind; prepare one of them under another name"
                )
            # Class names are stored as text; a binary label is stored as 0 and 1, so their order matters.
            equal = label.classes == known.classes if label.kind == "binary" else {*label.classes} == {*known.classes}
            if not equal:
                raise InputError(
                    f"{file}: label '{name}' has the classes {', '.join(label.classes)}, but "
                    f"{', '.join(known.classes)} in {stated[name]}; prepare both with the same classes"
                )
    return labels


def _owners(parts: Mapping[str, Manifest]) -> dict[str, str]:
    """Return the label to which each label column belongs.

    Raises:
        InputError: a column belongs to two labels.
    """
    owners: dict[str, str] = {}
    for file, part in parts.items():
        for name, label in part.labels.items():
            for column in label.columns(name):
                if owners.setdefault(column, name) != name:
                    raise InputError(
                        f"{file}: column '{column}' belongs to label '{name}', and to label '{owners[column]}' in "
                        "another manifest; prepare one of the labels under another name"
                    )
    return owners


def _rows(part: Manifest, owners: Mapping[str, str], shared_identities: set[str]) -> pd.DataFrame:
    """Return the rows of a manifest with absolute paths and only its own labels and groups."""
    kept = (*COLUMNS, *_label_columns(part), *(group for group in part.groups if _keeps(part, group, owners)))
    table = part.table[list(dict.fromkeys(kept))].copy()
    table["path"] = [os.path.abspath(path) for path in part.paths()]
    for name in shared_identities & part.labels.keys():
        values = table[name].map(lambda value: str(value), na_action="ignore")
        table[name] = (table["dataset"] + "/" + values).where(values.notna(), None)
    # Integers with missing values would become floats, which would also change their text in a CSV file.
    integers = [column for column in table.columns if pd.api.types.is_integer_dtype(table[column])]
    table = table.astype(dict.fromkeys(set(integers) - {"frame"}, "Int64"))
    # A column without values has no type of its own, but would determine the type of the merged column.
    return table.dropna(axis=1, how="all").assign(**{column: table[column] for column in COLUMNS})


def _keeps(part: Manifest, group: str, owners: Mapping[str, str]) -> bool:
    """Return whether a group column is kept; it is dropped if it is a label column of other manifests only."""
    return group not in owners or group in _label_columns(part)


def _label_columns(part: Manifest) -> list[str]:
    return [column for name, label in part.labels.items() for column in label.columns(name)]


def _crop(part: Manifest) -> str:
    return "no crop" if part.crop is None else ", ".join(f"{key} {value}" for key, value in part.crop.items())


def _check_rows(table: pd.DataFrame, rows: Mapping[str, pd.Index]) -> None:
    """Check that the manifests share no samples or files, and that every source is in one split."""
    files = np.repeat(np.arange(len(rows)), list(map(len, rows.values())))
    within = np.concatenate(list(rows.values()))

    def place(row: int) -> str:
        return f"{[*rows][files[row]]}: row {within[row] + 1}"

    for columns, what in ((list(KEY), "the key"), (["path"], "the file")):
        first = _first_row(table, columns)
        wrong = np.flatnonzero(files[first] != files)
        if len(wrong):
            row = int(wrong[0])
            stated = ", ".join(f"{column}={table[column][row]}" for column in columns)
            raise InputError(
                f"{place(row)} has {what} of {place(int(first[row]))} ({stated}); remove one of the two rows, "
                "or give the data sets different names"
            )
    first = _first_row(table, ["dataset", "source"])
    split = table["split"].to_numpy()
    wrong = np.flatnonzero(split[first] != split)
    if len(wrong):
        row, other = int(wrong[0]), int(first[wrong[0]])
        raise InputError(
            f"{place(row)} has source '{table['source'][row]}' of {table['dataset'][row]} in split {split[row]}, and "
            f"{place(other)} has it in split {split[other]}; move all rows of a source to one split"
        )


def _first_row(table: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """Return, for each row, the index of the first row with the same values in these columns, int64 [N]."""
    number = table.groupby(columns, sort=False, dropna=False).ngroup().to_numpy()
    return np.unique(number, return_index=True)[1][number]
