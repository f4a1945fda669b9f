"""A moving average of the weights (Polyak and Juditsky, 1992), which generalises better than the last step's."""

from copy import deepcopy

import torch
from torch import Tensor

from auxface.model import JointModel
from auxface.training.sharding import own_part


class WeightAverage:
    """A second model whose weights follow those of the first.

    The decay begins small, min(decay, (1 + step) / (10 + step)), so that a short run forgets its random start too.

    Args:
        model: the model that is trained.
        decay: share of the average that a step keeps, in (0, 1).

    Attributes:
        model: the average, for validation and for saving.
    """

    def __init__(self, model: JointModel, decay: float) -> None:
        self.decay = decay
        self.model = deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: JointModel, step: int) -> None:
        """Follow an optimiser step, numbered from 0; nothing is read back from the device."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averages: list[Tensor] = []
        values: list[Tensor] = []
        now = model.state_dict()
        for name, average in self.model.state_dict().items():
            if average.is_floating_point():
                averages.append(own_part(average))
                values.append(own_part(now[name]))
            else:
                average.copy_(now[name])
        torch._foreach_lerp_(averages, values, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]
