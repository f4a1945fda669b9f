"""From pooled features to the logits of one task."""

import math

import torch
from torch import Tensor, nn

from auxface.objectives.task import Task

_REACH = 3.0


def make_head(task: Task, width: int) -> nn.Module:
    """A linear layer; for an ordinal task one direction with ordered steps."""
    if task.kind == "ordinal":
        return OrderedSteps(width, task.outputs)
    head = nn.Linear(width, task.outputs)
    nn.init.trunc_normal_(head.weight, std=0.02)
    nn.init.zeros_(head.bias)
    return head


class OrderedSteps(nn.Module):
    """Logits of exceeding each step of a scale: one score against ascending thresholds (McCullagh, 1980).

    The steps share the score's direction, so that a later step is never likelier than an earlier one (as in CORAL, Cao
    et al., 2020), and their distances are kept positive.

    Args:
        width: length of the features.
        steps: thresholds, one fewer than there are values.
    """

    def __init__(self, width: int, steps: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1, bias=False)
        nn.init.trunc_normal_(self.score.weight, std=0.02)
        apart = 2 * _REACH / max(steps - 1, 1)
        self.first = nn.Parameter(torch.full((1,), -_REACH if steps > 1 else 0.0))
        # The inverse of softplus, so that the steps start evenly spread.
        self.gaps = nn.Parameter(torch.full((steps - 1,), math.log(math.expm1(apart))))

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, D] to logits [B, steps], descending along a row."""
        gaps = nn.functional.softplus(self.gaps)
        thresholds = torch.cat([self.first, self.first + gaps.cumsum(dim=0)])
        return self.score(features) - thresholds
