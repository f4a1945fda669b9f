"""Which samples hang together: frames of one video, pictures of one person."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from auxface.evaluation.table import KEY, text_of

VIDEO = ("dataset", "method", "source", "video")


def cluster_codes(frames: Sequence[pd.DataFrame]) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Number the clusters of several tables together, so that one cluster has one number in all of them.

    A cluster is a video (dataset, method, source and video together: the same video name under another method is
    another video) where the row names one, else a source of a dataset, else the row itself. Numbers follow the sorted
    names, so the order of rows does not matter.

    Args:
        frames: tables with any of the columns :data:`~auxface.evaluation.table.KEY`.

    Returns:
        Per table int64 [N] numbers from 0 without holes, and which of "video", "source" and "row" were used.
    """
    lengths = [len(frame) for frame in frames]
    columns = {name: _codes(frames, name) for name in KEY}
    if all(name in frame.columns for frame in frames for name in KEY):
        own = list(columns.values())
    else:
        own = [np.concatenate([np.arange(length) for length in lengths])]
    video = columns["video"] > 0
    source = ~video & (columns["source"] > 0)
    parts = {
        "video": (video, [columns[name] for name in VIDEO]),
        "source": (source, [columns["dataset"], columns["source"]]),
        "row": (~video & ~source, own),
    }
    codes = np.empty(sum(lengths), dtype=np.int64)
    offset = 0
    for where, names in parts.values():
        if where.any():
            codes[where] = combine_codes([name[where] for name in names]) + offset
            offset = int(codes[where].max()) + 1
    used = tuple(name for name, (where, _) in parts.items() if where.any())
    return np.split(codes, np.cumsum(lengths)[:-1]), used


def combine_codes(columns: Sequence[np.ndarray]) -> np.ndarray:
    """One number per distinct row of several int64 columns [N], in sorted order, without holes."""
    combined = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        _, combined = np.unique(combined * (int(column.max(initial=0)) + 1) + column, return_inverse=True)
    return combined


def _codes(frames: Sequence[pd.DataFrame], name: str) -> np.ndarray:
    """Numbers over all tables by sorted text; 0 where nothing is stated."""
    found = [_levels(frame[name]) if name in frame.columns else None for frame in frames]
    texts = sorted({text for item in found if item is not None for text in item[1]} - {""})
    places = {text: place for place, text in enumerate(texts, start=1)} | {"": 0}
    parts = []
    for frame, item in zip(frames, found):
        if item is None:
            parts.append(np.zeros(len(frame), dtype=np.int64))
        else:
            parts.append(np.array([places[text] for text in item[1]] + [0], dtype=np.int64)[item[0]])
    return np.concatenate(parts)


def _levels(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    codes, levels = pd.factorize(column)
    return codes, [text_of(level) for level in levels]
