"""Center-symmetric local binary pattern: opposite neighbors compared with each other.

Heikkilä, Pietikäinen and Schmid, "Description of interest regions with local binary patterns", Pattern Recognition
42(3), 2009.
"""

import functools
import math

import torch
from torch import Tensor

from auxface.texture.images import GrayImages, require_number
from auxface.texture.tiles import EIGHT, Tile, apply_square


def center_symmetric_lbp(image: GrayImages, threshold: float = 2.55, border: str = "reflect") -> GrayImages:
    """Which of four neighbors exceed the opposite one by more than ``threshold`` (Heikkilä et al., 2009).

    Args:
        image: uint8 [H, W], [B, H, W] or [B, 1, H, W], tensor or array.
        threshold: in gray levels, at least 0; a difference equal to it does not count.
        border: ``reflect`` keeps the size; ``valid`` drops one pixel on every side.

    Returns:
        uint8 codes 0 to 15 in the layout of the input; bit i compares direction i with direction i + 4.

    Raises:
        TypeError, ValueError: an image or a parameter outside what is said here.
    """
    require_number("threshold", threshold, 0)
    # Differences are whole and at most 255, so "more than the threshold" is "at least the next whole number".
    margin = min(math.floor(threshold) + 1, 256)
    kernel = functools.partial(_opposites, margin=margin)
    return apply_square(image, kernel, border, "center_symmetric_lbp", bytes_per_pixel=10)


def _opposites(tile: Tile, margin: int) -> list[Tensor]:
    pixels = tile.cast(torch.int16)
    raised = torch.add(pixels, margin, out=tile.empty(torch.int16, pixels.numel()))
    code, bit = tile.empty(torch.int16).zero_(), tile.empty(torch.int16)
    for i in range(4):
        exceeds = torch.ge(tile.at(*EIGHT[i], pixels), tile.at(*EIGHT[i + 4], raised), out=bit)
        code.add_(exceeds, alpha=1 << i)
    return [code]
