"""A picture becomes two: the primary view for the classifier, the clean view for texture targets.

Both share every movement of pixels. Colour changes, noise, compression and erasing happen to the primary view alone, so
that a target never rebuilds what augmentation put there.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from auxface.data.geometry import crop_resize, random_boxes
from auxface.data.photometric import jitter
from auxface.data.random import uniforms


@dataclass(frozen=True)
class Views:
    """The two views of a batch.

    Attributes:
        primary: float32 [B, 3, H, W] in 0..1.
        clean: uint8 [B, 3, H, W] in 0..255: the geometry of ``primary``, with no other change.
    """

    primary: Tensor
    clean: Tensor


Preset = Callable[[Tensor, Tensor, int], Views]


def make_views(pictures: Tensor, seeds: Tensor, preset: str, *, size: int) -> Views:
    """Make both views of a batch.

    A sample's views depend on its picture and its seed alone: not on the device, the batch or the order.

    Args:
        pictures: uint8 [B, 3, S, S].
        seeds: int64 [B], see :func:`auxface.data.random.sample_seeds`.
        preset: ``none`` (evaluation: no randomness), ``light``, ``ssat`` or ``forensic``.
        size: side of the views in pixels.

    Raises:
        ValueError: an unknown preset, or pictures of another shape or type.
    """
    if preset not in PRESETS:
        raise ValueError(f"unknown preset '{preset}'; expected {', '.join(PRESETS)}")
    if pictures.dtype != torch.uint8 or pictures.ndim != 4 or pictures.shape[1] != 3:
        raise ValueError(f"pictures must be uint8 [B, 3, S, S], not {pictures.dtype} {list(pictures.shape)}")
    return PRESETS[preset](pictures, seeds, size)


def whole(pictures: Tensor, seeds: Tensor, size: int) -> Views:
    """The whole picture at ``size``, unchanged where it has that size already."""
    clean = pictures if pictures.shape[-1] == size else _rounded(_whole_resized(pictures, size))
    return Views(clean.float() / 255, clean)


def light(pictures: Tensor, seeds: Tensor, size: int) -> Views:
    """A mild crop, a mirror image half of the time, a little jitter: for faces that are already cropped."""
    chance = uniforms(seeds, 9)
    boxes = random_boxes(chance[:, :4], pictures.shape[-1], area=(0.7, 1.0), ratio=(0.9, 1 / 0.9))
    clean = _rounded(crop_resize(pictures, boxes, chance[:, 4] < 0.5, size))
    factors = torch.where(chance[:, 8:] < 0.8, 0.8 + 0.4 * chance[:, 5:8], 1.0)
    return Views(jitter(clean.float() / 255, factors), clean)


def _whole_resized(pictures: Tensor, size: int) -> Tensor:
    count, source = len(pictures), pictures.shape[-1]
    boxes = torch.tensor([0.0, 0.0, source, source], device=pictures.device).expand(count, 4)
    return crop_resize(pictures, boxes, torch.zeros(count, dtype=torch.bool, device=pictures.device), size)


def _rounded(pictures: Tensor) -> Tensor:
    return pictures.round().clamp(0, 255).to(torch.uint8)


PRESETS: dict[str, Preset] = {"none": whole, "light": light}
