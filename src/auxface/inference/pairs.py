"""Read pairs of images for verification from LFW's pairs.txt or a table, or form all pairs for an identity label.

Example::

    table = read_pairs(Path("pairs.txt"), read_manifest(Path("lfw.parquet")).only("test"))
    table["same"].mean()
"""

from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import pyarrow as pa

from auxface import evaluation
from auxface.data.layouts.face_attributes import read_lfw_pairs
from auxface.data.manifest import Manifest
from auxface.errors import InputError
from auxface.evaluation.parquet_tables import read_whole_parquet
from auxface.evaluation.predictions import TableError

_KNOWN = {"0": False, "1": True, "false": False, "true": True, "False": False, "True": True}


def read_pairs(pairs: Path | str, manifest: Manifest) -> pd.DataFrame:
    """Return pairs of rows of a manifest as a table with columns first, second, same and fold (-1 without folds).

    Args:
        pairs: path of a pair file, or name of an identity label; see :func:`auxface.inference.verify.verify`.
        manifest: manifest rows of one split.

    Raises:
        InputError: the file is invalid or names an image that is not in the manifest, or the label is not of kind
            identity.
    """
    label = manifest.labels.get(str(pairs))
    if label is not None:
        if label.kind != "identity":
            raise InputError(
                f"--pairs {pairs}: label '{pairs}' is of kind '{label.kind}'; expected a label of kind 'identity' or a "
                "pair file"
            )
        known = np.flatnonzero(manifest.table[str(pairs)].notna())
        people = manifest.table[str(pairs)].iloc[known].astype(str).to_numpy()
        first, second = evaluation.all_pairs(people)
        same = people[first] == people[second]
        return pd.DataFrame({"first": known[first], "second": known[second], "same": same, "fold": -1})
    path = Path(pairs)
    if not path.is_file():
        labels = ", ".join(name for name, each in manifest.labels.items() if each.kind == "identity") or "none"
        raise InputError(f"--pairs {pairs}: neither a file nor an identity label (identity labels: {labels})")
    found = read_lfw_pairs(path) if path.suffix.lower() == ".txt" else _read_table(path)
    if {"source_a", "frame_a", "source_b", "frame_b", "same"} <= set(found.columns):
        return _from_names(found, manifest, path)
    missing = [name for name in ("path1", "path2", "same") if name not in found.columns]
    if missing:
        raise InputError(f"{path}: column '{missing[0]}' is missing; expected path1, path2, same and optionally fold")
    rows = _rows_by_path(manifest, [*found["path1"].astype(str), *found["path2"].astype(str)], path)
    return _numbered(found, rows, path)


def _read_table(path: Path) -> pd.DataFrame:
    try:
        if path.suffix.lower() == ".parquet":
            return read_whole_parquet(path).to_pandas()
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except TableError as error:
        raise InputError(str(error)) from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{path}: not a table of pairs ({str(error).splitlines()[0]})") from None


def _from_names(found: pd.DataFrame, manifest: Manifest, path: Path) -> pd.DataFrame:
    """Find images by LFW's names and numbers, matched to file names (such as Ann_Lee_0001) or to sources and frames."""
    for column in ("frame_a", "frame_b"):
        wrong = pd.to_numeric(found[column], errors="coerce").fillna(0.5) % 1 != 0
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            raise InputError(f"{path}: row {row + 1} has {column} '{found[column].iloc[row]}'; expected an integer")
    sides = [*zip(found["source_a"], found["frame_a"]), *zip(found["source_b"], found["frame_b"])]
    by_stem = {PurePosixPath(str(each)).stem: row for row, each in enumerate(manifest.table["path"])}
    stems = [by_stem.get(f"{name}_{int(number):04d}") for name, number in sides]
    keys = zip(manifest.table["source"].astype(str), manifest.table["frame"].astype(int))
    by_key = {key: row for row, key in enumerate(keys)}
    keyed = [by_key.get((str(name), int(number))) for name, number in sides]
    rows = keyed if None in stems and keyed.count(None) < stems.count(None) else stems
    if None in rows:
        place = rows.index(None)
        name, number = sides[place]
        row = place % len(found) + 1
        raise InputError(f"{path}: row {row}: the split of the manifest has no image {number} of {name}")
    return _numbered(found, [row for row in rows if row is not None], path)


def _rows_by_path(manifest: Manifest, wanted: list[str], path: Path) -> list[int]:
    """Return the row of each image, given the paths of the first images of all pairs and then of the second images.

    A path must equal a path in the manifest or be a suffix of exactly one such path.
    """
    parts = [PurePosixPath(Path(each).as_posix()).parts for each in manifest.table["path"]]
    by_end: dict[int, dict[tuple[str, ...], list[int]]] = {}
    rows: list[int] = []
    for place, each in enumerate(wanted):
        own = PurePosixPath(each).parts
        if len(own) not in by_end:
            ends = by_end[len(own)] = {}
            for row, known in enumerate(parts):
                ends.setdefault(known[-len(own) :], []).append(row)
        found = by_end[len(own)].get(own, [])
        if len(found) != 1:
            how = (
                "is not in this split of the manifest" if not found else f"matches {len(found)} images of the manifest"
            )
            row = place % (len(wanted) // 2) + 1
            raise InputError(f"{path}: row {row}: image '{each}' {how}; write its path as in the manifest")
        rows.append(found[0])
    return rows


def _numbered(found: pd.DataFrame, rows: list[int], path: Path) -> pd.DataFrame:
    same = found["same"].astype(str).map(_KNOWN)
    if same.isna().any():
        row = int(same.isna().to_numpy().argmax())
        raise InputError(f"{path}: row {row + 1} has same '{found['same'].iloc[row]}'; expected 0 or 1")
    column = next((name for name in ("fold", "lfw_fold") if name in found.columns), None)
    half = len(rows) // 2
    fold = -1 if column is None else pd.factorize(found[column])[0]
    same = same.astype(bool).to_numpy()
    return pd.DataFrame({"first": rows[:half], "second": rows[half:], "same": same, "fold": fold})
