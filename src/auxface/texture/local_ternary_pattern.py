"""Local ternary pattern (LTP): neighbors brighter than the center by a threshold, and neighbors darker by it.

Tan and Triggs, "Enhanced local texture feature sets for face recognition under difficult lighting conditions", IEEE
TIP 19(6), 2010.
"""

import functools
import math

import numpy as np
import torch
from torch import Tensor

from auxface.texture.gray_images import GrayImages, require_number
from auxface.texture.registry import Descriptor, Output, register
from auxface.texture.tiles import EIGHT, Tile, apply_kernel


def local_ternary_pattern(image: GrayImages, threshold: float = 5, border: str = "reflect") -> GrayImages:
    """Mark the neighbors with x_i >= c + threshold, and those with x_i <= c - threshold (Tan and Triggs, 2010).

    Args:
        image: uint8 [H, W], [B, H, W] or [B, 1, H, W], a tensor or an array.
        threshold: in gray levels, above 0. A difference equal to the threshold gives 1.
        border: ``reflect`` keeps the size; ``valid`` drops one pixel on every side.

    Returns:
        uint8 codes (upper, lower), [2, H, W] or [B, 2, H, W]. Bit i belongs to direction i, counter-clockwise from
        East. No bit is set in both codes.

    Raises:
        TypeError, ValueError: an image or a parameter that is not as described.

    Example:
        >>> patch = np.array([[90, 60, 30], [20, 50, 50], [80, 10, 75]], np.uint8)
        >>> local_ternary_pattern(patch, border="valid").ravel()
        array([172,  82], dtype=uint8)
    """
    require_number("threshold", threshold, 0, above=True)
    # Differences are integers up to 255: rounding the threshold up changes no comparison, and 256 is never reached.
    margin = min(math.ceil(threshold), 256)
    kernel = functools.partial(_compare, margin=margin)
    return apply_kernel(image, kernel, border, "local_ternary_pattern", bytes_per_pixel=14, maps=2)


def plain_local_ternary_pattern(window: np.ndarray, threshold: float = 5) -> list[int]:
    """Return the codes (upper, lower) of the center pixel of a window [3, 3], by the definition."""
    center = int(window[1, 1])
    neighbors = [int(window[1 + row, 1 + column]) for row, column in EIGHT]
    upper = sum(1 << i for i, neighbor in enumerate(neighbors) if neighbor >= center + threshold)
    lower = sum(1 << i for i, neighbor in enumerate(neighbors) if neighbor <= center - threshold)
    return [upper, lower]


def _compare(tile: Tile, margin: int) -> list[Tensor]:
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


DESCRIPTOR = register(
    Descriptor(
        name="local_ternary_pattern",
        function=local_ternary_pattern,
        output=lambda **_: Output.bit_codes(8, maps=2),
        reference="Tan, Triggs, Enhanced local texture feature sets for face recognition under difficult lighting "
        "conditions, IEEE TIP 19(6), 2010",
    )
)
