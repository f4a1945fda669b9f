"""Local ternary pattern: brighter by a margin, darker by a margin, or neither.

Tan and Triggs, "Enhanced local texture feature sets for face recognition under difficult lighting conditions", IEEE
TIP 19(6), 2010.
"""

import functools
import math

import torch
from torch import Tensor

from auxface.texture.images import GrayImages, require_number
from auxface.texture.tiles import EIGHT, Tile, apply_square


def local_ternary_pattern(image: GrayImages, threshold: float = 5, border: str = "reflect") -> GrayImages:
    """Neighbors at least ``threshold`` brighter, and neighbors at least ``threshold`` darker (Tan and Triggs, 2010).

    Args:
        image: uint8 [H, W], [B, H, W] or [B, 1, H, W], tensor or array.
        threshold: in gray levels, above 0; a difference equal to it counts.
        border: ``reflect`` keeps the size; ``valid`` drops one pixel on every side.

    Returns:
        uint8 codes (upper, lower), [2, H, W] or [B, 2, H, W]; bit i belongs to direction i, counter-clockwise from
        East. No bit is set in both.

    Raises:
        TypeError, ValueError: an image or a parameter outside what is said here.
    """
    require_number("threshold", threshold, 0, above=True)
    # Differences are whole and at most 255: the next whole number decides alike, and 256 is never reached.
    margin = min(math.ceil(threshold), 256)
    kernel = functools.partial(_ternary, margin=margin)
    return apply_square(image, kernel, border, "local_ternary_pattern", bytes_per_pixel=14, maps=2)


def _ternary(tile: Tile, margin: int) -> list[Tensor]:
    pixels = tile.cast(torch.int16)
    center = tile.at(0, 0, pixels)
    high = torch.add(center, margin, out=tile.empty(torch.int16))
    low = torch.sub(center, margin, out=tile.empty(torch.int16))
    upper, lower, bit = (tile.empty(torch.int16) for _ in range(3))
    upper.zero_()
    lower.zero_()
    for i, offset in enumerate(EIGHT):
        neighbor = tile.at(*offset, pixels)
        upper.add_(torch.ge(neighbor, high, out=bit), alpha=1 << i)
        lower.add_(torch.le(neighbor, low, out=bit), alpha=1 << i)
    return [upper, lower]
