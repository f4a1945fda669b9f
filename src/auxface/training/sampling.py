"""Sampling frequencies and loss weights of the training images, for rare groups and classes, and for few labels.

There are three methods for groups: images of rare groups or classes can be drawn more often, they can be weighted in
the loss, or groups can be weighted by group DRO (group distributionally robust optimization, Sagawa et al., 2020),
which gives the largest weight to the group with the largest loss. Training uses group labels only in this module, and
only if the recipe names their column.

If there are few labels, every step can use fixed numbers of labeled and unlabeled images (:class:`LabeledMixture`).
"""

from collections.abc import Callable
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
    """Sampling frequencies of the images of the training split, and their weights in the loss.

    Attributes:
        draw: float64 [N], relative frequency at which each image is drawn, with replacement; None to draw every image
            once per epoch.
        loss: float32 [N], weight of each image in the primary objective, 1 on average; None for equal weights.
        group_dro: weights of the groups, which depend on their losses; None to disable group DRO.
        mixture: fixed numbers of labeled and unlabeled images in each step; None for no fixed numbers.
    """

    draw: Tensor | None = None
    loss: Tensor | None = None
    group_dro: "GroupDRO | None" = None
    mixture: "LabeledMixture | None" = None


def sample_weights(
    options: Train, table: pd.DataFrame, groups: tuple[str, ...], tasks: tuple[LearnedTask, ...]
) -> SampleWeights:
    """Return the sampling and loss weights that a recipe requests.

    Loss weights apply to labeled images; an image without a label has no primary loss.

    Args:
        options: the recipe's ``train`` section.
        table: rows of the training split.
        groups: names of the group columns of the manifest.
        tasks: tasks of the model; ``class_balanced`` balances the first task with single labels.

    Raises:
        InputError: the column is not a group column of the manifest, no task has classes to balance, or the recipe sets
            ``labeled_per_batch`` although all images or no images are labeled.
    """
    if options.group is not None and options.group not in groups:
        raise InputError(
            f"train.group: the manifest has no group column '{options.group}'; its group columns: "
            f"{', '.join(groups) or 'none'}"
        )
    if options.threshold_per_group and not any(task.kind in ("binary", "multilabel") for task in tasks):
        raise InputError(
            "train.threshold_per_group requires a binary or multilabel task; class and ordinal tasks have no threshold"
        )
    draw = loss = None
    if options.sampling == "group_balanced":
        draw = inverse_frequency(table[options.group])
    elif options.sampling == "class_balanced":
        single = next((task for task in tasks if task.kind in ("class", "binary")), None)
        if single is None:
            raise InputError("train.sampling class_balanced requires a class or binary task; choose another value")
        draw = inverse_frequency(table[single.name])
    labeled = labeled_rows(table, tasks)
    if options.reweight_group:
        loss = inverse_frequency(table[options.group].where(labeled)).float()
    dro = mixture = None
    if options.group is not None and options.group_dro is not None:
        dro = make_group_dro(table[options.group].where(labeled), options.group, options.group_dro)
    if options.labeled_per_batch is not None:
        mixture = LabeledMixture(torch.from_numpy(labeled.to_numpy(copy=True)), options.labeled_per_batch)
    return SampleWeights(draw, loss, dro, mixture)


def labeled_rows(table: pd.DataFrame, tasks: tuple[LearnedTask, ...]) -> pd.Series:
    """Return for each row whether the label of at least one task is known, bool [N]."""
    columns = [column for task in tasks for column in (task.classes if task.kind == "multilabel" else (task.name,))]
    return table[columns].notna().any(axis=1)


