"""Dividing the rows by group, or by two groups crossed."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from auxface.evaluation.clusters import combine_codes
from auxface.evaluation.table import Predictions

NOT_STATED = "(not stated)"
CROSS = " × "


@dataclass(frozen=True)
class Partition:
    """A division of a table's rows.

    Attributes:
        name: the group, "" for the whole table.
        levels: level names in order; rows that do not say come last as :data:`NOT_STATED`.
        code: level of each row, int64 [N].
    """

    name: str
    levels: tuple[str, ...]
    code: np.ndarray


def whole(predictions: Predictions) -> Partition:
    """All rows in one level."""
    return Partition("", ("",), np.zeros(len(predictions.frame), dtype=np.int64))


def by_group(predictions: Predictions, name: str) -> Partition:
    """One level per value of ``group.<name>``, in natural order (2 before 10)."""
    codes, found = pd.factorize(predictions.group(name))
    order = sorted(range(len(found)), key=lambda place: _natural(str(found[place])))
    rank = np.empty(len(found) + 1, dtype=np.int64)
    rank[order] = np.arange(len(found))
    rank[-1] = len(found)
    levels = tuple(str(found[place]) for place in order)
    return Partition(name, (*levels, NOT_STATED) if (codes < 0).any() else levels, rank[codes])


def crossed(first: Partition, second: Partition) -> Partition:
    """The levels of two divisions that occur together."""
    together = np.stack([first.code, second.code], axis=1)
    code = combine_codes([first.code, second.code])
    _, where = np.unique(code, return_index=True)
    levels = []
    for a, b in together[where]:
        names = (first.levels[a], second.levels[b])
        levels.append(NOT_STATED if NOT_STATED in names else CROSS.join(names))
    stated = list(dict.fromkeys(levels))
    merged = np.array([stated.index(level) for level in levels])
    return Partition(first.name + CROSS + second.name, tuple(stated), merged[code])


def all_partitions(predictions: Predictions, cross: bool = True) -> list[Partition]:
    """Every group, then every pair of groups."""
    single = [by_group(predictions, name) for name in predictions.groups()]
    return single + ([crossed(a, b) for a, b in combinations(single, 2)] if cross else [])


def _natural(text: str) -> tuple[tuple[int, float, str], ...]:
    parts: list[tuple[int, float, str]] = []
    number = ""
    for letter in text:
        if letter.isdecimal():
            number += letter
            continue
        if number:
            parts.append((0, float(number), ""))
            number = ""
        parts.append((1, 0.0, letter))
    return (*parts, (0, float(number), "")) if number else tuple(parts)
