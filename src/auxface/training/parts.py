"""A step's pictures split over processes and over parts of accumulated gradients, so that the sum stays the same.

Losses are means: over pictures, or over known labels. A part's own mean would weigh a picture by how small its part is,
so every part divides by what the whole step holds instead. The sum is not the same where the network has batch
normalization, whose statistics are those of each part.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from auxface.objectives import Task
from auxface.objectives.task_losses import row_losses


@dataclass(frozen=True)
class Part:
    """What one process does at once.

    Attributes:
        indices: int64 [b], numbers of the pictures; never empty.
        share: pictures of the part that count, times parts, over pictures of the step; 1 where all parts are alike.
    """

    indices: Tensor
    share: float


def deal(indices: Tensor, *, ranks: int, rank: int, accumulate: int) -> list[Part]:
    """The parts of one process, ``accumulate`` of them, each with every ``ranks * accumulate``-th picture.

    Where a last small step has fewer pictures than parts, a part holds one that counts for nothing, for every process
    has to take part in every step.
    """
    parts = ranks * accumulate
    own: list[Part] = []
    for turn in range(accumulate):
        some = indices[rank * accumulate + turn :: parts]
        own.append(Part(some if len(some) else indices[:1], len(some) * parts / len(indices)))
    return own


def label_counts(
    tasks: tuple[Task, ...], labels: dict[str, Tensor], parts: int, weights: Tensor | None = None
) -> dict[str, float]:
    """Per task, what each of ``parts`` parts of a step divides its sum of losses by.

    Args:
        tasks: the tasks.
        labels: of all pictures of the step, per task.
        parts: of the step, over all processes.
        weights: float [n], how much each of these pictures counts; None: all alike.
    """
    counts: dict[str, float] = {}
    for task in tasks:
        wanted = labels[task.name]
        counted = row_losses(task, torch.zeros(len(wanted), task.outputs), wanted)[1]
        if weights is not None:
            counted = counted * weights.view(-1, *[1] * (counted.ndim - 1))
        counts[task.name] = float(counted.sum()) / parts
    return counts
