"""Partitions of the rows of a table by the levels of one group, or of two crossed groups.

>>> import pandas as pd
>>> by_column("age", pd.Series(["10-19", "2-9", None])).levels
('2-9', '10-19', '(not stated)')
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from auxface.evaluation.clusters import combine_codes
from auxface.evaluation.intervals import Draws, Estimate
from auxface.evaluation.predictions import Predictions, text_of
from auxface.evaluation.resampling import Resampling

NOT_STATED = "(not stated)"
CROSS = " × "
# Two groups with more combinations than this are not crossed: their levels would be too small to measure.
MOST_CROSSED = 400


@dataclass(frozen=True)
class Partition:
    """The level of each row of a table.

    Attributes:
        name: name of the group; "" for the whole table.
        levels: names of the levels in order; :data:`NOT_STATED`, the level of rows without a value, comes last.
        code: index of the level of each row, int64 [N].
    """

    name: str
    levels: tuple[str, ...]
    code: np.ndarray


def whole(predictions: Predictions) -> Partition:
    """Return the partition with all rows in a single level."""
    return Partition("", ("",), np.zeros(len(predictions.frame), dtype=np.int64))


def by_group(predictions: Predictions, name: str) -> Partition:
    """Return the partition with one level per value of ``group.<name>``, in natural order (2 before 10)."""
    return by_column(name, predictions.frame[f"group.{name}"])


def by_column(name: str, column: pd.Series) -> Partition:
    """Return the partition with one level per value of a column [N], in natural order (2 before 10)."""
    codes, values = pd.factorize(column)
    texts = [text_of(value) for value in values]
    stated = sorted(set(texts) - {""}, key=natural_order)
    places = {text: place for place, text in enumerate(stated)} | {"": len(stated)}
    rank = np.array([places[text] for text in texts] + [len(stated)], dtype=np.int64)
    code = rank[codes]
    return Partition(name, (*stated, NOT_STATED) if (code == len(stated)).any() else tuple(stated), code)


def crossed(first: Partition, second: Partition) -> Partition:
    """Return the partition with one level for each combination of levels of two partitions that occurs in the data."""
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


def single_partitions(predictions: Predictions) -> list[Partition]:
    """Return the partition by each group."""
    return [by_group(predictions, name) for name in predictions.groups()]


def crossed_partitions(predictions: Predictions) -> list[Partition]:
    """Return the crossed partition for each pair of groups with at most :data:`MOST_CROSSED` combinations."""
    pairs = combinations([part for part in single_partitions(predictions) if len(part.levels) > 1], 2)
    return [crossed(a, b) for a, b in pairs if len(a.levels) * len(b.levels) <= MOST_CROSSED]


def dirty_levels(frame: pd.DataFrame) -> list[str]:
    """Return a note for each group in which some levels differ only in spaces or letter case."""
    notes = []
    for name, spellings in _spellings(frame).items():
        several = [found for found in spellings.values() if len(found) > 1]
        if several:
            shown = "; ".join(", ".join(f"'{one}'" for one in found) for found in several[:5])
            notes.append(
                f"Levels of {name.removeprefix('group.')} differ only in spaces or letter case: {shown}. They are "
                "evaluated as different levels; --clean-levels merges them."
            )
    return notes


def clean_levels(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Merge levels that differ only in spaces or letter case; return the table and a note per changed group.

    A merged level keeps its most frequent spelling.
    """
    frame, notes = frame.copy(deep=False), []
    for name, spellings in _spellings(frame).items():
        joined = {one: next(iter(found)).strip() for found in spellings.values() for one in found}
        changed = [one for one, to in joined.items() if one != to]
        if changed:
            column = frame[name].astype(object).map(text_of, na_action="ignore")
            frame[name] = column.map(joined, na_action="ignore")
            shown = ", ".join(f"'{one}' to '{joined[one]}'" for one in changed[:10])
            notes.append(f"Levels of {name.removeprefix('group.')} were merged: {shown}.")
    return frame, notes


def _spellings(frame: pd.DataFrame) -> dict[str, dict[str, list[str]]]:
    """Return the spellings of each level, the most frequent first, by group column and plain name."""
    found: dict[str, dict[str, list[str]]] = {}
    for name in map(str, frame.columns):
        if name.startswith("group."):
            by_plain = found.setdefault(name, {})
            for value in frame[name].value_counts().index:
                text = text_of(value)
                if text.strip():
                    by_plain.setdefault(" ".join(text.split()).casefold(), []).append(text)
    return found


def natural_order(text: str) -> tuple[tuple[int, float, str], ...]:
    """Return a sort key for names that puts 2 before 10."""
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


def level_means(
    values: np.ndarray, level: np.ndarray, levels: int, cluster: np.ndarray, resampling: Resampling
) -> tuple[list[Estimate], Estimate | None]:
    """Return the mean of ``values`` per level and, for two levels, the second mean minus the first.

    The values are measurements of samples, such as reconstruction errors.

    Args:
        values: measured values, float64 [N].
        level: index of the level of each value, int64 [N] in 0..levels-1.
        levels: number of levels.
        cluster: cluster of each value, int64 [N].
        resampling: resamples of the clusters.
    """
    means = resampling.ratios(values, None, level=level, levels=levels, cluster=cluster)
    draws = [
        Draws(means[place], int((level == place).sum()), len(np.unique(cluster[level == place])))
        for place in range(levels)
    ]
    estimates = [one.estimate() for one in draws]
    if levels != 2:
        return estimates, None
    smaller = min(draws, key=lambda one: one.clusters)
    return estimates, Draws(means[1] - means[0], smaller.n, smaller.clusters).estimate()
