"""Which images are drawn how often, and how much each counts: three ways to help a group that fares badly.

A group's labels come to a model's training here alone, and only where the recipe names their column.

Group distributionally robust optimization (Sagawa et al., 2020): the group that fares worst counts the most.

A share q per group of the training split, alike at first. After every step the share of each group in it is multiplied
by exp(step size * mean loss of the group), and all are scaled to add up to 1. The primary loss of a step is the sum
over its groups of q times the mean loss of the group, over the q of the groups that are in it.

A step is weighed by the shares that the steps before it left (the paper's code updates them first), so that a step
taken in parts, or on several processes, is the same step (for encoders without batch normalization).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from auxface.errors import InputError
from auxface.objectives import Task
from auxface.recipe import Train


class GroupShares:
    """The shares, and what the step under way has shown so far.

    Args:
        group: int64 [N], group of each image of the training split; -1 where it is not stated. Such images weigh 1.
        groups: how many there are.
        step_size: how fast the shares move.

    Attributes:
        log_shares: float64 [groups], logarithms of the shares.
    """

    def __init__(self, group: Tensor, groups: int, step_size: float) -> None:
        self.group, self.step_size = group, step_size
        self.log_shares = torch.full((groups,), -float(np.log(groups)), dtype=torch.float64)
        self._seen = torch.zeros(2, groups, dtype=torch.float64)

    def weights(self, indices: Tensor, step: Tensor) -> Tensor:
        """How much each image of a part counts, float32 [n]; 1 on average over a step with all groups.

        Args:
            indices: int64 [n], numbers of the part's images.
            step: int64 [m], of all images of the step.
        """
        known = self.group[step]
        known = known[known >= 0]
        counts = torch.bincount(known, minlength=len(self.log_shares)).double()
        shares = self.log_shares.exp() / counts.clamp(min=1) * len(known)
        own = self.group[indices]
        return torch.where(own >= 0, shares[own.clamp(min=0)], 1.0).float()

    def add(self, indices: Tensor, losses: Tensor) -> None:
        """Take in the losses float [n] of a part's images."""
        own = self.group[indices]
        known = own >= 0
        rows = torch.stack([losses.double(), torch.ones(len(losses), dtype=torch.float64)])
        self._seen.index_add_(1, own[known], rows[:, known])

    @property
    def seen(self) -> Tensor:
        """Sum of losses and count per group of the step so far, float64 [2, groups]."""
        return self._seen

    def move(self, seen: Tensor) -> None:
        """End a step: shares move by the groups' mean losses, from what all processes have ``seen``."""
        total, count = seen.double().cpu()
        mean = torch.where(count > 0, total / count.clamp(min=1), 0.0)
        self.log_shares = (self.log_shares + self.step_size * mean).log_softmax(dim=0)
        self._seen.zero_()

    def state(self) -> dict[str, Tensor]:
        """What a resumed run needs."""
        return {"log_shares": self.log_shares}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take back what :meth:`state` gave.

        Raises:
            ValueError: it is of another number of groups.
        """
        if state["log_shares"].shape != self.log_shares.shape:
            raise ValueError("the checkpoint has another number of groups")
        self.log_shares = state["log_shares"].double()


def group_shares(column: pd.Series, name: str, step_size: float) -> GroupShares:
    """Shares of the groups in a column of the training split.

    Raises:
        InputError: fewer than two groups, so that there is nothing to balance.
    """
    codes, levels = pd.factorize(column, sort=True)
    if len(levels) < 2:
        raise InputError(
            f"train.group_dro: '{name}' has {len(levels)} group in the training split; expected two or more"
        )
    return GroupShares(torch.from_numpy(codes.astype(np.int64)), len(levels), step_size)


@dataclass(frozen=True)
class Balance:
    """What a training split is drawn and weighed by.

    Attributes:
        chances: float64 [N], how often each image is drawn, with replacement; None: each once an epoch.
        weights: float32 [N], how much it counts for the primary objective, 1 on average; None: all alike.
        shares: of the groups, which follow their losses; None: no group DRO.
    """

    chances: Tensor | None = None
    weights: Tensor | None = None
    shares: GroupShares | None = None


def balance_for(options: Train, table: pd.DataFrame, groups: tuple[str, ...], tasks: tuple[Task, ...]) -> Balance:
    """What the recipe asks for.

    Args:
        options: the recipe's section.
        table: the rows of the training split.
        groups: the manifest's group columns.
        tasks: the tasks; ``class_balanced`` balances the first that has single answers.

    Raises:
        InputError: the named column is no group of the manifest, or no task has classes to balance.
    """
    if options.group is not None and options.group not in groups:
        raise InputError(
            f"train.group: the manifest has no group column '{options.group}'; it has: {', '.join(groups) or 'none'}"
        )
    if options.threshold_per_group and not any(task.kind in ("binary", "multilabel") for task in tasks):
        raise InputError(
            "train.threshold_per_group needs a task of kind binary or multilabel; a choice takes the highest score"
        )
    chances = weights = None
    if options.sampling == "group_balanced":
        chances = inverse_frequency(table[options.group])
    elif options.sampling == "class_balanced":
        single = next((task for task in tasks if task.kind in ("class", "binary")), None)
        if single is None:
            raise InputError("train.sampling class_balanced needs a task of kind class or binary")
        chances = inverse_frequency(table[single.name])
    if options.reweight_group:
        weights = inverse_frequency(table[options.group]).float()
    shares = None
    if options.group is not None and options.group_dro is not None:
        shares = group_shares(table[options.group], options.group, options.group_dro)
    return Balance(chances, weights, shares)


def inverse_frequency(values: pd.Series) -> Tensor:
    """A weight for every row, float64 [N], 1 on average, so that each value has the same sum; unknown ones weigh 1."""
    counts = values.map(values.value_counts())
    weights = (1 / counts).to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    known = ~np.isnan(weights)
    weights[known] *= known.sum() / max(weights[known].sum(), 1e-12)
    weights[~known] = 1
    return torch.from_numpy(weights)
