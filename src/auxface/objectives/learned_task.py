"""A label that a model learns, and how its logits become probabilities and numbers."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from auxface.task import Task


@dataclass(frozen=True)
class LearnedTask(Task):
    """One label that a model learns.

    Attributes:
        name: name of the label in the manifest.
        kind: ``class``, ``binary``, ``multilabel`` or ``ordinal``.
        classes: class or attribute names in order; binary: (negative, positive); ordinal: the values as text.
        weight: weight among the tasks.
        values: ordinal only: the numbers that can be predicted, ascending.
        class_weights: weights in the loss. Class: one per class; binary: (negative, positive); multilabel: of the
            absence of each attribute, then of the presence of each. Empty: equal weights.
        focal_gamma: exponent of the focal loss; 0: off.
    """

    weight: float = 1.0
    values: tuple[float, ...] = ()
    class_weights: tuple[float, ...] = ()
    focal_gamma: float = 0.0

    @property
    def outputs(self) -> int:
        """Number of logits: one per class or attribute, one for binary, one per threshold for ordinal."""
        if self.kind == "ordinal":
            return len(self.values) - 1
        return 1 if self.kind == "binary" else len(self.classes)


def probabilities(task: LearnedTask, logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Convert logits [B, outputs] to probabilities.

    Returns:
        float32. Class: [B, C], the softmax. Binary [B, 1] and multilabel [B, A]: the sigmoid. Ordinal: [B, C], the
        probability of each value, which is the difference between the probabilities of exceeding its two thresholds.
    """
    logits = logits.float() / temperature
    if task.kind == "class":
        return logits.softmax(dim=1)
    if task.kind == "ordinal":
        above = F.pad(logits.sigmoid(), (1, 0), value=1.0)
        return above - F.pad(above[:, 1:], (0, 1))
    return logits.sigmoid()


def expected_value(task: LearnedTask, logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Return the prediction of an ordinal task, float32 [B]: the mean of its values weighted by their probabilities."""
    weights = probabilities(task, logits, temperature)
    return weights @ torch.tensor(task.values, dtype=torch.float32, device=weights.device)
