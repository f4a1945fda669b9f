"""Classification, a primary objective: a head for each task on the pooled features of the whole image.

The loss is the cross-entropy for class labels, and the binary cross-entropy for binary labels, for attributes and for
the thresholds of an ordinal label. Class weights and the focal loss (Lin et al., 2017) are options of a task. Unknown
labels are ignored.

The classifier can also read decoder features, fused with the features of the encoder (our interpretation of
Fusion-SSAT, arXiv 2601.00789). We do not know which features, which fusion operator and which inference procedure the
paper uses. Here, the decoder of the masked autoencoder, which learns texture from its target, also decodes all tokens
of the whole face. No patch is masked, so that scores are deterministic.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auxface.objectives.batch import Batch
from auxface.objectives.objective import BuildContext, LearnedTask, PrimaryLoss, PrimaryObjective
from auxface.objectives.registry import ObjectiveSpec, register
from auxface.recipe import Primary, TextureInput

# Initially, the thresholds of an ordinal task are evenly spaced from -3 to 3.
_REACH = 3.0


class Classification(PrimaryObjective):
    """The primary objective of supervised classification.

    Args:
        tasks: tasks of the model; each has its own head.
        width: dimension of the pooled features.
        label_smoothing: fraction of the target probability that is distributed uniformly over the classes (class and
            binary tasks).
        texture: texture map that replaces the image as input of the encoder; None to use the image.
        view: view of the batch that is classified in training.
    """

    def __init__(
        self,
        tasks: Sequence[LearnedTask],
        width: int,
        *,
        label_smoothing: float = 0.0,
        texture: TextureInput | None = None,
        view: Literal["augmented", "clean"] = "augmented",
    ) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.label_smoothing = label_smoothing
        self.texture = texture
        self.view = view
        # A list is used, because the name of a label may contain a dot, but the name of a module may not.
        self.heads = nn.ModuleList(make_head(task, width) for task in self.tasks)

    def forward(self, pooled: Tensor, batch: Batch) -> PrimaryLoss:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Compute the weighted mean of the losses of all tasks, and the loss of each task for the log."""
        logits, mixed = self.logits(pooled), batch.mixed
        losses: dict[str, tuple[Tensor, Tensor]] = {}
        for task in self.tasks:
            labels = batch.labels[task.name]
            each, counts = sample_losses(task, logits[task.name], labels, self.label_smoothing)
            if mixed is not None:
                other, others = sample_losses(task, logits[task.name], labels[mixed.partner], self.label_smoothing)
                share = mixed.weight.view(-1, *[1] * (each.ndim - 1))
                both = torch.maximum(counts, others)
                each = (share * each * counts + (1 - share) * other * others) / both.clamp(min=1e-6)
                counts = both
            losses[task.name] = each, counts
        return joined_loss(self.tasks, losses, batch)

    def logits(self, pooled: Tensor) -> dict[str, Tensor]:
        """Return the logits of each task, [B, outputs], from the pooled features [B, D]."""
        return {task.name: head(pooled) for task, head in zip(self.tasks, self.heads, strict=True)}

    def embed(self, pooled: Tensor) -> Tensor:
        """Return the pooled features unchanged, [B, D]; they are the embedding of a classifier."""
        return pooled

    def validation_figure(
        self, metric: str, logits: Mapping[str, np.ndarray], labels: Mapping[str, Tensor]
    ) -> float | None:
        """Return the mean of a metric over the tasks; see :func:`~.validation_figures.classification_figure`."""
        # Imported here because it imports scikit-learn, which inference does not need.
        from auxface.objectives.validation_figures import classification_figure

        return classification_figure(metric, self.tasks, logits, labels)