def number_draws(order: Tensor, images: int) -> Tensor:
    """Number the draws of an epoch, so that an image that is drawn again gets new views and masks.

    The number of a draw is position + images * (number of earlier draws of the image), where position is the index of
    the image in the training split. Without repetitions, the numbers are the positions themselves.

    Args:
        order: int64 [N], positions of the images in the order in which they are drawn.
        images: number of images in the training split.

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
    """Return weights with the same total for each value, float64 [N], 1 on average; unknown values have weight 1."""
    counts = values.map(values.value_counts())
    weights = (1 / counts).to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    known = ~np.isnan(weights)
    weights[known] *= known.sum() / max(weights[known].sum(), 1e-12)
    weights[~known] = 1
    return torch.from_numpy(weights)


class LabeledMixture:
    """Fixed numbers of labeled and unlabeled images in every step.

    An epoch has as many steps as are needed to draw every image at least once. When all images of one kind, usually the
    labeled images, have been drawn, they are drawn again in a new order. All steps are full.

    Args:
        labeled: bool [N], whether each image has a known label.
        ratio: fraction of labeled images in a step.

    Raises:
        InputError: all images are labeled, or no image is labeled.

    Example:
        >>> mixture = LabeledMixture(torch.tensor([True, False, False, False]), 0.5)
        >>> mixture.steps_per_epoch(2)
        3
        >>> mixture.order(2, one_pass=lambda positions: positions)
        tensor([0, 1, 0, 2, 0, 3])
    """

    def __init__(self, labeled: Tensor, ratio: float) -> None:
        self.sides = (torch.where(labeled)[0], torch.where(~labeled)[0])
        self.ratio = ratio
        if not all(map(len, self.sides)):
            raise InputError(
                "train.labeled_per_batch requires labeled and unlabeled training images; "
                f"{len(self.sides[0])} of {len(labeled)} are labeled. Remove the key, or add images with --unlabeled"
            )

    def counts(self, batch_size: int) -> tuple[int, int]:
        """Return the numbers of labeled and unlabeled images in a step; each is at least 1.

        Raises:
            InputError: the batch size is 1.
        """
        if batch_size < 2:
            raise InputError("train.labeled_per_batch requires a train.batch_size of at least 2")
        labeled = min(max(round(self.ratio * batch_size), 1), batch_size - 1)
        return labeled, batch_size - labeled

    def steps_per_epoch(self, batch_size: int) -> int:
        """Return the number of steps in which every image is drawn at least once."""
        return max(-(-len(side) // count) for side, count in zip(self.sides, self.counts(batch_size), strict=True))

    def order(self, batch_size: int, one_pass: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the positions of an epoch's images, int64 [steps * batch_size], labeled images first in each step.

        Args:
            batch_size: number of images per step.
            one_pass: callable that takes positions, int64 [n], and returns them in a new random order.
        """
        steps = self.steps_per_epoch(batch_size)
        columns: list[Tensor] = []
        for side, count in zip(self.sides, self.counts(batch_size), strict=True):
            passes = [one_pass(side) for _ in range(-(-steps * count // len(side)))]
            columns.append(torch.cat(passes)[: steps * count].view(steps, count))
        # A micro-batch consists of every n-th image of a step, so each micro-batch has labeled and unlabeled images.
        return torch.cat(columns, dim=1).flatten()


class GroupDRO:
    """Weights of the groups by group DRO: a group with a higher loss gets a higher weight.

    Each group of the training split has a weight q; all weights are initially equal. After every step, q is multiplied
    by exp(step size * mean loss of the group), and all weights are scaled to a sum of 1. The primary loss of a step is
    the sum of q times the mean loss of the group, over the groups in the step, divided by the sum of q over these
    groups.

    A step uses the weights after the previous step, whereas the code of the paper updates the weights first. Therefore,
    the result of a step does not depend on the number of micro-batches or processes (for encoders without batch
    normalization).

    Args:
        group: int64 [N], group of each training image; -1 if unknown. Images of an unknown group have weight 1.
        groups: number of groups.
        step_size: step size of the weights.

    Attributes:
        log_weights: float64 [groups], logarithms of the weights.
        sums: float64 [2, groups], sum of losses and number of images per group in the current step.
    """

    def __init__(self, group: Tensor, groups: int, step_size: float) -> None:
        self.group, self.step_size = group, step_size
        self.log_weights = torch.full((groups,), -float(np.log(groups)), dtype=torch.float64)
        self.sums = torch.zeros(2, groups, dtype=torch.float64)

    def weights(self, indices: Tensor, step: Tensor) -> Tensor:
        """Return the weight of each image in a micro-batch, float32 [n]; 1 on average over a step with all groups.

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
        """Add the losses of a micro-batch, float [n], to the sums of the current step."""
        own = self.group[indices]
        known = own >= 0
        rows = torch.stack([losses.double(), torch.ones(len(losses), dtype=torch.float64)])
        self.sums.index_add_(1, own[known], rows[:, known])

    def update(self, sums: Tensor) -> None:
        """Update the weights after a step from the ``sums`` of all processes, and reset the sums."""
        total, count = sums.double().cpu()
        mean = torch.where(count > 0, total / count.clamp(min=1), 0.0)
        self.log_weights = (self.log_weights + self.step_size * mean).log_softmax(dim=0)
        self.sums.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state that a resumed run needs."""
        return {"log_shares": self.log_weights}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore the state that :meth:`state_dict` returned.

        Raises:
            ValueError: the state has a different number of groups.
        """
        if state["log_shares"].shape != self.log_weights.shape:
            raise ValueError("the checkpoint has a different number of groups than the training split")
        self.log_weights = state["log_shares"].double()


def make_group_dro(column: pd.Series, name: str, step_size: float) -> GroupDRO:
    """Create the group weights for a group column of the training split.

    Raises:
        InputError: there are fewer than two groups.
    """
    codes, levels = pd.factorize(column, sort=True)
    if len(levels) < 2:
        raise InputError(
            f"train.group_dro: '{name}' has {len(levels)} group among the labeled training images; expected two or more"
        )
    return GroupDRO(torch.from_numpy(codes.astype(np.int64)), len(levels), step_size)
