"""Parts of the face covered, for pictures cropped to the face: eyes across the middle, mouth three quarters down."""

import torch
from torch import Tensor

from auxface.data.corruptions.filtering import random_fields
from auxface.data.corruptions.registry import register

_GROWTH = (0.3, 0.5, 0.7, 0.85, 1.0)


@register("occlusion_eyes")
def occlusion_eyes(pictures: Tensor, level: int, seeds: Tensor) -> Tensor:
    """A bar over the eyes: up to .78 of the width, .26 of the height."""
    return _cover(pictures, seeds, (0.5, 0.45), 0.78 * _GROWTH[level], 0.26 * _GROWTH[level])


@register("occlusion_mouth")
def occlusion_mouth(pictures: Tensor, level: int, seeds: Tensor) -> Tensor:
    """A patch over the mouth: up to .60 of the width, .32 of the height."""
    return _cover(pictures, seeds, (0.5, 0.75), 0.60 * _GROWTH[level], 0.32 * _GROWTH[level])


@register("occlusion_random")
def occlusion_random(pictures: Tensor, level: int, seeds: Tensor) -> Tensor:
    """A square anywhere: 5%, 10%, 20%, 30%, 40% of the picture."""
    side = (0.05, 0.10, 0.20, 0.30, 0.40)[level] ** 0.5
    place = random_fields(seeds ^ 0x3C6EF372, lambda g: torch.rand(2, generator=g), pictures.device)
    centre = side / 2 + place * (1 - side)
    return _cover(pictures, seeds, (centre[:, 0].reshape(-1, 1, 1), centre[:, 1].reshape(-1, 1, 1)), side, side)


def _cover(
    pictures: Tensor, seeds: Tensor, centre: tuple[float | Tensor, float | Tensor], width: float, height: float
) -> Tensor:
    """Pictures with a box (centre and sides as shares of the picture) painted in each picture's own random colour."""
    colour = random_fields(seeds, lambda g: torch.rand((3, 1, 1), generator=g), pictures.device)
    rows = (torch.arange(pictures.shape[-2], device=pictures.device) + 0.5) / pictures.shape[-2]
    columns = (torch.arange(pictures.shape[-1], device=pictures.device) + 0.5) / pictures.shape[-1]
    inside = ((columns[None, None, :] - centre[0]).abs() <= width / 2) & (
        (rows[None, :, None] - centre[1]).abs() <= height / 2
    )
    return torch.where(inside[:, None], colour, pictures)
