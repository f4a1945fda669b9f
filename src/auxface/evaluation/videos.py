"""From frames to videos: one row per video, with the mean of its frames' scores."""

import numpy as np
import pandas as pd

from auxface.evaluation.clusters import VIDEO, column_codes, combine_codes
from auxface.evaluation.samples import task_samples
from auxface.evaluation.table import Predictions, Task


def video_level(predictions: Predictions, task: Task) -> tuple[Predictions, np.ndarray] | None:
    """A table with a row per video that has a truth and a score, and for each the position of one of its frames.

    A video is a dataset, method, source and video together, so that a name that repeats under another method is another
    video. Its score is the mean of its frames' scores, its groups and truth are its frames'. Frames of one video that
    disagree in a group leave it unstated there.

    Args:
        predictions: a checked table.
        task: a binary or class task of it.

    Returns:
        None where the table names no videos, has no video of several rows, the task is of another kind, or the truth
        changes within a video (an expression, say), so that a video has no single answer.
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
    made = frame.iloc[rows[first]].reset_index(drop=True)
    for name in predictions.groups():
        made[f"group.{name}"] = _agreed(frame[f"group.{name}"].iloc[rows], code, first)
    for place, name in enumerate(task.score_columns()):
        column = score if score.ndim == 1 else score[:, place]
        made[name] = np.bincount(code, weights=column) / count
    return Predictions(made, (task,)), rows[first]


def _agreed(column: pd.Series, code: np.ndarray, first: np.ndarray) -> np.ndarray:
    levels, names = pd.factorize(column)
    disagrees = np.zeros(len(first), dtype=bool)
    np.logical_or.at(disagrees, code, levels != levels[first][code])
    values = np.array([*names, None], dtype=object)[levels[first]]
    values[disagrees] = None
    return values
