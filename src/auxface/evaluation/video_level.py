"""Predictions by video: one row per video, whose score is the mean over its frames."""

import numpy as np
import pandas as pd

from auxface.evaluation.clusters import VIDEO, column_codes, combine_codes
from auxface.evaluation.predictions import Predictions, ScoredTask, task_samples


def video_level(predictions: Predictions, task: ScoredTask) -> tuple[Predictions, np.ndarray] | None:
    """Return a table with a row per video that has a truth and a score, and the position of one frame of each.

    A video is identified by dataset, method, source and video together. Its score is the mean of its frames' scores;
    truth and groups are those of its frames. A group in which frames of one video disagree is not stated there.

    Args:
        predictions: a checked table.
        task: a binary or class task of it.

    Returns:
        None if the task is of another kind, no video has several rows, or the truth changes within a video (for
        example an expression), so that the video has no single label.
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
    for place, name in enumerate(task.score_columns()):
        column = score if score.ndim == 1 else score[:, place]
        videos[name] = np.bincount(code, weights=column) / count
    return Predictions(videos, (task,)), rows[first]


def _common_level(column: pd.Series, code: np.ndarray, first: np.ndarray) -> np.ndarray:
    levels, names = pd.factorize(column)
    disagrees = np.zeros(len(first), dtype=bool)
    np.logical_or.at(disagrees, code, levels != levels[first][code])
    values = np.array([*names, None], dtype=object)[levels[first]]
    values[disagrees] = None
    return values
