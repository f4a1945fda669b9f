"""Select the best weights of a run on the validation split.

Validation images are split over the processes, and each image is counted once. For video encoders, the metric is
computed per video, from the mean score of the video's clips, as at the video level of an audit.

Example::

    value = validate(model, Validation(images, labels), accelerator)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from torch import Tensor

from auxface.evaluation.clusters import VIDEO
from auxface.model import JointModel
from auxface.model.scoring import model_outputs
from auxface.objectives import LearnedTask
from auxface.training.distributed import gather_rows

_MIN_PROBABILITY = 1e-7


@dataclass(frozen=True)
class Validation:
    """The validation split.

    Attributes:
        images: images, uint8 [N, 3, S, S], or clips, uint8 [N, T, 3, S, S].
        labels: labels by task, of length N.
        videos: int64 [N], number of the video of each clip, to compute metrics per video; None to compute metrics per
            image or clip.
    """

    images: np.ndarray
    labels: dict[str, Tensor]
    videos: np.ndarray | None = None


def validate(model: JointModel, validation: Validation, accelerator: Accelerator) -> float | None:
    """Return the validation metric by which the recipe selects weights.

    All processes must call this function together.

    Args:
        model: model with full weights.
        validation: images and labels of the validation split.
        accelerator: accelerator of the run.

    Returns:
        The metric, which is equal on all processes and higher for a better model; None if it cannot be computed.
    """
    rank, ranks = accelerator.process_index, accelerator.num_processes
    own = model_outputs(
        model, model.validation_outputs, validation.images[rank::ranks] if ranks > 1 else validation.images
    )
    total = len(validation.images)
    logits = {name: gather_rows(accelerator, torch.from_numpy(each), total).numpy() for name, each in own.items()}
    labels = validation.labels
    if validation.videos is not None:
        logits, labels = video_level(model.primary.tasks, logits, labels, validation.videos)
    return model.primary.validation_figure(model.recipe.train.select_on, logits, labels)


def is_better(value: float | None, best: float | None) -> bool:
    """Return whether the weights of an epoch replace the best weights so far.

    If the values are equal, the earlier epoch is kept. If a value could not be computed, the later epoch is kept.

    Args:
        value: validation metric of the epoch; None if it could not be computed.
        best: validation metric of the best weights so far; None before the first validation, or if it could not be
            computed.
    """
    return value is None or best is None or value > best


def mean_skill(logs: Mapping[str, float]) -> float | None:
    """Return the mean skill in the validation logs of the auxiliaries; None if no skill was logged."""
    skills = [value for name, value in logs.items() if ".skill." in name]
    return fmean(skills) if skills else None


def video_numbers(table: pd.DataFrame) -> np.ndarray:
    """Return the video number of each row, int64 [N]; dataset, method, source and video identify a video."""
    return table.groupby(list(VIDEO), sort=False, dropna=False).ngroup().to_numpy()


def video_level(
    tasks: tuple[LearnedTask, ...], logits: dict[str, np.ndarray], labels: dict[str, Tensor], videos: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, Tensor]]:
    """Return logits that correspond to the mean score of each video's clips, and the labels of the videos.

    For tasks whose label changes within a video, and for identity tasks, which have embeddings, the results are per
    clip.

    Args:
        tasks: the tasks of the model.
        logits: logits of every clip by task, [N, outputs].
        labels: labels of every clip by task, of length N.
        videos: int64 [N], the result of :func:`video_numbers`.
    """
    _, first, video_of = np.unique(videos, return_index=True, return_inverse=True)
    pooled: dict[str, np.ndarray] = {}
    targets: dict[str, Tensor] = {}
    for task in tasks:
        own = labels[task.name]
        if not task.identity and torch.equal(
            torch.nan_to_num(own[first][video_of], nan=-1), torch.nan_to_num(own, nan=-1)
        ):
            pooled[task.name], targets[task.name] = _mean_score_logits(task, logits[task.name], video_of), own[first]
        else:
            pooled[task.name], targets[task.name] = logits[task.name], own
    return pooled, targets


def _mean_score_logits(task: LearnedTask, logits: np.ndarray, video_of: np.ndarray) -> np.ndarray:
    """Return the logits of the mean scores: logarithms for class probabilities, log odds for binary probabilities."""
    rows = torch.as_tensor(logits).double()
    scores = rows.softmax(dim=1) if task.kind == "class" else rows.sigmoid()
    counts = np.bincount(video_of)
    sums = torch.zeros(len(counts), scores.shape[1], dtype=torch.float64)
    sums.index_add_(0, torch.as_tensor(video_of), scores)
    mean = (sums / torch.as_tensor(counts)[:, None]).clamp(_MIN_PROBABILITY, 1 - _MIN_PROBABILITY)
    return (mean.log() if task.kind == "class" else mean.logit()).float().numpy()
