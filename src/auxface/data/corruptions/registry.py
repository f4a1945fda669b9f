"""Registry of corruptions, and the function that applies one by name."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from auxface.plugins import Registry

Corrupt = Callable[[Tensor, int, Tensor], Tensor]
"""Function of images (float32 [B, 3, H, W] in 0..1), a severity index 0..4 and seeds (int64 [B]) that returns corrupted
images of the same shape, whose values may lie outside 0..1."""

SEVERITIES = (1, 2, 3, 4, 5)
PUBLISHED_SIZE = 224
"""Side of the images for which the published parameters apply; lengths in pixels are scaled by side / 224."""


@dataclass(frozen=True)
class Corruption:
    """A corruption of images.

    Attributes:
        name: name in recipes and on the command line.
        function: function that corrupts a batch; see :data:`Corrupt`.
    """

    name: str
    function: Corrupt


registry = Registry("corruption", "auxface.corruptions", Corruption)


def register(name: str) -> Callable[[Corrupt], Corrupt]:
    """Return a decorator that registers a function as the corruption ``name``."""

    def add(function: Corrupt) -> Corrupt:
        registry.register(Corruption(name, function))
        return function

    return add


def corruptions() -> tuple[str, ...]:
    """Return the names of all registered corruptions, in alphabetical order."""
    return tuple(sorted(registry.available()))


def corrupt(images: Tensor, name: str, severity: int, seeds: Tensor) -> Tensor:
    """Apply a corruption to each image and return uint8 [B, 3, H, W] on the device of ``images``.

    Args:
        images: RGB images with sides of at least 16 pixels, uint8 [B, 3, H, W].
        name: name of the corruption, one of :func:`corruptions`.
        severity: severity from 1 (slight) to 5 (strong).
        seeds: one seed per image, int64 [B]. Equal images with equal seeds give equal results in any batch.

    Raises:
        InputError: the name is unknown.
        ValueError: the severity is outside 1..5, the images have the wrong shape or a side shorter than 16 pixels, or
            the numbers of seeds and images differ.
        TypeError: the images or the seeds have the wrong dtype.
    """
    corruption = registry.get(name)
    if severity not in SEVERITIES:
        raise ValueError(f"severity must be 1, 2, 3, 4 or 5, not {severity}")
    if images.dtype != torch.uint8 or seeds.dtype != torch.int64:
        raise TypeError(f"images must be uint8 and seeds int64, not {images.dtype} and {seeds.dtype}")
    if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[2:]) < 16:
        raise ValueError(f"images must be [B, 3, H, W] with H and W of at least 16, not {list(images.shape)}")
    if seeds.shape != images.shape[:1]:
        raise ValueError(f"seeds must have shape [{images.shape[0]}], one per image, not {list(seeds.shape)}")
    if images.shape[0] == 0:
        return images.clone()
    changed = corruption.function(images.float() / 255.0, int(severity) - 1, seeds)
    return (changed.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)
