"""Center-symmetric local binary pattern (CS-LBP): opposite neighbors compared with each other.

Heikkilä, Pietikäinen and Schmid, "Description of interest regions with local binary patterns", Pattern Recognition
42(3), 2009.
"""

import functools
import math

import numpy as np
import torch
from torch import Tensor

from auxface.texture.gray_images import GrayImages, require_number
from auxface.texture.registry import Descriptor, Output, register
from auxface.texture.tiles import EIGHT, Tile, apply_kernel


def center_symmetric_lbp(image: GrayImages, threshold: float = 2.55, border: str = "reflect") -> GrayImages:
    """Compare four neighbors with the opposite ones; bit i is 1 if x_i - x_(i+4) > threshold (Heikkilä et al., 2009).

    Args:
        image: uint8 [H, W], [B, H, W] or [B, 1, H, W], a tensor or an array.
        threshold: in gray levels, at least 0. A difference equal to the threshold gives 0.
        border: ``reflect`` keeps the size; ``valid`` drops one pixel on every side.

    Returns:
        uint8 codes 0 to 15 in the layout of the input. Directions are counted counter-clockwise from East.

    Raises:
        TypeError, ValueError: an image or a parameter that is not as described.

    Example:
        >>> patch = np.array([[90, 60, 30], [20, 50, 50], [80, 10, 75]], np.uint8)
        >>> center_symmetric_lbp(patch, border="valid")
        array([[13]], dtype=uint8)
    """
    require_number("threshold", threshold, 0)
    # Differences are integers up to 255, so "more than the threshold" is "at least the next integer".
    margin = min(math.floor(threshold) + 1, 256)
    kernel = functools.partial(_compare, margin=margin)
    return apply_kernel(image, kernel, border, "center_symmetric_lbp", bytes_per_pixel=10)


def plain_center_symmetric_lbp(window: np.ndarray, threshold: float = 2.55) -> int:
    """Return the code of the center pixel of a window [3, 3], by the definition."""
    neighbors = [int(window[1 + row, 1 + column]) for row, column in EIGHT]
    return sum(1 << i for i in range(4) if neighbors[i] - neighbors[i + 4] > threshold)


def _compare(tile: Tile, margin: int) -> list[Tensor]:
    pixels = tile.cast(torch.int16)
    raised = torch.add(pixels, margin, out=tile.empty(torch.int16, pixels.numel()))
    code, bit = tile.empty(torch.int16).zero_(), tile.empty(torch.int16)
    for i in range(4):
        exceeds = torch.ge(tile.at(*EIGHT[i], pixels), tile.at(*EIGHT[i + 4], raised), out=bit)
        code.add_(exceeds, alpha=1 << i)
    return [code]


DESCRIPTOR = register(
    Descriptor(
        name="center_symmetric_lbp",
        function=center_symmetric_lbp,
        output=lambda **_: Output.bit_codes(4),
        reference="Heikkilä, Pietikäinen, Schmid, Description of interest regions with local binary patterns, Pattern "
        "Recognition 42(3), 2009",
    )
)
