"""Mixup and CutMix: two images in one, for the classifier alone, so that texture targets stay those of one face.

Partners come from the same batch, so this is the one change of images that depends on who else is in it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Mixed:
    """A batch in which each image is joined with another of the same batch.

    The loss of a row is ``share * loss(own label) + (1 - share) * loss(label of partner)``.

    Attributes:
        primary: float32 [B, 3, H, W].
        partner: int64 [B], the row that each was joined with.
        share: float32 [B], how much of the row's own image is left, 0..1.
    """

    primary: Tensor
    partner: Tensor
    share: Tensor


def mix(primary: Tensor, seeds: Tensor, *, mixup_alpha: float, cutmix_alpha: float) -> Mixed | None:
    """What the recipe asks for: one of the two, in turn by chance where both are on, or None where neither is.

    Args:
        primary: float [B, 3, H, W], the primary view.
        seeds: int64 [B], the samples' own.
        mixup_alpha: see :func:`mixup`; 0: off.
        cutmix_alpha: see :func:`cutmix`; 0: off.
    """
    if not mixup_alpha and not cutmix_alpha:
        return None
    seed = int(seeds[0]) & 0x7FFFFFFFFFFFFFFF
    cut = not mixup_alpha or (cutmix_alpha and np.random.default_rng([seed, 2]).random() < 0.5)
    return cutmix(primary, seed, alpha=cutmix_alpha) if cut else mixup(primary, seed, alpha=mixup_alpha)


def mixup(primary: Tensor, seed: int, *, alpha: float = 0.2) -> Mixed:
    """Average each image with another (Zhang et al., 2018).

    Args:
        primary: float [B, 3, H, W], the primary view.
        seed: of the step.
        alpha: of the Beta(alpha, alpha) distribution that the shares are drawn from.

    Raises:
        ValueError: alpha is not positive.
    """
    partner, share = _draw(primary, seed, alpha)
    weight = share[:, None, None, None]
    return Mixed(weight * primary + (1 - weight) * primary[partner], partner, share)


def cutmix(primary: Tensor, seed: int, *, alpha: float = 1.0) -> Mixed:
    """Put a rectangle of another image into each (Yun et al., 2019); the share counts the pixels that are left.

    Args:
        primary: float [B, 3, H, W], the primary view.
        seed: of the step.
        alpha: of the Beta(alpha, alpha) distribution that the rectangles' areas are drawn from.

    Raises:
        ValueError: alpha is not positive.
    """
    partner, share = _draw(primary, seed, alpha)
    height, width = primary.shape[2:]
    middle = torch.from_numpy(np.random.default_rng([seed, 1]).random((len(primary), 2), np.float32)).to(primary.device)
    half = (1 - share).sqrt() / 2
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
        raise ValueError(f"alpha must be positive, not {alpha}")
    random = np.random.default_rng([seed, 0])
    partner = torch.from_numpy(random.permutation(len(primary))).to(primary.device)
    share = torch.from_numpy(random.beta(alpha, alpha, len(primary)).astype(np.float32)).to(primary.device)
    return partner, share
