"""From pooled features to the logits of one task.

The loss of one task for every row: cross-entropy of its kind, class weights, focal loss, unknown labels left out.

The primary objective: a head per task on the features of the whole image.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auxface.encoders import Features, MaskableEncoder
from auxface.objectives.base import Batch, Task, texture_image
from auxface.recipe import TextureInput

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


def row_losses(task: Task, logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """The loss of each row (and attribute, or step of an ordinal scale), and how much it counts.

    Args:
        task: the task.
        logits: [B, outputs].
        labels: class: int64 [B], -1 unknown; binary and ordinal: float [B]; multilabel: float [B, A]; NaN unknown.
        label_smoothing: share of the target spread over the classes; single labels alone.

    Returns:
        Two float32 tensors of one shape, [B] or [B, outputs]; an unknown label counts 0.
    """
    logits = logits.float()
    if task.kind == "class":
        return _single(task, logits, labels, label_smoothing)
    labels = labels.unsqueeze(1) if labels.ndim == 1 else labels
    known = (~labels.isnan()).float()
    if task.kind == "ordinal":
        steps = torch.tensor(task.values, device=labels.device)
        wanted = (labels > (steps[1:] + steps[:-1]) / 2).float()
        return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none"), known.expand_as(logits)
    wanted = labels.nan_to_num()
    each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    if task.focal_gamma:
        each = each * (wanted - logits.sigmoid()).abs() ** task.focal_gamma
    if task.class_weights:
        absent, present = torch.tensor(task.class_weights, device=logits.device).view(2, -1)
        known = known * torch.where(wanted > 0.5, present, absent)
    return each, known


def weighted_mean(each: Tensor, counts: Tensor, total: float | None = None) -> Tensor:
    """The mean of ``each`` by ``counts``; 0 where nothing counts. ``total`` replaces the sum of the counts."""
    divisor = counts.sum().clamp(min=1e-6) if total is None else max(total, 1e-6)
    return (each * counts).sum() / divisor


def _single(task: Task, logits: Tensor, labels: Tensor, label_smoothing: float) -> tuple[Tensor, Tensor]:
    each = F.cross_entropy(logits, labels, ignore_index=-1, reduction="none", label_smoothing=label_smoothing)
    known = (labels >= 0).float()
    at = labels.clamp(min=0)
    if task.focal_gamma:
        right = logits.softmax(dim=1).gather(1, at.unsqueeze(1))[:, 0]
        each = each * (1 - right) ** task.focal_gamma
    if task.class_weights:
        known = known * torch.tensor(task.class_weights, device=logits.device)[at]
    return each, known


class Classification(nn.Module):
    """Cross-entropy for single labels, binary cross-entropy for the others; unknown labels are left out.

    Args:
        tasks: the tasks, each with its own head.
        width: length of the features that the heads read.
        label_smoothing: for single labels.
        texture: the map that is seen in place of the image, or None.
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
        """Encode whole images in [0, 1], float [B, 3, H, W]."""
        return encoder(images if self.texture is None else texture_image(images, self.texture))

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
    """Each image's mean loss over what counts of it, float32 [B], without gradients; 0 where nothing does."""
    each, counts = (part.detach().reshape(len(part), -1) for part in (each, counts))
    return (each * counts).sum(dim=1) / counts.sum(dim=1).clamp(min=1e-6)