def joined_loss(tasks: Sequence[LearnedTask], losses: Mapping[str, tuple[Tensor, Tensor]], batch: Batch) -> PrimaryLoss:
    """Combine the losses of several tasks into the loss of the primary objective.

    Args:
        tasks: the tasks.
        losses: losses and weights of the samples (and attributes), by task, as returned by :func:`sample_losses`.
        batch: the batch, which contains image weights and divisors.
    """
    means: dict[str, Tensor] = {}
    per_sample: list[Tensor] = []
    for task in tasks:
        each, counts = losses[task.name]
        per_sample.append(task.weight * _mean_per_sample(each, counts))
        if batch.weights is not None:
            counts = counts * batch.weights.view(-1, *[1] * (counts.ndim - 1))
        means[task.name] = weighted_mean(each, counts, batch.label_counts.get(task.name))
    # Losses are averaged over tasks, so that the number of tasks does not change the weight of the primary objective.
    divisor = sum(task.weight for task in tasks)
    total = torch.stack([task.weight * means[task.name] for task in tasks]).sum() / divisor
    logs = {name: loss.detach() for name, loss in means.items()}
    return PrimaryLoss(total, logs, torch.stack(per_sample).sum(dim=0) / divisor)


def sample_losses(
    task: LearnedTask, logits: Tensor, labels: Tensor, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Compute the loss and the weight of each sample (and of each attribute or ordinal threshold).

    Args:
        task: the task.
        logits: logits of the task, [B, outputs].
        labels: labels of the task. Class: int64 [B], -1 if unknown. Binary and ordinal: float [B]; multilabel: float
            [B, A]; NaN if unknown.
        label_smoothing: fraction of the target probability that is distributed uniformly over the classes (class and
            binary tasks).

    Returns:
        Losses and weights, float32 of equal shape, [B] or [B, outputs]. An unknown label has weight 0.
    """
    logits = logits.float()
    if task.kind == "class":
        return _single_label_losses(task, logits, labels, label_smoothing)
    labels = labels.unsqueeze(1) if labels.ndim == 1 else labels
    known = (~labels.isnan()).float()
    if task.kind == "ordinal":
        values = torch.tensor(task.values, device=labels.device)
        target = (labels > (values[1:] + values[:-1]) / 2).float()
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none"), known.expand_as(logits)
    target = labels.nan_to_num()
    smoothing = label_smoothing if task.kind == "binary" else 0.0
    each = F.binary_cross_entropy_with_logits(logits, target * (1 - smoothing) + smoothing / 2, reduction="none")
    if task.focal_gamma:
        each = each * (target - logits.sigmoid()).abs() ** task.focal_gamma
    if task.class_weights:
        absent, present = torch.tensor(task.class_weights, device=logits.device).view(2, -1)
        known = known * torch.where(target > 0.5, present, absent)
    return each, known


def weighted_mean(each: Tensor, counts: Tensor, total: float | None = None) -> Tensor:
    """Return the mean of ``each`` weighted by ``counts``, or 0 if all counts are 0; ``total`` replaces their sum."""
    divisor = counts.sum().clamp(min=1e-6) if total is None else max(total, 1e-6)
    return (each * counts).sum() / divisor


def make_head(task: LearnedTask, width: int) -> nn.Module:
    """Create the head of a task: a linear layer or, for an ordinal task, :class:`OrderedThresholds`."""
    if task.kind == "ordinal":
        return OrderedThresholds(width, task.outputs)
    head = nn.Linear(width, task.outputs)
    nn.init.trunc_normal_(head.weight, std=0.02)
    nn.init.zeros_(head.bias)
    return head


class OrderedThresholds(nn.Module):
    """A head for ordinal labels: for each threshold, the logit of exceeding the threshold (McCullagh, 1980).

    All thresholds apply to the same score, so that a higher threshold is never more likely to be exceeded than a lower
    threshold (as in CORAL, Cao et al., 2020). The distances between the thresholds are kept positive.

    Args:
        width: dimension of the pooled features.
        thresholds: number of thresholds, which is the number of values minus one.
    """

    def __init__(self, width: int, thresholds: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1, bias=False)
        nn.init.trunc_normal_(self.score.weight, std=0.02)
        distance = 2 * _REACH / max(thresholds - 1, 1)
        self.first = nn.Parameter(torch.full((1,), -_REACH if thresholds > 1 else 0.0))
        # The inverse of softplus makes the thresholds evenly spaced initially.
        self.gaps = nn.Parameter(torch.full((thresholds - 1,), math.log(math.expm1(distance))))

    def forward(self, features: Tensor) -> Tensor:
        """Convert features [B, D] to logits [B, thresholds], which decrease along each row."""
        gaps = F.softplus(self.gaps)
        thresholds = torch.cat([self.first, self.first + gaps.cumsum(dim=0)])
        return self.score(features) - thresholds


def _single_label_losses(
    task: LearnedTask, logits: Tensor, labels: Tensor, label_smoothing: float
) -> tuple[Tensor, Tensor]:
    each = F.cross_entropy(logits, labels, ignore_index=-1, reduction="none", label_smoothing=label_smoothing)
    known = (labels >= 0).float()
    at = labels.clamp(min=0)
    if task.focal_gamma:
        right = logits.softmax(dim=1).gather(1, at.unsqueeze(1))[:, 0]
        each = each * (1 - right) ** task.focal_gamma
    if task.class_weights:
        known = known * torch.tensor(task.class_weights, device=logits.device)[at]
    return each, known


def _mean_per_sample(each: Tensor, counts: Tensor) -> Tensor:
    """Return the mean loss of each image over its known labels, float32 [B], detached; 0 if no label is known."""
    each, counts = (part.detach().reshape(len(part), -1) for part in (each, counts))
    return (each * counts).sum(dim=1) / counts.sum(dim=1).clamp(min=1e-6)


def _build(options: Primary, context: BuildContext) -> Classification:
    texture = context.texture if options.input == "texture" else None
    return Classification(
        context.tasks,
        context.feature_width,
        label_smoothing=options.label_smoothing,
        texture=texture,
        view=options.view,
    )


register(ObjectiveSpec("classification", Primary, _build, role="primary"))


_HEAD_WIDTH = 64


class Concatenation(nn.Module):
    """Concatenation of the encoder's features and the mean of the decoder's tokens.

    Args:
        width: dimension D of the encoder's features.
        decoder_width: dimension E of the decoder's tokens.

    Attributes:
        width: dimension of the fused features.
    """

    def __init__(self, width: int, decoder_width: int) -> None:
        super().__init__()
        self.width = width + decoder_width

    def forward(self, pooled: Tensor, decoded: Tensor) -> Tensor:
        """Fuse pooled features [B, D] and decoder tokens [B, N, E] to [B, D + E]."""
        return torch.cat([pooled, decoded.mean(dim=1)], dim=1)


class Gate(nn.Module):
    """Weighted sum with a learned gate g per feature: g * encoder + (1 - g) * decoder.

    The arguments are the same as for :class:`Concatenation`.
    """

    def __init__(self, width: int, decoder_width: int) -> None:
        super().__init__()
        self.width = width
        self.project = nn.Linear(decoder_width, width)
        self.gate = nn.Linear(2 * width, width)

    def forward(self, pooled: Tensor, decoded: Tensor) -> Tensor:
        """Fuse pooled features [B, D] and decoder tokens [B, N, E] to [B, D]."""
        other = self.project(decoded.mean(dim=1))
        gate = self.gate(torch.cat([pooled, other], dim=1)).sigmoid()
        return gate * pooled + (1 - gate) * other


class CrossAttention(nn.Module):
    """Sum of the encoder's features and their cross-attention to the decoder's tokens.

    The arguments are the same as for :class:`Concatenation`.
    """

    def __init__(self, width: int, decoder_width: int) -> None:
        super().__init__()
        self.width = width
        self.heads = max(1, width // _HEAD_WIDTH)
        while width % self.heads:
            self.heads -= 1
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(decoder_width, 2 * width)
        self.projection = nn.Linear(width, width)

    def forward(self, pooled: Tensor, decoded: Tensor) -> Tensor:
        """Fuse pooled features [B, D] and decoder tokens [B, N, E] to [B, D]."""
        batch, patches = decoded.shape[:2]
        query = self.query(pooled).view(batch, 1, self.heads, -1).transpose(1, 2)
        key, value = self.key_value(decoded).view(batch, patches, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value)
        return pooled + self.projection(attended.transpose(1, 2).reshape(batch, -1))


FUSIONS = {"concat": Concatenation, "gated": Gate, "cross_attention": CrossAttention}
