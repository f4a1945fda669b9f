"""Occlusion of parts of a face crop; the eyes are assumed at 45% of the height and the mouth at 75%."""

import torch
from torch import Tensor

from auxface.data.corruptions.filtering import random_fields
from auxface.data.corruptions.registry import register

_GROWTH = (0.3, 0.5, 0.7, 0.85, 1.0)


@register("occlusion_eyes")
def occlusion_eyes(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Cover the eyes with a bar of up to 0.78 of the width and 0.26 of the height."""
    return _cover(images, seeds, (0.5, 0.45), 0.78 * _GROWTH[level], 0.26 * _GROWTH[level])


@register("occlusion_mouth")
def occlusion_mouth(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Cover the mouth with a patch of up to 0.60 of the width and 0.32 of the height."""
    return _cover(images, seeds, (0.5, 0.75), 0.60 * _GROWTH[level], 0.32 * _GROWTH[level])


@register("occlusion_random")
def occlusion_random(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Cover a random square of 5%, 10%, 20%, 30% or 40% of the image."""
    side = (0.05, 0.10, 0.20, 0.30, 0.40)[level] ** 0.5
    place = random_fields(seeds ^ 0x3C6EF372, lambda g: torch.rand(2, generator=g), images.device)
    center = side / 2 + place * (1 - side)
    return _cover(images, seeds, (center[:, 0].reshape(-1, 1, 1), center[:, 1].reshape(-1, 1, 1)), side, side)


def _cover(
    images: Tensor, seeds: Tensor, center: tuple[float | Tensor, float | Tensor], width: float, height: float
) -> Tensor:
    """Cover a box, center and sides as fractions of the image, with a random color per image."""
    color = random_fields(seeds, lambda g: torch.rand((3, 1, 1), generator=g), images.device)
    rows = (torch.arange(images.shape[-2], device=images.device) + 0.5) / images.shape[-2]
    columns = (torch.arange(images.shape[-1], device=images.device) + 0.5) / images.shape[-1]
    inside = ((columns[None, None, :] - center[0]).abs() <= width / 2) & (
        (rows[None, :, None] - center[1]).abs() <= height / 2
    )
    return torch.where(inside[:, None], color, images)
