"""Contrast by clusters: two crops of a face, and of faces in one cluster, are drawn together (Tsai et al., 2022).

Clusters come from labels that are not to be predicted, or from k-means on the encoder's own features.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from auxface.encoders import MaskableEncoder
from auxface.objectives.batch import Batch, Moment
from auxface.objectives.clusters import auxiliary_labels, information_report, kmeans_clusters, top_k_entropy
from auxface.objectives.contrast import LOSSES
from auxface.objectives.gathering import first_process_decides, rows_of_all
from auxface.objectives.objective import AuxiliaryObjective, Setting, TrainingSet
from auxface.recipe import AuxiliaryOptions, Objective
from auxface.recipe.strict import Count, Positive, Width


class ClusterContrastOptions(AuxiliaryOptions):
    """Contrast by clusters."""

    clusters: Literal["labels", "kmeans"] = "labels"
    """From the manifest's other labels, or from the encoder's features."""
    labels: tuple[str, ...] = ()
    """Labels, attributes or groups that clusters are made of; empty: all labels that are not learned."""
    top_k: Count = 3
    """How many of the labels, those of the highest entropy."""
    n_clusters: Annotated[int, Field(ge=2, le=100_000)] = 64
    """Clusters of k-means."""
    every: Count = 5
    """Epochs between two runs of k-means; before the first, each picture is a cluster of its own."""
    loss: Literal["two_view", "cross_view"] = "two_view"
    """All views against all others, or one view against the other."""
    temperature: Positive = 0.1
    """What cosine similarities are divided by."""
    projector_width: Width = 128
    """Length of the embedding that is compared."""


class ClusterContrast(AuxiliaryObjective):
    """The objective; its projector is not part of any prediction.

    On several processes every picture is compared with those of all of them, so that a step is the same however many
    share it. Parts of accumulated gradients are compared each within itself.

    Args:
        options: the recipe's section.
        setting: what it is built into.
    """

    views = ("contrast_1", "contrast_2")

    def __init__(self, options: ClusterContrastOptions, setting: Setting) -> None:
        super().__init__()
        self.options = options
        self.tasks = setting.tasks
        width = setting.encoder.width
        self.projector = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, options.projector_width))
        self.clusters: Tensor | None = None
        self.training_set: TrainingSet | None = None
        self.found: dict[str, float] | None = None

    def before_training(self, training: TrainingSet) -> None:
        """Make clusters of labels; with k-means, let each picture be its own until the first run."""
        self.training_set = training
        if self.options.clusters == "kmeans":
            self._take(torch.arange(len(training.manifest.table)))
        else:
            labels = auxiliary_labels(training.manifest, self.tasks, self.options.labels)
            numbers, _ = top_k_entropy(labels, self.options.top_k)
            self._take(torch.from_numpy(numbers))

    def before_epoch(self, training: TrainingSet, epoch: int) -> None:
        """Run k-means anew every few epochs."""
        if self.options.clusters == "kmeans" and epoch and epoch % self.options.every == 0:
            features = training.features()
            numbers = torch.from_numpy(kmeans_clusters(features.numpy(), self.options.n_clusters, epoch))
            # A rounding apart, two processes may number their clusters differently.
            device = next(self.parameters()).device
            self._take(first_process_decides(numbers.to(device)).cpu())

    def forward(self, encoder: MaskableEncoder, batch: Batch, moment: Moment) -> tuple[Tensor, dict[str, Tensor]]:
        """The contrast of both crops of every picture."""
        if self.clusters is None or batch.indices is None:
            raise RuntimeError("cluster_contrast has no clusters yet: before_training comes before the first step")
        crops = torch.cat([batch.views[name] for name in self.views])
        first, second = self.projector(encoder.look_apart(crops).pooled).chunk(2)
        clusters = self.clusters.to(batch.indices.device)[batch.indices]
        # A part of a step that holds no picture of its own has one that counts for nothing.
        count = len(clusters) if batch.share else 0
        first, second, clusters = (rows_of_all(each[:count]) for each in (first, second, clusters))
        if len(clusters):
            loss = LOSSES[self.options.loss](first, second, clusters, self.options.temperature)
        else:
            loss = first.sum() + second.sum()
        return loss, {self.options.loss: loss.detach()}

    def state(self) -> dict[str, Tensor]:
        """The clusters."""
        return {} if self.clusters is None else {"clusters": self.clusters}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take back the clusters."""
        self._take(state["clusters"])

    def report(self) -> dict[str, float]:
        """What the clusters tell of each task, in nats: I(Z;T) and H(Z|T), see :mod:`auxface.objectives.clusters`."""
        if self.clusters is None or self.training_set is None:
            return {}
        if self.found is None:
            self.found = information_report(self.clusters.numpy(), self.training_set.manifest, self.tasks)
        return self.found

    def _take(self, clusters: Tensor) -> None:
        self.clusters, self.found = clusters, None


OBJECTIVE = Objective("cluster_contrast", ClusterContrastOptions, ClusterContrast)
