"""Augmentation of log-mel images: crops in time that keep the tempo, and masks in frequency and time.

Time runs from left to right, and high frequencies are at the top. The masking follows SpecAugment (Park et al., 2019).

Example:
    >>> images = torch.full((2, 3, 32, 32), 200, dtype=torch.uint8)
    >>> crops, maps = cropped_in_time(images, torch.tensor([[0.0, 0.0], [1.0, 0.5]]), 32, shortest=0.5)
    >>> (crops > 0).float().mean(dim=(1, 2, 3))
    tensor([0.5000, 1.0000])
"""

import torch
from torch import Tensor

from auxface.data.augment.geometry import crop_map, crop_resize


def cropped_in_time(images: Tensor, chance: Tensor, size: int, shortest: float) -> tuple[Tensor, Tensor]:
    """Return crops in time, padded with silence, uint8 [B, 3, size, size], and their maps to the source, [B, 2, 3].

    Args:
        images: log-mel images, uint8 [B, 3, S, S].
        chance: uniform random numbers in [0, 1) for length and start, [B, 2].
        size: side of the result in pixels.
        shortest: minimum fraction of the time axis that is kept.
    """
    source = images.shape[-1]
    whole = torch.tensor([0, 0, source, source], device=images.device).expand(len(images), 4)
    flipped = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    resized = images if source == size else crop_resize(images, whole, flipped, size)
    length = ((shortest + (1 - shortest) * chance[:, 0]) * size).round().clamp(1, size).long()
    start = (chance[:, 1] * (size - length + 1)).long()
    columns = torch.arange(size, device=images.device)
    taken = (columns + start[:, None]).clamp(max=size - 1)
    moved = resized.gather(3, taken[:, None, None].expand(-1, 3, size, -1))
    maps = crop_map(whole, flipped, size)[:, :2].clone()
    maps[:, 0, 2] = start * source / size
    return torch.where((columns < length[:, None])[:, None, None], moved, 0), maps


def masked_bands(images: Tensor, chance: Tensor) -> Tensor:
    """Set bands of rows and columns to 0 and return float [B, 3, S, S].

    Args:
        images: log-mel images, float [B, 3, S, S].
        chance: uniform random numbers [B, masks, 2, 2]: for each mask, the width and start of a band of rows, followed
            by the width and start of a band of columns.
    """
    side = images.shape[-1]
    places = torch.arange(side, device=images.device)
    width = (chance[..., 0] * (side // 8 + 1)).long()
    first = (chance[..., 1] * (side - width + 1)).long()
    masked = ((places >= first[..., None]) & (places < (first + width)[..., None])).any(dim=1)
    return images * ~masked[:, 0, None, :, None] * ~masked[:, 1, None, None, :]
