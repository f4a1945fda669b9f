"""Splits for data whose owners give none: by a hash of the source, so that no source is ever in two."""

import hashlib
from collections.abc import Iterable

import pandas as pd

from auxface.data.manifest import SPLITS
from auxface.errors import InputError

DEFAULT = "0.7,0.15,0.15"


def parse_fractions(text: str) -> tuple[float, float, float]:
    """Read ``train,val,test`` fractions such as ``0.7,0.15,0.15``.

    Raises:
        InputError: not three numbers from 0 that add up to 1.
    """
    try:
        values = tuple(float(part) for part in str(text).split(","))
    except ValueError:
        values = ()
    if len(values) != 3 or min(values) < 0 or abs(sum(values) - 1) > 1e-6:
        raise InputError(f"split_fractions '{text}': expected three numbers for train,val,test that add up to 1")
    return values


def split_by_source(sources: Iterable[object], fractions: tuple[float, float, float]) -> pd.Series:
    """A split for each row, the same for all rows of one source.

    A source keeps its split when others are added, since only its own name decides; in small data a split that would be
    empty takes the source nearest to its interval.

    Args:
        sources: the source of each row.
        fractions: shares of train, val and test.
    """
    rows = pd.Series(list(sources), dtype=object).astype(str)
    place = {source: _place(source) for source in rows.unique()}
    bounds = (0.0, fractions[0], fractions[0] + fractions[1], 1.0)
    chosen = {
        source: next((i for i in range(3) if fractions[i] > 0 and at < bounds[i + 1]), _last(fractions))
        for source, at in place.items()
    }
    wanted = [i for i in range(3) if fractions[i] > 0]
    for empty in (i for i in wanted if i not in chosen.values()):
        counts = pd.Series(chosen).value_counts()
        spare = [source for source in chosen if counts[chosen[source]] > 1]
        if spare:
            middle = (bounds[empty] + bounds[empty + 1]) / 2
            chosen[min(spare, key=lambda source: (abs(place[source] - middle), source))] = empty
    return rows.map({source: SPLITS[i] for source, i in chosen.items()})


def cut_validation(splits: pd.Series, sources: pd.Series, fraction: float) -> pd.Series:
    """Move whole sources from train to val, for data whose owners give training and test sets alone.

    Args:
        splits: train or test for each row.
        sources: the source of each row.
        fraction: share of the training sources that becomes val.

    Raises:
        InputError: a fraction outside 0 <= fraction < 1.
    """
    if not 0 <= fraction < 1:
        raise InputError(f"val_fraction {fraction} must be at least 0 and less than 1")
    result = splits.copy()
    training = splits == "train"
    if training.any():
        result[training] = split_by_source(sources[training], (1 - fraction, fraction, 0.0)).to_numpy()
    return result


def _last(fractions: tuple[float, float, float]) -> int:
    return max(i for i in range(3) if fractions[i] > 0)


def _place(source: str) -> float:
    return int.from_bytes(hashlib.sha256(source.encode(errors="surrogateescape")).digest()[:8], "big") / 2**64
