"""How good a model is on the validation split: the one figure that chooses its weights.

A look at the validation split, shared out among the processes without counting an image twice.

From clips to videos: the mean of the scores of a video's clips, as the audit's video level has it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from torch import Tensor

from auxface.evaluation.clusters import VIDEO
from auxface.model import JointModel
from auxface.model.scoring import score_images
from auxface.objectives import LearnedTask
from auxface.training.distributed import gather_rows

_LEAST = 1e-7


def video_numbers(table: pd.DataFrame) -> np.ndarray:
    """The number of each row's video, int64 [N]: a dataset, method, source and video together."""
    return table.groupby(list(VIDEO), sort=False, dropna=False).ngroup().to_numpy()


def video_level(
    tasks: tuple[LearnedTask, ...], logits: dict[str, np.ndarray], labels: dict[str, Tensor], videos: np.ndarray
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


def _pooled(task: LearnedTask, logits: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The logits that give the mean of the scores: of classes their logarithms, of yes and no the log of the odds."""
    rows = torch.as_tensor(logits).double()
    scores = rows.softmax(dim=1) if task.kind == "class" else rows.sigmoid()
    counts = np.bincount(place)
    sums = torch.zeros(len(counts), scores.shape[1], dtype=torch.float64).index_add_(0, torch.as_tensor(place), scores)
    mean = (sums / torch.as_tensor(counts)[:, None]).clamp(_LEAST, 1 - _LEAST)
    return (mean.log() if task.kind == "class" else mean.logit()).float().numpy()


@dataclass(frozen=True)
class Validation:
    """The usable images or clips of the validation split, uint8 [N, 3, S, S] or [N, T, 3, S, S], and their labels.

    Attributes:
        images: the images or clips.
        labels: of each, per task.
        videos: int64 [N], number of the video of each clip, so that videos are what is measured; None: each by itself.
    """

    images: np.ndarray
    labels: dict[str, Tensor]
    videos: np.ndarray | None = None


def validate(model: JointModel, validation: Validation, accelerator: Accelerator) -> float | None:
    """The recipe's selection figure, the same on every process, or None where it cannot be measured."""
    rank, ranks = accelerator.process_index, accelerator.num_processes
    own = score_images(model, validation.images[rank::ranks] if ranks > 1 else validation.images)
    total = len(validation.images)
    logits = {name: gather_rows(accelerator, torch.from_numpy(each), total).numpy() for name, each in own.items()}
    labels = validation.labels
    if validation.videos is not None:
        logits, labels = video_level(model.tasks, logits, labels, validation.videos)
    return model.primary.validation_figure(model.recipe.train.select_on, logits, labels)
