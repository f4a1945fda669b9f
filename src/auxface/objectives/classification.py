"""The primary objective: one linear head per task on the pooled features of the whole picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auxface.encoders import MaskableEncoder
from auxface.objectives.batch import Batch


@dataclass(frozen=True)
class Task:
    """One label that a head learns.

    Attributes:
        name: the label's name in the manifest.
        kind: ``class``, ``binary`` or ``multilabel``.
        classes: class or attribute names in order; binary has (negative, positive).
        weight: weight among the tasks.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    weight: float = 1.0

    @property
    def outputs(self) -> int:
        """Numbers that the head gives: one per class or attribute, one for a binary task."""
        return 1 if self.kind == "binary" else len(self.classes)


class Classification(nn.Module):
    """Cross-entropy for single labels, binary cross-entropy for the others; unknown labels are left out.

    Args:
        tasks: the tasks, each with its own head.
        width: length of the pooled features.
        label_smoothing: for single labels.
    """

    def __init__(self, tasks: Sequence[Task], width: int, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.label_smoothing = label_smoothing
        # A list, since a label's name may hold a dot, which a module's name may not.
        heads = [nn.Linear(width, task.outputs) for task in self.tasks]
        for head in heads:
            nn.init.trunc_normal_(head.weight, std=0.02)
            nn.init.zeros_(head.bias)
        self.heads = nn.ModuleList(heads)

    def logits(self, pooled: Tensor) -> dict[str, Tensor]:
        """Pooled features [B, D] to logits per task, [B, outputs]."""
        return {task.name: head(pooled) for task, head in zip(self.tasks, self.heads, strict=True)}

    def forward(self, encoder: MaskableEncoder, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of the tasks' losses, and each task's own."""
        mixed = batch.mixed
        embedded = batch.embedded(encoder) if mixed is None else encoder.embed(mixed.primary)
        logits = self.logits(encoder.encode(embedded).pooled)
        losses = {}
        for task in self.tasks:
            each, known = self._losses(task, logits[task.name], batch.labels[task.name])
            if mixed is not None:
                other, other_known = self._losses(task, logits[task.name], batch.labels[task.name][mixed.partner])
                share = mixed.share.view(-1, *[1] * (each.ndim - 1))
                each, known = share * each * known + (1 - share) * other * other_known, known | other_known
            losses[task.name] = (each * known).sum() / known.sum().clamp(min=1)
        total = torch.stack([task.weight * losses[task.name] for task in self.tasks]).sum()
        return total, {name: loss.detach() for name, loss in losses.items()}

    def _losses(self, task: Task, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of each row (and attribute), and whether its label is known."""
        logits = logits.float()
        if task.kind == "class":
            smoothing = self.label_smoothing
            each = F.cross_entropy(logits, labels, ignore_index=-1, reduction="none", label_smoothing=smoothing)
            return each, labels >= 0
        labels = labels.unsqueeze(1) if task.kind == "binary" else labels
        return F.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none"), ~labels.isnan()


def probabilities(task: Task, logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Logits [B, outputs] to probabilities: softmax over classes, sigmoid otherwise, both at a temperature."""
    logits = logits.float() / temperature
    return logits.softmax(dim=1) if task.kind == "class" else logits.sigmoid()
