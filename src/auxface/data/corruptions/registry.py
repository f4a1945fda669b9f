"""The list of corruptions and the one way to apply them."""

from collections.abc import Callable

import torch
from torch import Tensor

Corruption = Callable[[Tensor, int, Tensor], Tensor]
"""(images float32 [B, 3, H, W] in 0..1, severity index 0..4, seeds int64 [B]) -> the same shape, any range."""

SEVERITIES = (1, 2, 3, 4, 5)
PUBLISHED_SIZE = 224
"""Side of the images the published constants were chosen for; lengths in pixels are scaled by side / 224."""

_REGISTRY: dict[str, Corruption] = {}


def register(name: str) -> Callable[[Corruption], Corruption]:
    """Decorator that adds a corruption under a name."""

    def add(corruption: Corruption) -> Corruption:
        if name in _REGISTRY:
            raise ValueError(f"a corruption named {name!r} is registered already")
        _REGISTRY[name] = corruption
        return corruption

    return add


def corruptions() -> tuple[str, ...]:
    """Names of every registered corruption, in alphabetical order."""
    return tuple(sorted(_REGISTRY))


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
    if name not in _REGISTRY:
        raise ValueError(f"corruption {name!r} is unknown: give one of {', '.join(corruptions())}")
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
    changed = _REGISTRY[name](images.float() / 255.0, int(severity) - 1, seeds)
    return (changed.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)
