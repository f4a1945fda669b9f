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


@dataclass(frozen=True)
class Validation:
    """The usable pictures of the validation split: uint8 [N, 3, S, S] and their labels."""

    pictures: np.ndarray
    labels: dict[str, Tensor]


def validate(model: JointModel, validation: Validation, accelerator: Accelerator) -> float | None:
    """The recipe's selection figure, the same on every process, or None where it cannot be measured."""
    rank, ranks = accelerator.process_index, accelerator.num_processes
    own = score_pictures(model, validation.pictures[rank::ranks] if ranks > 1 else validation.pictures)
    total = len(validation.pictures)
    logits = {name: gather_rows(accelerator, torch.from_numpy(each), total).numpy() for name, each in own.items()}
    return selection_value(model.recipe.train.select_on, model.tasks, logits, validation.labels)
