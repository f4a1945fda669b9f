"""The validation figure by which the best weights are chosen.

Validation images are split over the processes, and each is counted once. For video encoders the figure is that of
videos: the mean of the scores of a video's clips, as at the video level of an audit.

Example:
    value = validate(model, Validation(images, labels), accelerator)
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

_MIN_PROBABILITY = 1e-7


@dataclass(frozen=True)
class Validation:
    """The validation split.

    Attributes:
        images: Images uint8 [N, 3, S, S], or clips [N, T, 3, S, S].
        labels: Labels per task, of length N.
        videos: int64 [N], number of the video of each clip, to measure videos; None to measure each image or clip.
    """

    images: np.ndarray
    labels: dict[str, Tensor]
    videos: np.ndarray | None = None


def validate(model: JointModel, validation: Validation, accelerator: Accelerator) -> float | None:
    """Return the figure by which the recipe selects weights; all processes call it together.

    Args:
        model: Model with full weights.
        validation: Validation split.
        accelerator: Accelerator of the run.

    Returns:
        The figure, the same on every process, higher for a better model; None if it cannot be measured.
    """
    rank, ranks = accelerator.process_index, accelerator.num_processes
    own = score_images(model, validation.images[rank::ranks] if ranks > 1 else validation.images)
    total = len(validation.images)
    logits = {name: gather_rows(accelerator, torch.from_numpy(each), total).numpy() for name, each in own.items()}
    labels = validation.labels
    if validation.videos is not None:
        logits, labels = video_level(model.tasks, logits, labels, validation.videos)
    return model.primary.validation_figure(model.recipe.train.select_on, logits, labels)


def video_numbers(table: pd.DataFrame) -> np.ndarray:
    """Return the number of each row's video, int64 [N]; a video is a dataset, method, source and video together."""
    return table.groupby(list(VIDEO), sort=False, dropna=False).ngroup().to_numpy()


def video_level(
    tasks: tuple[LearnedTask, ...], logits: dict[str, np.ndarray], labels: dict[str, Tensor], videos: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, Tensor]]:
    """Return logits whose scores are the mean scores of each video's clips, and the labels of the videos.

    A task whose label changes within a video keeps its clips.

    Args:
        tasks: Tasks.
        logits: Logits of every clip per task, [N, outputs].
        labels: Labels of every clip per task, of length N.
        videos: int64 [N], see :func:`video_numbers`.
    """
    _, first, video_of = np.unique(videos, return_index=True, return_inverse=True)
    pooled: dict[str, np.ndarray] = {}
    targets: dict[str, Tensor] = {}
    for task in tasks:
        own = labels[task.name]
        if torch.equal(torch.nan_to_num(own[first][video_of], nan=-1), torch.nan_to_num(own, nan=-1)):
            pooled[task.name], targets[task.name] = _mean_score_logits(task, logits[task.name], video_of), own[first]
        else:
            pooled[task.name], targets[task.name] = logits[task.name], own
    return pooled, targets


def _mean_score_logits(task: LearnedTask, logits: np.ndarray, video_of: np.ndarray) -> np.ndarray:
    """Return the logits of the mean scores: logarithms of class probabilities, log odds of binary ones."""
    rows = torch.as_tensor(logits).double()
    scores = rows.softmax(dim=1) if task.kind == "class" else rows.sigmoid()
    counts = np.bincount(video_of)
    sums = torch.zeros(len(counts), scores.shape[1], dtype=torch.float64)
    sums.index_add_(0, torch.as_tensor(video_of), scores)
    mean = (sums / torch.as_tensor(counts)[:, None]).clamp(_MIN_PROBABILITY, 1 - _MIN_PROBABILITY)
    return (mean.log() if task.kind == "class" else mean.logit()).float().numpy()
