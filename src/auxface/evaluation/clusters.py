"""Clusters of dependent rows, such as the frames of one video, and video-level predictions.

Rows of one cluster are not independent, so the bootstrap of :mod:`~auxface.evaluation.intervals` draws whole clusters.

>>> import pandas as pd
>>> frame = pd.DataFrame({"dataset": "d", "method": "", "source": ["a", "a", "b"], "video": ""})
>>> (codes,), used = cluster_codes([frame])
>>> codes.tolist(), used
([0, 0, 1], ('source',))

Video-level predictions have one row per video; the score of a video is the mean score of its frames.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from auxface.evaluation.predictions import KEY, Predictions, ScoredTask, task_samples, text_of

Clusters = Literal["auto", "source", "row"]
# These columns together identify a video: the same name under different methods denotes different videos.
VIDEO = ("dataset", "method", "source", "video")


def cluster_codes(frames: Sequence[pd.DataFrame], by: Clusters = "auto") -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Return the cluster of each row, numbered jointly over several tables.

    The cluster of a row is the first of these that the row has: its value in the column ``cluster``, its video
    (:data:`VIDEO`), its source within its dataset, or the row itself. Clusters are numbered in the order of their
    sorted names, so the numbers do not depend on the order of rows.

    Args:
        frames: tables with any of the columns :data:`~auxface.evaluation.predictions.KEY`.
        by: ``auto`` applies the rule above; ``source`` merges all videos of a source; ``row`` makes every row a
            cluster, which is correct only if no two rows show the same person or video.

    Returns:
        The cluster numbers of each table, int64 [N], which start at 0 and have no gaps; and the kinds of clusters that
        were used, from "cluster", "video", "source" and "row".
    """
    lengths = [len(frame) for frame in frames]
    columns = {name: column_codes(frames, name) for name in (*VIDEO, "cluster")}
    named = (columns["cluster"] > 0) & (by == "auto")
    video = ~named & (columns["video"] > 0) & (by == "auto")
    source = ~named & ~video & (columns["source"] > 0) & (by != "row")
    parts = {
        "cluster": (named, [columns["cluster"]]),
        "video": (video, [columns[name] for name in VIDEO]),
        "source": (source, [columns["dataset"], columns["source"]]),
        "row": (~named & ~video & ~source, []),
    }
    if parts["row"][0].any():
        parts["row"][1].extend(_rows(frames))
    codes = np.empty(sum(lengths), dtype=np.int64)
    offset = 0
    for where, names in parts.values():
        if where.any():
            codes[where] = combine_codes([name[where] for name in names]) + offset
            offset = int(codes[where].max()) + 1
    used = tuple(name for name, (where, _) in parts.items() if where.any())
    return np.split(codes, np.cumsum(lengths)[:-1]), used


def combine_codes(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Return a number for each row of int64 columns [N]; distinct rows are numbered in sorted order without gaps."""
    combined = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        _, combined = np.unique(combined * (int(column.max(initial=0)) + 1) + column, return_inverse=True)
    return combined


def column_codes(frames: Sequence[pd.DataFrame], name: str) -> np.ndarray:
    """Return integer codes of a column over all tables, int64 [all rows]; equal text has equal codes, empty text has 0.

    All rows of a table without the column have the code 0.
    """
    columns = [frame[name] if name in frame.columns else None for frame in frames]
    if all(column is not None and pd.api.types.is_integer_dtype(column.dtype) for column in columns):
        values = np.concatenate([column.to_numpy() for column in columns if column is not None])
        return np.unique(values, return_inverse=True)[1].astype(np.int64) + 1
    found = [None if column is None else _levels(column) for column in columns]
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


def _rows(frames: Sequence[pd.DataFrame]) -> list[np.ndarray]:
    """Return columns that identify each row: the key if every table has one, otherwise the row number."""
    if all(name in frame.columns for frame in frames for name in KEY):
        return [column_codes(frames, name) for name in KEY]
    return [np.concatenate([np.arange(len(frame)) for frame in frames])]


def video_level(predictions: Predictions, task: ScoredTask) -> tuple[Predictions, np.ndarray] | None:
    """Return a table with one row per labeled and scored video, and the row number of one frame of each video.

    A video is identified by dataset, method, source and video together. Its score is the mean score of its frames, and
    its decision is their most frequent decision. Its true label and groups are those of its frames. If the frames of a
    video have different levels of a group, the level of the video is missing.

    Args:
        predictions: a validated table.
        task: a task of this table, of kind ``binary`` or ``class``.

    Returns:
        None if the task is of another kind, no video has several rows, or the true label (such as an expression)
        changes within a video, so that the video has no single label.
    """
    frame = predictions.frame
    if task.kind not in ("binary", "class") or "video" not in frame.columns:
        return None
    samples = task_samples(predictions, task)
    columns = [column_codes([frame.iloc[samples.rows]], name) for name in VIDEO]
    named = columns[VIDEO.index("video")] > 0
    if not named.any():
        return None
    rows, true, score = samples.rows[named], samples.true[named], samples.score[named]
    code = combine_codes([column[named] for column in columns])
    _, first, count = np.unique(code, return_index=True, return_counts=True)
    if count.max() < 2 or (true != true[first][code]).any():
        return None
    videos = frame.iloc[rows[first]].reset_index(drop=True)
    for name in predictions.groups():
        videos[f"group.{name}"] = _common_level(frame[f"group.{name}"].iloc[rows], code, first)
    means = [np.bincount(code, weights=column) / count for column in score.reshape(len(score), -1).T]
    if samples.scored:
        for name, mean in zip(task.score_columns(), means):
            videos[name] = mean
    if samples.decided is not None:
        decided = samples.decided[named]
        shares = [np.bincount(code, weights=decided == place) for place in range(len(task.classes))]
        most = np.argmax(shares, axis=0)
        videos[f"predicted.{task.name}"] = most if task.kind == "binary" else np.array(task.classes)[most]
    return Predictions(videos, (task,)), rows[first]


def _common_level(column: pd.Series, code: np.ndarray, first: np.ndarray) -> np.ndarray:
    levels, names = pd.factorize(column)
    disagrees = np.zeros(len(first), dtype=bool)
    np.logical_or.at(disagrees, code, levels != levels[first][code])
    values = np.array([*names, None], dtype=object)[levels[first]]
    values[disagrees] = None
    return values
