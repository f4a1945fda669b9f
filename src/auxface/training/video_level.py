"""From clips to videos: the mean of the scores of a video's clips, as the audit's video level has it."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from auxface.evaluation.clusters import VIDEO
from auxface.objectives import Task

_LEAST = 1e-7


def video_numbers(table: pd.DataFrame) -> np.ndarray:
    """The number of each row's video, int64 [N]: a dataset, method, source and video together."""
    return table.groupby(list(VIDEO), sort=False, dropna=False).ngroup().to_numpy()


def video_level(
    tasks: tuple[Task, ...], logits: dict[str, np.ndarray], labels: dict[str, Tensor], videos: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, Tensor]]:
    """Logits whose scores are the mean scores of each video's clips, and the labels of the videos.

    A task whose label changes within a video keeps its clips, since such a video has no single answer.

    Args:
        tasks: the tasks.
        logits: of every clip, per task, [N, outputs].
        labels: of every clip, per task, of length N.
        videos: int64 [N], of :func:`video_numbers`.
    """
    _, first, place = np.unique(videos, return_index=True, return_inverse=True)
    pooled: dict[str, np.ndarray] = {}
    wanted: dict[str, Tensor] = {}
    for task in tasks:
        own = labels[task.name]
        if torch.equal(torch.nan_to_num(own[first][place], nan=-1), torch.nan_to_num(own, nan=-1)):
            pooled[task.name], wanted[task.name] = _pooled(task, logits[task.name], place), own[first]
        else:
            pooled[task.name], wanted[task.name] = logits[task.name], own
    return pooled, wanted


def _pooled(task: Task, logits: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The logits that give the mean of the scores: of classes their logarithms, of yes and no the log of the odds."""
    rows = torch.as_tensor(logits).double()
    scores = rows.softmax(dim=1) if task.kind == "class" else rows.sigmoid()
    counts = np.bincount(place)
    sums = torch.zeros(len(counts), scores.shape[1], dtype=torch.float64).index_add_(0, torch.as_tensor(place), scores)
    mean = (sums / torch.as_tensor(counts)[:, None]).clamp(_LEAST, 1 - _LEAST)
    return (mean.log() if task.kind == "class" else mean.logit()).float().numpy()
