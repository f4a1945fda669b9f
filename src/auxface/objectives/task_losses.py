"""The loss of one task for every row: cross-entropy of its kind, class weights, focal loss, unknown labels left out."""

import torch
import torch.nn.functional as F
from torch import Tensor

from auxface.objectives.task import Task


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
