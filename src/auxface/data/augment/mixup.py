"""Mixup and CutMix, which combine each image with another image of the batch.

Only the classifier receives mixed images; texture targets are computed from unmixed images. Mixing is the only
augmentation that depends on other images of the batch.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Mixed:
    """A batch in which each image is mixed with another image of the batch.

    The loss of a row is ``weight * loss(own label) + (1 - weight) * loss(label of the partner)``.

    Attributes:
        primary: mixed images, float32 [B, 3, H, W] in 0..1.
        partner: index of the row with which each row is mixed, int64 [B].
        weight: fraction of the row's own image, float32 [B] in 0..1.
    """

    primary: Tensor
    partner: Tensor
    weight: Tensor


def mix(primary: Tensor, seeds: Tensor, *, mixup_alpha: float, cutmix_alpha: float) -> Mixed | None:
    """Apply mixup or CutMix to a batch; return None if both are off.

    If both are on, each is chosen with probability 1/2, based on the seed of the first row.

    Args:
        primary: primary view, float [B, 3, H, W].
        seeds: seeds of the rows, int64 [B].
        mixup_alpha: ``alpha`` of :func:`mixup`, or 0 to turn mixup off.
        cutmix_alpha: ``alpha`` of :func:`cutmix`, or 0 to turn CutMix off.
    """
    if not mixup_alpha and not cutmix_alpha:
        return None
    seed = int(seeds[0]) & 0x7FFFFFFFFFFFFFFF
    cut = not mixup_alpha or (cutmix_alpha and np.random.default_rng([seed, 2]).random() < 0.5)
    return cutmix(primary, seed, alpha=cutmix_alpha) if cut else mixup(primary, seed, alpha=mixup_alpha)


def mixup(primary: Tensor, seed: int, *, alpha: float = 0.2) -> Mixed:
    """Compute the weighted average of each image and another image of the batch (Zhang et al., 2018).

    Args:
        primary: primary view, float [B, 3, H, W].
        seed: seed of the training step.
        alpha: parameter of the distribution Beta(alpha, alpha) from which the weights are drawn.

    Raises:
        ValueError: alpha is not positive.
    """
    partner, weight = _draw(primary, seed, alpha)
    each = weight[:, None, None, None]
    return Mixed(each * primary + (1 - each) * primary[partner], partner, weight)


def cutmix(primary: Tensor, seed: int, *, alpha: float = 1.0) -> Mixed:
    """Paste a box from another image into each image (Yun et al., 2019); the weight is the fraction of pixels kept.

    Args:
        primary: primary view, float [B, 3, H, W].
        seed: seed of the training step.
        alpha: parameter of the distribution Beta(alpha, alpha) from which the kept areas are drawn.

    Raises:
        ValueError: alpha is not positive.
    """
    partner, weight = _draw(primary, seed, alpha)
    height, width = primary.shape[2:]
    middle = torch.from_numpy(np.random.default_rng([seed, 1]).random((len(primary), 2), np.float32)).to(primary.device)
    half = (1 - weight).sqrt() / 2
    inside = []
    for length, at in ((height, middle[:, 0]), (width, middle[:, 1])):
        low = ((at - half) * length).round().clamp(0, length)[:, None]
        high = ((at + half) * length).round().clamp(0, length)[:, None]
        pixels = torch.arange(length, device=primary.device)
        inside.append((pixels >= low) & (pixels < high))
    hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    left = 1 - hole.float().mean((1, 2, 3))
    return Mixed(torch.where(hole, primary[partner], primary), partner, left)


def _draw(primary: Tensor, seed: int, alpha: float) -> tuple[Tensor, Tensor]:
    if alpha <= 0:
        raise ValueError(f"alpha must be greater than 0, not {alpha}")
    random = np.random.default_rng([seed, 0])
    partner = torch.from_numpy(random.permutation(len(primary))).to(primary.device)
    weight = torch.from_numpy(random.beta(alpha, alpha, len(primary)).astype(np.float32)).to(primary.device)
    return partner, weight
