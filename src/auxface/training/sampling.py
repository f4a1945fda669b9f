"""Sampling and weights of the training images, for groups and classes that are rare or fare badly.

Three ways: draw images of rare groups or classes more often, weight them in the loss, or group DRO (group
distributionally robust optimization, Sagawa et al., 2020), in which the group with the largest loss counts most. Group
labels take part in training here alone, and only where the recipe names their column.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from auxface.errors import InputError
from auxface.objectives import LearnedTask
from auxface.recipe import Train


@dataclass(frozen=True)
class SampleWeights:
    """How often the images of the training split are drawn, and how much they count.

    Attributes:
        draw: float64 [N], relative frequency at which each image is drawn, with replacement; None: every image once per
            epoch.
        loss: float32 [N], weight of each image in the primary objective, 1 on average; None: equal weights.
        group_dro: weights of the groups, which follow their losses; None: off.
    """

    draw: Tensor | None = None
    loss: Tensor | None = None
    group_dro: "GroupDRO | None" = None


def sample_weights(
    options: Train, table: pd.DataFrame, groups: tuple[str, ...], tasks: tuple[LearnedTask, ...]
) -> SampleWeights:
    """Return the weights that a recipe requests.

    Args:
        options: the recipe section.
        table: the rows of the training split.
        groups: the group columns of the manifest.
        tasks: the tasks; ``class_balanced`` balances the first one with single labels.

    Raises:
        InputError: the column is not a group column of the manifest, or no task has classes to balance.
    """
    if options.group is not None and options.group not in groups:
        raise InputError(
            f"train.group: the manifest has no group column '{options.group}'; it has: {', '.join(groups) or 'none'}"
        )
    if options.threshold_per_group and not any(task.kind in ("binary", "multilabel") for task in tasks):
        raise InputError(
            "train.threshold_per_group needs a task of kind binary or multilabel; tasks of kind class have no threshold"
        )
    draw = loss = None
    if options.sampling == "group_balanced":
        draw = inverse_frequency(table[options.group])
    elif options.sampling == "class_balanced":
        single = next((task for task in tasks if task.kind in ("class", "binary")), None)
        if single is None:
            raise InputError("train.sampling class_balanced needs a task of kind class or binary")
        draw = inverse_frequency(table[single.name])
    if options.reweight_group:
        loss = inverse_frequency(table[options.group]).float()
    dro = None
    if options.group is not None and options.group_dro is not None:
        dro = make_group_dro(table[options.group], options.group, options.group_dro)
    return SampleWeights(draw, loss, dro)


def number_draws(order: Tensor, images: int) -> Tensor:
    """Number the draws of an epoch, so that an image that is drawn again gets other views and masks.

    A draw is numbered position + images * (how often the image was drawn before). Without repetitions the numbers are
    the positions themselves.

    Args:
        order: int64 [N], positions of the images in the order in which they are drawn.
        images: number of images of the training split.

    Example:
        >>> number_draws(torch.tensor([2, 0, 2, 2]), images=3).tolist()
        [2, 0, 5, 8]
    """
    by_image = order.argsort(stable=True)
    ordered = order[by_image]
    repeats = torch.empty_like(order)
    repeats[by_image] = torch.arange(len(order)) - torch.searchsorted(ordered, ordered)
    return order + images * repeats


def inverse_frequency(values: pd.Series) -> Tensor:
    """Weight rows so that each value has the same total, float64 [N], 1 on average; unknown values have weight 1."""
    counts = values.map(values.value_counts())
    weights = (1 / counts).to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    known = ~np.isnan(weights)
    weights[known] *= known.sum() / max(weights[known].sum(), 1e-12)
    weights[~known] = 1
    return torch.from_numpy(weights)


class GroupDRO:
    """Group DRO: weights of the groups, which follow the losses of the groups.

    Each group of the training split has a weight q, equal at first. After every step q is multiplied by exp(step size *
    mean loss of the group), and all weights are scaled to a sum of 1. The primary loss of a step is the sum over its
    groups of q times the group's mean loss, divided by the sum of q over the groups of the step.

    A step uses the weights that earlier steps left, whereas the paper's code updates them first. A step in
    micro-batches, or on several processes, thus is the same step (for encoders without batch normalization).

    Args:
        group: int64 [N], group of each image of the training split; -1 unknown. Such images have weight 1.
        groups: number of groups.
        step_size: how fast the weights change.

    Attributes:
        log_weights: float64 [groups], logarithms of the weights.
        sums: float64 [2, groups], sum of losses and number of images per group in the current step.
    """

    def __init__(self, group: Tensor, groups: int, step_size: float) -> None:
        self.group, self.step_size = group, step_size
        self.log_weights = torch.full((groups,), -float(np.log(groups)), dtype=torch.float64)
        self.sums = torch.zeros(2, groups, dtype=torch.float64)

    def weights(self, indices: Tensor, step: Tensor) -> Tensor:
        """Return the weight of each image of a micro-batch, float32 [n]; 1 on average over a step with all groups.

        Args:
            indices: int64 [n], positions of the images of the micro-batch.
            step: int64 [m], positions of all images of the step.
        """
        known = self.group[step]
        known = known[known >= 0]
        counts = torch.bincount(known, minlength=len(self.log_weights)).double()
        each = self.log_weights.exp() / counts.clamp(min=1) * len(known)
        own = self.group[indices]
        return torch.where(own >= 0, each[own.clamp(min=0)], 1.0).float()

    def add(self, indices: Tensor, losses: Tensor) -> None:
        """Add the losses, float [n], of the images of a micro-batch to the sums of the current step."""
        own = self.group[indices]
        known = own >= 0
        rows = torch.stack([losses.double(), torch.ones(len(losses), dtype=torch.float64)])
        self.sums.index_add_(1, own[known], rows[:, known])

    def update(self, sums: Tensor) -> None:
        """Update the weights after a step, from the ``sums`` of all processes, and begin a new step."""
        total, count = sums.double().cpu()
        mean = torch.where(count > 0, total / count.clamp(min=1), 0.0)
        self.log_weights = (self.log_weights + self.step_size * mean).log_softmax(dim=0)
        self.sums.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """Return what a resumed run needs."""
        return {"log_shares": self.log_weights}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what :meth:`state_dict` returned.

        Raises:
            ValueError: the state has another number of groups.
        """
        if state["log_shares"].shape != self.log_weights.shape:
            raise ValueError("the checkpoint has another number of groups")
        self.log_weights = state["log_shares"].double()


def make_group_dro(column: pd.Series, name: str, step_size: float) -> GroupDRO:
    """Make the weights of the groups in a column of the training split.

    Raises:
        InputError: there are fewer than two groups.
    """
    codes, levels = pd.factorize(column, sort=True)
    if len(levels) < 2:
        raise InputError(
            f"train.group_dro: '{name}' has {len(levels)} group in the training split; expected two or more"
        )
    return GroupDRO(torch.from_numpy(codes.astype(np.int64)), len(levels), step_size)
