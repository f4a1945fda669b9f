"""A look at the validation split, shared out among the processes without counting a picture twice."""

from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from auxface.model import JointModel
from auxface.model.scoring import score_pictures
from auxface.training.machine import gather_rows
from auxface.training.selection import selection_value
from auxface.training.video_level import video_level


@dataclass(frozen=True)
class Validation:
    """The usable pictures or clips of the validation split, uint8 [N, 3, S, S] or [N, T, 3, S, S], and their labels.

    Attributes:
        pictures: the pictures or clips.
        labels: of each, per task.
        videos: int64 [N], number of the video of each clip, so that videos are what is measured; None: each by itself.
    """

    pictures: np.ndarray
    labels: dict[str, Tensor]
    videos: np.ndarray | None = None


def validate(model: JointModel, validation: Validation, accelerator: Accelerator) -> float | None:
    """The recipe's selection figure, the same on every process, or None where it cannot be measured."""
    rank, ranks = accelerator.process_index, accelerator.num_processes
    own = score_pictures(model, validation.pictures[rank::ranks] if ranks > 1 else validation.pictures)
    total = len(validation.pictures)
    logits = {name: gather_rows(accelerator, torch.from_numpy(each), total).numpy() for name, each in own.items()}
    labels = validation.labels
    if validation.videos is not None:
        logits, labels = video_level(model.tasks, logits, labels, validation.videos)
    return selection_value(model.recipe.train.select_on, model.tasks, logits, labels)
