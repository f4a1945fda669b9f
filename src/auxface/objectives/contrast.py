"""Losses that pull together what lies in one cluster and push apart the rest (Cl-InfoNCE, Tsai et al., 2022)."""

import functools

import torch
import torch.nn.functional as F
from pytorch_metric_learning.losses import SupConLoss
from torch import Tensor


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
    """Each of N pictures of one view against the N of the other, its own among them; the mean of both directions.

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
