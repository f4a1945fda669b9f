"""Reduce the training split of a manifest: use fewer labels, or fewer rows of some group levels.

Validation and test rows are never changed. The rows that are kept depend on the keys of the rows and, for labels, on
the seed of the run, so every machine keeps the same rows. The rows for a smaller fraction are a subset of the rows for
a larger fraction.

Example:
    fewer = drop_labels(manifest, ["gender"], 0.05, seed=0)
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from auxface.data.manifest import KEY, Label, Manifest
from auxface.errors import InputError

# Number of parts into which the range of an ordinal label is divided; each part has the same number of rows.
_QUANTILES = 10
# Number of candidate rows from which the next row of a multilabel subset is chosen.
_CANDIDATES = 32


def drop_labels(manifest: Manifest, tasks: Sequence[str], fraction: float, seed: int) -> Manifest:
    """Return a manifest in which only a fraction of the training rows keep their labels of the tasks.

    Rows without the label remain in the manifest, so that an auxiliary objective can use their images. The subset is
    stratified: each class of a class or binary label, and each tenth of the rows ordered by an ordinal label, keeps the
    same fraction and at least one row. For a multilabel task, the attribute frequencies in the subset are nearly the
    same as in all rows (:func:`_balanced_order`). With several tasks, the subset is chosen by the first one, and the
    same rows keep all of their labels.

    Args:
        manifest: the manifest.
        tasks: names of the labels.
        fraction: fraction of the labeled training rows that keep their label, above 0.
        seed: seed of the run; different seeds keep different rows.
    """
    if fraction == 1:
        return manifest
    table = manifest.table.copy()
    label = manifest.labels[tasks[0]]
    columns = list(label.columns(tasks[0]))
    rows = table[(table["split"] == "train") & table[columns].notna().any(axis=1)]
    rows = rows.iloc[np.argsort(_uniform_numbers(rows, seed))]
    if label.kind == "multilabel":
        ordered = [rows.index[_balanced_order(rows[columns].to_numpy(dtype=np.float64, na_value=np.nan))]]
    else:
        ordered = [part.index for _, part in rows.groupby(_strata(rows[tasks[0]], label), sort=True)]
    dropped = [row for part in ordered for row in part[max(1, math.ceil(fraction * len(part))) :]]
    for task in tasks:
        kind = manifest.labels[task].kind
        for column in manifest.labels[task].columns(task):
            table[column] = table[column].astype(object).where(~table.index.isin(dropped), None)
            if kind in ("binary", "multilabel", "ordinal"):
                table[column] = pd.to_numeric(table[column]).astype("Float64" if kind == "ordinal" else "Int64")
    return replace(manifest, table=table)


def _strata(values: pd.Series, label: Label) -> pd.Series:
    if label.kind == "ordinal":
        # Rows with equal values are in the same stratum.
        return (values.astype(float).rank(method="min", pct=True) * _QUANTILES).apply(np.ceil)
    return values.astype(str)


def _balanced_order(labels: np.ndarray) -> np.ndarray:
    """Return an order of rows in which the first n rows have nearly the attribute frequencies of all rows, for every n.

    Rows are appended one by one. Each row is chosen from the next 32 rows so that the numbers of positives are closest
    to their expectations, measured in standard deviations of each attribute (herding; Welling, 2009).

    Args:
        labels: float64 [N, attributes], 0 or 1, NaN if unknown; rows are in random order.
    """
    known = ~np.isnan(labels)
    frequency = np.nan_to_num(labels).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    scale = np.sqrt(np.maximum(frequency * (1 - frequency), 1 / len(labels)))
    deviation = np.where(known, labels - frequency, 0) / scale
    total = np.zeros(labels.shape[1])
    candidates, order = list(range(min(_CANDIDATES, len(labels)))), []
    for following in range(len(candidates), len(labels) + len(candidates)):
        best = int(((total + deviation[candidates]) ** 2).sum(axis=1).argmin())
        order.append(candidates.pop(best))
        total += deviation[order[-1]]
        if following < len(labels):
            candidates.append(following)
    return np.array(order)


def subsample_levels(manifest: Manifest, keep: Mapping[str, Mapping[str, float]], name: str) -> Manifest:
    """Return a manifest in which only a fraction of the training rows with the given column values is kept.

    Args:
        manifest: the manifest.
        keep: fraction of the training rows to keep, by column and value.
        name: name of the data set, used in messages.

    Raises:
        InputError: the manifest does not have one of the columns, or no training row has one of the values.
    """
    table = manifest.table
    kept = np.ones(len(table), bool)
    numbers = _uniform_numbers(table)
    for column, fractions in keep.items():
        if column not in table:
            raise InputError(
                f"{name}: 'keep' names the column '{column}', which is not in the manifest; columns: "
                f"{', '.join(map(str, table))}"
            )
        values = table[column].astype(str)
        for level, fraction in fractions.items():
            rows = ((values == level) & (table["split"] == "train")).to_numpy()
            if not rows.any():
                raise InputError(f"{name}: 'keep' names {column} '{level}', but no training row has this value")
            ranked = np.flatnonzero(rows)[np.argsort(numbers[rows])]
            kept[ranked[math.ceil(fraction * len(ranked)) :]] = False
    return replace(manifest, table=table[kept].reset_index(drop=True))


def _uniform_numbers(table: pd.DataFrame, seed: int = 0) -> np.ndarray:
    """Return a number in [0, 1) for each row, computed as a hash of the seed and the key of the row."""
    keys = table[list(KEY)].astype(str).agg("\n".join, axis=1)
    hashes = (hashlib.sha256(f"{seed}\n{key}".encode()).digest() for key in keys)
    return np.array([int.from_bytes(digest[:7], "big") / 2**56 for digest in hashes])
