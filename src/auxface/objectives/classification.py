"""The primary objective: a head per task on the features of the whole picture."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from auxface.encoders import Features, MaskableEncoder
from auxface.objectives.batch import Batch
from auxface.objectives.heads import make_head
from auxface.objectives.task import Task
from auxface.objectives.task_losses import row_losses, weighted_mean
from auxface.objectives.texture_picture import texture_picture
from auxface.recipe import TextureInput


class Classification(nn.Module):
    """Cross-entropy for single labels, binary cross-entropy for the others; unknown labels are left out.

    Args:
        tasks: the tasks, each with its own head.
        width: length of the features that the heads read.
        label_smoothing: for single labels.
        texture: the map that is seen in place of the picture, or None.
    """

    def __init__(
        self, tasks: Sequence[Task], width: int, label_smoothing: float = 0.0, texture: TextureInput | None = None
    ) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.label_smoothing = label_smoothing
        self.texture = texture
        # A list, since a label's name may hold a dot, which a module's name may not.
        self.heads = nn.ModuleList(make_head(task, width) for task in self.tasks)

    def look(self, encoder: MaskableEncoder, batch: Batch) -> Features:
        """Encode the whole of what the classifier sees of a batch."""
        if batch.mixed is None:
            return encoder.encode(batch.embedded(encoder, self.texture))
        return self.look_at(encoder, batch.mixed.primary)

    def look_at(self, encoder: MaskableEncoder, images: Tensor) -> Features:
        """Encode whole pictures in [0, 1], float [B, 3, H, W]."""
        return encoder(images if self.texture is None else texture_picture(images, self.texture))

    def logits(self, pooled: Tensor) -> dict[str, Tensor]:
        """Pooled features [B, D] to logits per task, [B, outputs]."""
        return {task.name: head(pooled) for task, head in zip(self.tasks, self.heads, strict=True)}

    def forward(self, pooled: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of the tasks' losses, and each task's own, from pooled features [B, D]."""
        logits, mixed = self.logits(pooled), batch.mixed
        losses: dict[str, Tensor] = {}
        rows: list[Tensor] = []
        for task in self.tasks:
            labels = batch.labels[task.name]
            each, counts = row_losses(task, logits[task.name], labels, self.label_smoothing)
            if mixed is not None:
                other, others = row_losses(task, logits[task.name], labels[mixed.partner], self.label_smoothing)
                share = mixed.share.view(-1, *[1] * (each.ndim - 1))
                both = torch.maximum(counts, others)
                each = (share * each * counts + (1 - share) * other * others) / both.clamp(min=1e-6)
                counts = both
            rows.append(task.weight * _row_means(each, counts))
            if batch.weights is not None:
                counts = counts * batch.weights.view(-1, *[1] * (counts.ndim - 1))
            losses[task.name] = weighted_mean(each, counts, batch.counts.get(task.name))
        batch.row_losses = torch.stack(rows).sum(dim=0)
        total = torch.stack([task.weight * losses[task.name] for task in self.tasks]).sum()
        return total, {name: loss.detach() for name, loss in losses.items()}


def _row_means(each: Tensor, counts: Tensor) -> Tensor:
    """Each picture's mean loss over what counts of it, float32 [B], without gradients; 0 where nothing does."""
    each, counts = (part.detach().reshape(len(part), -1) for part in (each, counts))
    return (each * counts).sum(dim=1) / counts.sum(dim=1).clamp(min=1e-6)
