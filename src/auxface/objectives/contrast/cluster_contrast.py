"""Contrast by clusters: two crops of a face, and of faces in one cluster, are drawn together (Tsai et al., 2022).

Clusters come from labels that are not to be predicted, or from k-means on the encoder's own features.

Losses that pull together what lies in one cluster and push apart the rest (Cl-InfoNCE, Tsai et al., 2022).

Rows of all processes, so that a loss that compares images with each other sees the whole step's.
"""

import functools
from typing import Annotated, Any, Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from pydantic import Field
from pytorch_metric_learning.losses import SupConLoss
from torch import Tensor, nn

from auxface.encoders import MaskableEncoder
from auxface.objectives.base import AuxiliaryObjective, Batch, Moment, Setting, TrainingSet
from auxface.objectives.contrast.clusters import auxiliary_labels, information_report, kmeans_clusters, top_k_entropy
from auxface.recipe import AuxiliaryOptions, Objective
from auxface.recipe.validation import Count, Positive, Width


def two_view(first: Tensor, second: Tensor, clusters: Tensor, temperature: float) -> Tensor:
    """Supervised contrast (Khosla et al., 2020) over both views: 2N anchors, each against the 2N - 1 others.

    Args:
        first: [N, d], embeddings of one view, of any length.
        second: [N, d], of the other.
        clusters: int64 [N].
        temperature: that cosine similarities are divided by.

    Returns:
        A float32 scalar; 0 where all N lie in one cluster, since nothing is there to be told apart.
    """
    with torch.autocast(first.device.type, enabled=False):
        both = torch.cat([first, second]).float()
        return _supervised_contrast(temperature)(both, torch.cat([clusters, clusters]))


def cross_view(first: Tensor, second: Tensor, clusters: Tensor, temperature: float) -> Tensor:
    """Each of N images of one view against the N of the other, its own among them; the mean of both directions.

    Arguments as for :func:`two_view`. With everything in its own cluster this is InfoNCE (van den Oord et al., 2018).
    """
    with torch.autocast(first.device.type, enabled=False):
        similarity = F.normalize(first.float(), dim=1) @ F.normalize(second.float(), dim=1).T / temperature
        same = (clusters[:, None] == clusters[None]).float()
        positives = same.sum(dim=1)
        losses = [-(same * s.log_softmax(dim=1)).sum(dim=1) / positives for s in (similarity, similarity.T)]
        return torch.stack(losses).mean()


@functools.cache
def _supervised_contrast(temperature: float) -> SupConLoss:
    return SupConLoss(temperature=temperature)


LOSSES = {"two_view": two_view, "cross_view": cross_view}


def several_processes() -> bool:
    """Whether this process is one of several that train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rows_of_all(rows: Tensor) -> Tensor:
    """The rows of every process, in the order of the processes, on every one of them.

    Gradients go back to where the rows come from: each process gets the sum of what all processes' losses ask of its
    rows. Where every process computes the same loss, and gradients of weights are averaged over the processes (as
    DistributedDataParallel does), the weights get the gradient that one process with all the rows would give them.

    Args:
        rows: [n, ...], of any type; n may differ between processes and may be 0.

    Returns:
        [sum of n, ...]; of a single process its own rows as they are.
    """
    if not several_processes():
        return rows
    counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    lengths = [int(count) for count in counts]
    padded = torch.cat([rows, rows.new_zeros((max(lengths) - len(rows), *rows.shape[1:]))])
    gathered = _GatherRows.apply(padded)
    assert isinstance(gathered, Tensor)
    return torch.cat([part[:length] for part, length in zip(gathered, lengths, strict=True)])


def first_process_decides(values: Tensor) -> Tensor:
    """The first process's tensor on every process; all give one of the same shape, type and device."""
    if several_processes():
        values = values.contiguous()
        dist.broadcast(values, src=0)
    return values


class _GatherRows(torch.autograd.Function):
    """[n, ...] of each process to [processes, n, ...]."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous()
        dist.all_reduce(total)
        return total[dist.get_rank()]


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
    """Epochs between two runs of k-means; before the first, each image is a cluster of its own."""
    loss: Literal["two_view", "cross_view"] = "two_view"
    """All views against all others, or one view against the other."""
    temperature: Positive = 0.1
    """What cosine similarities are divided by."""
    projector_width: Width = 128
    """Length of the embedding that is compared."""


class ClusterContrast(AuxiliaryObjective):
    """The objective; its projector is not part of any prediction.

    On several processes every image is compared with those of all of them, so that a step is the same however many
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
        """Make clusters of labels; with k-means, let each image be its own until the first run."""
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
        """The contrast of both crops of every image."""
        if self.clusters is None or batch.indices is None:
            raise RuntimeError("cluster_contrast has no clusters yet: before_training comes before the first step")
        crops = torch.cat([batch.views[name] for name in self.views])
        first, second = self.projector(encoder.forward_auxiliary(crops).pooled).chunk(2)
        clusters = self.clusters.to(batch.indices.device)[batch.indices]
        # A part of a step that holds no image of its own has one that counts for nothing.
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
        """What the clusters tell of each task, in nats: I(Z;T) and H(Z|T), see ``clusters``."""
        if self.clusters is None or self.training_set is None:
            return {}
        if self.found is None:
            self.found = information_report(self.clusters.numpy(), self.training_set.manifest, self.tasks)
        return self.found

    def _take(self, clusters: Tensor) -> None:
        self.clusters, self.found = clusters, None


OBJECTIVE = Objective("cluster_contrast", ClusterContrastOptions, ClusterContrast)
