"""Splitting by a hash of the source, for data without published splits, so that every source is in one split.

Example::

    split_by_source(["ann", "ann", "bob", "cem"], (0.5, 0.25, 0.25))
"""

import hashlib
from collections.abc import Iterable

import pandas as pd

from auxface.data.manifest import SPLITS
from auxface.errors import InputError

DEFAULT = "0.7,0.15,0.15"
SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""Map from common names of splits, in lower case, to the names in the manifest."""


def parse_fractions(text: str) -> tuple[float, float, float]:
    """Parse ``train,val,test`` fractions such as ``0.7,0.15,0.15``.

    Raises:
        InputError: the text is not three nonnegative numbers that add up to 1.
    """
    try:
        values = tuple(float(part) for part in str(text).split(","))
    except ValueError:
        values = ()
    if len(values) != 3 or min(values) < 0 or abs(sum(values) - 1) > 1e-6:
        raise InputError(f"split_fractions '{text}': expected three numbers for train,val,test that add up to 1")
    return values


def split_by_source(sources: Iterable[object], fractions: tuple[float, float, float]) -> pd.Series:
    """Return a split for each row such that all rows of a source are in one split.

    The split depends only on a hash of the source's name, so a source keeps its split when other sources are added. In
    small data sets, a split that would be empty gets the source whose hash is nearest to the middle of the interval of
    the split.

    Args:
        sources: source of each row.
        fractions: fractions of train, val and test.
    """
    rows = pd.Series(list(sources), dtype=object).astype(str)
    position = {source: _hash_fraction(source) for source in rows.unique()}
    bounds = (0.0, fractions[0], fractions[0] + fractions[1], 1.0)
    nonempty = [i for i in range(3) if fractions[i] > 0]
    chosen = {
        source: next((i for i in nonempty if at < bounds[i + 1]), nonempty[-1]) for source, at in position.items()
    }
    for empty in (i for i in nonempty if i not in chosen.values()):
        counts = pd.Series(chosen).value_counts()
        spare = [source for source in chosen if counts[chosen[source]] > 1]
        if spare:
            middle = (bounds[empty] + bounds[empty + 1]) / 2
            chosen[min(spare, key=lambda source: (abs(position[source] - middle), source))] = empty
    return rows.map({source: SPLITS[i] for source, i in chosen.items()})


def _hash_fraction(source: str) -> float:
    return int.from_bytes(hashlib.sha256(source.encode(errors="surrogateescape")).digest()[:8], "big") / 2**64


def split_validation(splits: pd.Series, sources: pd.Series, fraction: float) -> pd.Series:
    """Move entire sources from train to val, for data sets that are published with only training and test sets.

    Args:
        splits: split of each row, train or test.
        sources: source of each row.
        fraction: fraction of the training sources to move, 0 <= fraction < 1.

    Raises:
        InputError: the fraction is out of range.
    """
    if not 0 <= fraction < 1:
        raise InputError(f"val_fraction {fraction} must be at least 0 and less than 1")
    result = splits.copy()
    training = splits == "train"
    if training.any():
        result[training] = split_by_source(sources[training], (1 - fraction, fraction, 0.0)).to_numpy()
    return result
