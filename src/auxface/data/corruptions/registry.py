"""The list of corruptions and the one way to apply them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from auxface.plugins import Registry

Corrupt = Callable[[Tensor, int, Tensor], Tensor]
"""(images float32 [B, 3, H, W] in 0..1, severity index 0..4, seeds int64 [B]) -> the same shape, any range."""

SEVERITIES = (1, 2, 3, 4, 5)
PUBLISHED_SIZE = 224
"""Side of the images the published constants were chosen for; lengths in pixels are scaled by side / 224."""


@dataclass(frozen=True)
class Corruption:
    """A corruption of images.

    Attributes:
        name: the name in recipes and on the command line.
        function: see :data:`Corrupt`.
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
    """Names of every registered corruption, in alphabetical order."""
    return tuple(sorted(registry.available()))


def corrupt(images: Tensor, name: str, severity: int, seeds: Tensor) -> Tensor:
    """Images as a bad camera, bad weather or a bad codec would give them.

    Args:
        images: uint8 [B, 3, H, W], RGB, sides of 16 pixels or more.
        name: one of `corruptions()`.
        severity: 1 (slight) to 5 (strong).
        seeds: int64 [B], one per image. Equal images with equal seeds are corrupted equally, alone or in any batch.

    Returns:
        uint8 [B, 3, H, W] on the device of `images`.

    Raises:
        ValueError: unknown name, severity outside 1..5, or an image too small.
        TypeError: images or seeds of another dtype.
    """
    corruption = registry.get(name)
    if severity not in SEVERITIES:
        raise ValueError(f"corruption severity {severity} is unknown: give 1, 2, 3, 4 or 5")
    if images.dtype != torch.uint8 or seeds.dtype != torch.int64:
        raise TypeError(f"images must be uint8 and seeds int64, not {images.dtype} and {seeds.dtype}")
    if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[2:]) < 16:
        raise ValueError(f"images must be [B, 3, H, W] with sides of 16 or more, not {list(images.shape)}")
    if seeds.shape != images.shape[:1]:
        raise ValueError(f"{images.shape[0]} images need as many seeds, not {list(seeds.shape)}")
    if images.shape[0] == 0:
        return images.clone()
    changed = corruption.function(images.float() / 255.0, int(severity) - 1, seeds)
    return (changed.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)
