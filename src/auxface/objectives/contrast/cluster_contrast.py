"""Contrastive learning with clusters: views of images in the same cluster get similar features (Tsai et al., 2022).

Clusters are defined by labels that are not tasks of the model, or by k-means on the encoder's own features. Inference
also loads this module, so pandas, scikit-learn and pytorch-metric-learning are imported where they are used.

The loss compares each image with every other image of the step on all processes.
"""

import functools
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from auxface.data.augment.views import ViewRequest
from auxface.encoders import MaskableEncoder
from auxface.objectives.batch import Batch
from auxface.objectives.objective import BuildContext, Objective, StepContext, TrainingSet
from auxface.objectives.registry import ObjectiveSpec, register
from auxface.recipe import ClusterContrastOptions

if TYPE_CHECKING:
    from pytorch_metric_learning.losses import SupConLoss


def several_processes() -> bool:
    """Return whether this process is one of several that train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gather_rows(rows: Tensor) -> Tensor:
    """Return the rows of all processes, in the order of the processes, on every process.

    In the backward pass, each process gets the gradients of its own rows, summed over the losses of all processes. If
    every process computes the same loss, and gradients of weights are averaged over the processes (as
    DistributedDataParallel does), the weights get the gradient that a single process with all rows would compute.

    Args:
        rows: [n, ...], of any dtype; n may differ between processes and may be 0.

    Returns:
        The rows of all processes, [sum of n, ...]; with a single process, ``rows`` itself.
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


def broadcast_first(values: Tensor) -> Tensor:
    """Return the first process's tensor on every process; all processes must pass the same shape, dtype and device."""
    if several_processes():
        values = values.contiguous()
        dist.broadcast(values, src=0)
    return values


class _GatherRows(torch.autograd.Function):
    """Gather the tensors [n, ...] of all processes into [processes, n, ...]."""

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


class ClusterContrast(Objective):
    """The cluster-based contrastive auxiliary; its projector is not used for predictions.

    Images are compared across all processes, so that a step does not depend on the number of processes. With gradient
    accumulation, images are compared only within each micro-batch.

    Args:
        options: the recipe section.
        context: the encoder and the tasks for which the objective is built.
    """

    views = tuple(ViewRequest("contrast_crop", {"number": number}) for number in (1, 2))

    def __init__(self, options: ClusterContrastOptions, context: BuildContext) -> None:
        super().__init__()
        self.options = options
        self.tasks = context.tasks
        width = context.encoder.width
        self.projector = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, options.projector_width))
        self.clusters: Tensor | None = None
        self.training_set: TrainingSet | None = None
        self._report: dict[str, float] | None = None

    def before_training(self, training: TrainingSet) -> None:
        """Define the clusters by labels; with k-means, each image is its own cluster until k-means runs."""
        self.training_set = training
        if self.options.clusters == "kmeans":
            self._set_clusters(torch.arange(len(training.manifest.table)))
        else:
            from auxface.objectives.contrast.cluster_labels import auxiliary_labels, top_k_entropy

            labels = auxiliary_labels(training.manifest, self.tasks, self.options.labels)
            numbers, _ = top_k_entropy(labels, self.options.top_k)
            self._set_clusters(torch.from_numpy(numbers))

    def before_epoch(self, training: TrainingSet, epoch: int) -> None:
        """Repeat k-means at intervals of ``every`` epochs."""
        if self.options.clusters == "kmeans" and epoch and epoch % self.options.every == 0:
            from auxface.objectives.contrast.cluster_labels import kmeans_clusters

            features = training.features()
            numbers = torch.from_numpy(kmeans_clusters(features.numpy(), self.options.n_clusters, epoch))
            # Rounding differences between processes could lead to different clusters, so the clusters of the first
            # process are used.
            device = next(self.parameters()).device
            self._set_clusters(broadcast_first(numbers.to(device)).cpu())

    def forward(self, encoder: MaskableEncoder, batch: Batch, context: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the contrastive loss between two crops of every image."""
        if self.clusters is None or batch.indices is None:
            raise RuntimeError("cluster_contrast has no clusters: before_training must be called before the first step")
        crops = torch.cat([batch.views[request].images for request in self.views])
        first, second = self.projector(encoder.forward_auxiliary(crops).pooled).chunk(2)
        clusters = self.clusters.to(batch.indices.device)[batch.indices]
        # A micro-batch with scale 0 contains one image, which is excluded from the loss.
        count = len(clusters) if batch.scale else 0
        first, second, clusters = (gather_rows(each[:count]) for each in (first, second, clusters))
        if len(clusters):
            loss = LOSSES[self.options.loss](first, second, clusters, self.options.temperature)
        else:
            loss = first.sum() + second.sum()
        return loss, {self.options.loss: loss.detach()}

    def resume_tensors(self) -> dict[str, Tensor]:
        """Return the clusters, which a resumed run needs."""
        return {} if self.clusters is None else {"clusters": self.clusters}

    def load_resume_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Restore the clusters of a resumed run."""
        self._set_clusters(tensors["clusters"])

    def report(self) -> dict[str, float]:
        """Return the mutual information of clusters and tasks; see :func:`~.cluster_labels.information_report`."""
        if self.clusters is None or self.training_set is None:
            return {}
        if self._report is None:
            from auxface.objectives.contrast.cluster_labels import information_report

            self._report = information_report(self.clusters.numpy(), self.training_set.manifest, self.tasks)
        return self._report

    def _set_clusters(self, clusters: Tensor) -> None:
        self.clusters, self._report = clusters, None


def two_view(first: Tensor, second: Tensor, clusters: Tensor, temperature: float) -> Tensor:
    """Compute the supervised contrastive loss (Khosla et al., 2020) of 2N views, each against the other 2N - 1 views.

    Args:
        first: [N, d], embeddings of one view; they do not have to be normalized.
        second: [N, d], embeddings of the other view.
        clusters: int64 [N], cluster of each image.
        temperature: divisor of the cosine similarities.

    Returns:
        A float32 scalar; 0 if all N images are in one cluster, because there are no negatives.
    """
    with torch.autocast(first.device.type, enabled=False):
        both = torch.cat([first, second]).float()
        return _supervised_contrast(temperature)(both, torch.cat([clusters, clusters]))


def cross_view(first: Tensor, second: Tensor, clusters: Tensor, temperature: float) -> Tensor:
    """Compute the contrastive loss of each image in one view against all images in the other view.

    The loss is averaged over both directions. The arguments are the same as for :func:`two_view`. If each image is its
    own cluster, this is InfoNCE (van den Oord et al., 2018).
    """
    with torch.autocast(first.device.type, enabled=False):
        similarity = F.normalize(first.float(), dim=1) @ F.normalize(second.float(), dim=1).T / temperature
        same = (clusters[:, None] == clusters[None]).float()
        positives = same.sum(dim=1)
        losses = [-(same * s.log_softmax(dim=1)).sum(dim=1) / positives for s in (similarity, similarity.T)]
        return torch.stack(losses).mean()


LOSSES = {"two_view": two_view, "cross_view": cross_view}


@functools.cache
def _supervised_contrast(temperature: float) -> "SupConLoss":
    from pytorch_metric_learning.losses import SupConLoss

    return SupConLoss(temperature=temperature)


register(ObjectiveSpec("cluster_contrast", ClusterContrastOptions, ClusterContrast))
