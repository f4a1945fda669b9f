"""Metric learning, the primary objective for identity and retrieval: one unit-norm embedding for all labels.

Each class, person or attribute has a proxy, a learned vector with which embeddings are compared by cosine similarity.
For identity and class labels, the loss is a margin or proxy loss of pytorch-metric-learning. For binary labels and
attributes, the loss is the binary cross-entropy of ``scale * cosine + bias``, after the joint metric and tag learning
of Seo et al. (arXiv 2304.07449). Only the abstract of this paper was available; the details are our own.

Proxies of people are used only in training: the test split contains other people, and an exported model contains
neither these proxies nor the people's names. Predictions are computed from the proxies of classes and attributes, which
are exported.

pytorch-metric-learning and scikit-learn are imported where they are used, because inference also loads this module.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from auxface.errors import InputError
from auxface.objectives.batch import Batch
from auxface.objectives.classification import joined_loss, sample_losses
from auxface.objectives.contrast.cluster_contrast import gather_rows
from auxface.objectives.objective import BuildContext, LearnedTask, PrimaryLoss, PrimaryObjective
from auxface.objectives.registry import ObjectiveSpec, register
from auxface.recipe import Primary, TextureInput

if TYPE_CHECKING:
    from pytorch_metric_learning.losses import BaseMetricLossFunction

MARGINS = {"cosface": 0.35, "arcface": 0.5, "proxy_anchor": 0.1, "normalized_softmax": 0.0}
SCALES = {"cosface": 64.0, "arcface": 64.0, "proxy_anchor": 32.0, "normalized_softmax": 20.0}
_EMBEDDING_FIGURES = ("verification_auc", "recall_at_1")


class Proxies(nn.Module):
    """The proxies of a task's classes or attributes, and their logits.

    Args:
        task: the task.
        width: dimension of the embedding.
        scale: scale factor of the cosines.
    """

    def __init__(self, task: LearnedTask, width: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.vectors = nn.Parameter(torch.randn(task.outputs, width) / math.sqrt(width))
        self.bias = None if task.kind == "class" else nn.Parameter(torch.zeros(task.outputs))

    def forward(self, embedding: Tensor) -> Tensor:
        """Return the logits [B, outputs] of unit-norm embeddings [B, E]."""
        with torch.autocast(embedding.device.type, enabled=False):
            logits = self.scale * embedding.float() @ F.normalize(self.vectors.float(), dim=1).T
            return logits if self.bias is None else logits + self.bias.float()


class MetricLearning(PrimaryObjective):
    """The primary objective of metric learning.

    Args:
        tasks: tasks of the model. A loaded model has no identity task and therefore no proxies of people.
        width: dimension of the pooled features.
        options: the recipe section.
        texture: texture map that replaces the image as input of the encoder; None to use the image.

    Raises:
        InputError: a task is ordinal, or sets a loss option that metric learning does not support.
    """

    def __init__(
        self, tasks: Sequence[LearnedTask], width: int, options: Primary, texture: TextureInput | None = None
    ) -> None:
        super().__init__()
        for task in tasks:
            _check_task(task, options.loss)
        self.tasks = tuple(tasks)
        self.options = options
        self.texture = texture
        self.view = options.view
        self.projection = nn.Linear(width, options.embedding_width)
        scale = options.scale or SCALES[options.loss]
        made = {
            task.name: Proxies(
                task, options.embedding_width, scale if task.kind == "class" else options.attribute_scale
            )
            for task in self.tasks
        }
        # Lists are used, because the name of a label may contain a dot, but the name of a module may not.
        self.proxies = nn.ModuleList(made[task.name] for task in self.predicted_tasks)
        self.identity_proxies = nn.ModuleList(made[task.name] for task in self.tasks if task.identity)

    def forward(self, pooled: Tensor, batch: Batch) -> PrimaryLoss:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Compute the weighted mean of the losses of all tasks, and the loss of each task for the log."""
        embedding = self.embed(pooled)
        losses: dict[str, tuple[Tensor, Tensor]] = {}
        for task, proxies in self._pairs():
            labels = batch.labels[task.name]
            if task.kind == "class":
                losses[task.name] = self._class_losses(task, proxies, embedding, labels, batch.weights)
            else:
                losses[task.name] = sample_losses(task, proxies(embedding), labels)
        return joined_loss(self.tasks, losses, batch)

    def embed(self, pooled: Tensor) -> Tensor:
        """Return unit-norm embeddings, float32 [B, embedding_width]."""
        return F.normalize(self.projection(pooled).float(), dim=1)

    def logits(self, pooled: Tensor) -> dict[str, Tensor]:
        """Return the logits (scaled cosines) of each class, binary and multilabel task; identity labels have none."""
        embedding = self.embed(pooled)
        return {task.name: proxies(embedding) for task, proxies in self._pairs() if not task.identity}

    def validation_outputs(self, pooled: Tensor) -> dict[str, Tensor]:
        """Return the logits of each task, and the embeddings for each identity task."""
        embedding = self.embed(pooled)
        return self.logits(pooled) | {task.name: embedding for task in self.tasks if task.identity}

    def validation_figure(
        self, metric: str, logits: Mapping[str, np.ndarray], labels: Mapping[str, Tensor]
    ) -> float | None:
        """Return the mean metric over the tasks; identity labels use embeddings, and all other labels use scores."""
        from auxface.evaluation import validation_recall, verification_auc
        from auxface.objectives.validation_figures import classification_figure

        of_scores = "balanced_accuracy" if metric in _EMBEDDING_FIGURES else metric
        figures = {"verification_auc": verification_auc, "recall_at_1": validation_recall}
        values: list[float | None] = []
        for task in self.tasks:
            if task.identity:
                people = np.asarray(labels[task.name])
                values.append(figures[metric](logits[task.name][people >= 0], people[people >= 0]))
            else:
                values.append(classification_figure(of_scores, (task,), logits, labels))
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known else None

    def _class_losses(
        self, task: LearnedTask, proxies: Proxies, embedding: Tensor, labels: Tensor, weights: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of each image and its weight, [B]; an image without a label has loss and weight 0."""
        known = labels >= 0
        if weights is not None:
            # An otherwise empty micro-batch contains one image of weight 0.
            known = known & (weights > 0)
        counts = known.float()
        rows, targets = embedding[known], labels[known]
        margin = MARGINS[self.options.loss] if self.options.margin is None else self.options.margin
        if self.options.loss == "proxy_anchor":
            # The terms of this loss are sums over all images of a step, on all processes.
            rows, targets = gather_rows(rows), gather_rows(targets)
            loss = proxy_loss("proxy_anchor", rows, targets, proxies.vectors, margin=margin, scale=proxies.scale)
            return loss.expand(len(labels)) * counts, counts
        loss = proxy_loss(self.options.loss, rows, targets, proxies.vectors, margin=margin, scale=proxies.scale)
        # Sums of all rows and proxies are added with weight 0, so that rows and proxies have gradients even in a step
        # without labels.
        nothing = 0 * (embedding.sum() + proxies.vectors.float().sum())
        each = torch.zeros(len(labels), device=loss.device).masked_scatter(known, loss) + nothing
        if task.class_weights:
            counts = counts * torch.tensor(task.class_weights, device=labels.device)[labels.clamp(min=0)]
        return each, counts

    def _pairs(self) -> list[tuple[LearnedTask, Proxies]]:
        found: list[tuple[LearnedTask, Proxies]] = []
        others, people = iter(self.proxies), iter(self.identity_proxies)
        for task in self.tasks:
            proxies = next(people if task.identity else others)
            assert isinstance(proxies, Proxies)
            found.append((task, proxies))
        return found

    @property
    def training_only(self) -> tuple[str, ...]:
        """Prefixes of the names of weights that an exported model does not need: the identity proxies."""
        return ("identity_proxies.",)


def proxy_loss(name: str, embedding: Tensor, labels: Tensor, proxies: Tensor, *, margin: float, scale: float) -> Tensor:
    """Compute a loss of pytorch-metric-learning from given proxies, in float32.

    Args:
        name: ``cosface``, ``arcface``, ``proxy_anchor`` or ``normalized_softmax``.
        embedding: [B, E], unit-norm embeddings.
        labels: int64 [B], index of each image's proxy in ``proxies``.
        proxies: [C, E], proxies of the classes; they do not have to be normalized.
        margin: margin of the loss, in radians for ArcFace.
        scale: scale factor of the cosines.

    Returns:
        The loss of each image, [B]; for ``proxy_anchor``, whose terms combine several images, a scalar loss.
    """
    if not len(labels):
        nothing = 0 * (embedding.sum() + proxies.float().sum())
        return nothing if name == "proxy_anchor" else embedding.sum(dim=1)
    function = _loss_function(name, *proxies.shape, margin, scale)
    weight = {"proxies": proxies} if name == "proxy_anchor" else {"W": proxies.T}
    with torch.autocast(embedding.device.type, enabled=False):
        weight = {key: value.float() for key, value in weight.items()}
        found = functional_call(function, weight, (embedding.float(), labels))
    if name != "proxy_anchor":
        return found["loss"]["losses"]
    parts = [found[part]["losses"].sum() / max(found[part]["divisor"], 1) for part in ("pos_loss", "neg_loss")]
    return torch.stack(parts).sum()


@functools.lru_cache(maxsize=16)
def _loss_function(name: str, classes: int, width: int, margin: Any, scale: Any) -> "BaseMetricLossFunction":
    from pytorch_metric_learning import losses
    from pytorch_metric_learning.reducers import DoNothingReducer

    # The proxies are passed in each call, so the module's own weights need no memory.
    with torch.device("meta"):
        if name == "cosface":
            return losses.CosFaceLoss(classes, width, margin=margin, scale=scale, reducer=DoNothingReducer())
        if name == "arcface":
            degrees = math.degrees(margin)
            return losses.ArcFaceLoss(classes, width, margin=degrees, scale=scale, reducer=DoNothingReducer())
        if name == "proxy_anchor":
            return losses.ProxyAnchorLoss(classes, width, margin=margin, alpha=scale, reducer=DoNothingReducer())
        return losses.NormalizedSoftmaxLoss(classes, width, temperature=1 / scale, reducer=DoNothingReducer())


def _check_task(task: LearnedTask, loss: str) -> None:
    if task.kind == "ordinal":
        raise InputError(
            f"tasks: '{task.name}' is ordinal; metric_learning supports identity, class, binary and multilabel labels"
        )
    if task.kind == "class" and task.focal_gamma:
        raise InputError(f"tasks.{task.name}.focal_gamma: metric_learning has no focal loss; remove focal_gamma")
    if task.kind == "class" and task.class_weights and loss == "proxy_anchor":
        raise InputError(
            f"tasks.{task.name}.class_weights: proxy_anchor weights all proxies equally; remove class_weights"
        )


def _build(options: Primary, context: BuildContext) -> MetricLearning:
    texture = context.texture if options.input == "texture" else None
    return MetricLearning(context.tasks, context.feature_width, options, texture)


register(ObjectiveSpec("metric_learning", Primary, _build, role="primary"))
