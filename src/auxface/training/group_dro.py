"""Group distributionally robust optimisation (Sagawa et al., 2020): the group that fares worst counts the most.

A share q per group of the training split, alike at first. After every step the share of each group in it is multiplied
by exp(step size * mean loss of the group), and all are scaled to add up to 1. The primary loss of a step is the sum
over its groups of q times the mean loss of the group, over the q of the groups that are in it.

A step is weighed by the shares that the steps before it left (the paper's code updates them first), so that a step
taken in parts, or on several processes, is the same step (for encoders without batch normalization).
"""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from auxface.errors import InputError


class GroupShares:
    """The shares, and what the step under way has shown so far.

    Args:
        group: int64 [N], group of each picture of the training split; -1 where it is not stated. Such pictures weigh 1.
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
        """How much each picture of a part counts, float32 [n]; 1 on average over a step with all groups.

        Args:
            indices: int64 [n], numbers of the part's pictures.
            step: int64 [m], of all pictures of the step.
        """
        known = self.group[step]
        known = known[known >= 0]
        counts = torch.bincount(known, minlength=len(self.log_shares)).double()
        shares = self.log_shares.exp() / counts.clamp(min=1) * len(known)
        own = self.group[indices]
        return torch.where(own >= 0, shares[own.clamp(min=0)], 1.0).float()

    def add(self, indices: Tensor, losses: Tensor) -> None:
        """Take in the losses float [n] of a part's pictures."""
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
