"""Reduce the training split of a manifest: use fewer labels, or fewer rows of some group levels.

Validation and test rows are never changed. Which rows are kept depends on the keys of the rows alone, so every machine
keeps the same ones, and a smaller fraction is a subset of a larger one.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from auxface.data.manifest import KEY, Manifest
from auxface.errors import InputError


def drop_labels(manifest: Manifest, task: str, fraction: float) -> Manifest:
    """Return the manifest with the labels of a task in a fraction of the training rows alone.

    The rows stay, so that an auxiliary objective can use their images. Each class of a class or binary label keeps the
    same fraction, and at least one row.
    """
    if fraction == 1:
        return manifest
    table = manifest.table.copy()
    label = manifest.labels[task]
    columns = list(label.columns(task))
    training = table["split"] == "train"
    strata = table[task].astype(str) if label.kind in ("class", "binary") else pd.Series("", index=table.index)
    labeled = training & table[columns].notna().any(axis=1)
    dropped = []
    for _, rows in table[labeled].groupby(strata[labeled]):
        ranked = rows.index[np.argsort(_uniform_numbers(rows))]
        dropped += list(ranked[max(1, math.ceil(fraction * len(ranked))) :])
    for column in columns:
        table[column] = table[column].astype(object).where(~table.index.isin(dropped), None)
        if label.kind in ("binary", "multilabel", "ordinal"):
            table[column] = pd.to_numeric(table[column]).astype("Float64" if label.kind == "ordinal" else "Int64")
    return replace(manifest, table=table)


def subsample_levels(manifest: Manifest, keep: Mapping[str, Mapping[str, float]], name: str) -> Manifest:
    """Return the manifest with a fraction of the training rows of the given levels.

    Args:
        manifest: the manifest.
        keep: column to level to the fraction of its training rows to keep.
        name: the data set, for messages.

    Raises:
        InputError: a column or a level that the manifest does not have.
    """
    table = manifest.table
    kept = np.ones(len(table), bool)
    numbers = _uniform_numbers(table)
    for column, fractions in keep.items():
        if column not in table:
            raise InputError(
                f"{name}: 'keep' names the column '{column}', which the manifest does not have; "
                f"columns: {', '.join(map(str, table))}"
            )
        values = table[column].astype(str)
        for level, fraction in fractions.items():
            rows = ((values == level) & (table["split"] == "train")).to_numpy()
            if not rows.any():
                raise InputError(f"{name}: 'keep' names {column} '{level}', which no training row has")
            ranked = np.flatnonzero(rows)[np.argsort(numbers[rows])]
            kept[ranked[math.ceil(fraction * len(ranked)) :]] = False
    return replace(manifest, table=table[kept].reset_index(drop=True))


def _uniform_numbers(table: pd.DataFrame) -> np.ndarray:
    """Return a number in [0, 1) for each row, hashed from its key."""
    keys = table[list(KEY)].astype(str).agg("\n".join, axis=1)
    return np.array([int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big") / 2**56 for key in keys])
