"""A manifest with fewer training labels, or with a skewed training set; validation and test stay as they are."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from auxface.data.manifest import KEY, Manifest
from auxface.errors import InputError


def forget_labels(manifest: Manifest, task: str, fraction: float) -> Manifest:
    """Empty a label in all but a share of the training rows.

    Which rows keep it depends on their keys alone, and a smaller share is part of a larger one. Of a label with classes
    every class keeps the same share, and at least one row.
    """
    if fraction == 1:
        return manifest
    table = manifest.table.copy()
    label = manifest.labels[task]
    columns = list(label.columns(task))
    training = table["split"] == "train"
    strata = table[task].astype(str) if label.kind in ("class", "binary") else pd.Series("", index=table.index)
    known = training & table[columns].notna().any(axis=1)
    forgotten = []
    for _, rows in table[known].groupby(strata[known]):
        ranked = rows.index[np.argsort(_chances(rows))]
        forgotten += list(ranked[max(1, math.ceil(fraction * len(ranked))) :])
    for column in columns:
        table[column] = table[column].astype(object).where(~table.index.isin(forgotten), None)
        if label.kind in ("binary", "multilabel", "ordinal"):
            table[column] = pd.to_numeric(table[column]).astype("Float64" if label.kind == "ordinal" else "Int64")
    return replace(manifest, table=table)


def skew(manifest: Manifest, keep: Mapping[str, Mapping[str, float]], name: str) -> Manifest:
    """Drop training rows so that of each named level only its share stays.

    Raises:
        InputError: a column or level that the manifest does not have.
    """
    table = manifest.table
    stay = np.ones(len(table), bool)
    chances = _chances(table)
    for column, shares in keep.items():
        if column not in table:
            raise InputError(f"{name}: keep names column '{column}', which the manifest lacks")
        values = table[column].astype(str)
        for level, share in shares.items():
            rows = ((values == level) & (table["split"] == "train")).to_numpy()
            if not rows.any():
                raise InputError(f"{name}: keep names {column} '{level}', which no training row has")
            ranked = np.flatnonzero(rows)[np.argsort(chances[rows])]
            stay[ranked[math.ceil(share * len(ranked)) :]] = False
    return replace(manifest, table=table[stay].reset_index(drop=True))


def _chances(table: pd.DataFrame) -> np.ndarray:
    """A number in [0, 1) for each row, drawn from its key."""
    keys = table[list(KEY)].astype(str).agg("\n".join, axis=1)
    return np.array([int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big") / 2**56 for key in keys])
