"""A label that a head learns, and how its logits become probabilities."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Task:
    """One label that a head learns.

    Attributes:
        name: the label's name in the manifest.
        kind: ``class``, ``binary``, ``multilabel`` or ``ordinal``.
        classes: class or attribute names in order; binary has (negative, positive); ordinal the values as text.
        weight: weight among the tasks.
        values: ordinal alone: the numbers that an answer can be, ascending.
        class_weights: weight of each class in the loss, of (negative, positive) for a binary task, of the absence of
            each attribute and then of the presence of each for several; empty: all alike.
        focal_gamma: exponent of the focal loss; 0: off.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    weight: float = 1.0
    values: tuple[float, ...] = ()
    class_weights: tuple[float, ...] = ()
    focal_gamma: float = 0.0

    @property
    def outputs(self) -> int:
        """Numbers that the head gives: one per class or attribute, one for binary, one per step for ordinal."""
        if self.kind == "ordinal":
            return len(self.values) - 1
        return 1 if self.kind == "binary" else len(self.classes)


def probabilities(task: Task, logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Logits [B, outputs] to probabilities at a temperature.

    Returns:
        float32; class: [B, C], softmax; binary [B, 1] and multilabel [B, A]: sigmoid; ordinal: [B, C], the share of
        each value, which is the difference between the probabilities of exceeding its neighbours.
    """
    logits = logits.float() / temperature
    if task.kind == "class":
        return logits.softmax(dim=1)
    if task.kind == "ordinal":
        above = torch.nn.functional.pad(logits.sigmoid(), (1, 0), value=1.0)
        return above - torch.nn.functional.pad(above[:, 1:], (0, 1))
    return logits.sigmoid()


def expected_value(task: Task, logits: Tensor, temperature: float = 1.0) -> Tensor:
    """The number that an ordinal task predicts, float32 [B]: the mean of its values by their probabilities."""
    shares = probabilities(task, logits, temperature)
    return shares @ torch.tensor(task.values, dtype=torch.float32, device=shares.device)
