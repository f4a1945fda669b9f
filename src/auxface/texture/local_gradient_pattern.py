"""Local gradient pattern: which neighbors differ from the center at least as much as they do on average.

Jun and Kim, "Robust face detection using local gradient patterns and evidence accumulation", Pattern Recognition
45(9), 2012.
"""

import torch
from torch import Tensor

from auxface.texture.images import GrayImages
from auxface.texture.tiles import EIGHT, Tile, apply_square


def local_gradient_pattern(image: GrayImages, border: str = "reflect") -> GrayImages:
    """Which neighbors' distance from the center reaches the mean distance (Jun and Kim, 2012).

    Args:
        image: uint8 [H, W], [B, H, W] or [B, 1, H, W], tensor or array.
        border: ``reflect`` keeps the size; ``valid`` drops one pixel on every side.

    Returns:
        uint8 codes 1 to 255 in the layout of the input; bit i belongs to direction i, counter-clockwise from East.

    Raises:
        TypeError, ValueError: an image or a parameter outside what is said here.
    """
    return apply_square(image, _reaches_mean, border, "local_gradient_pattern", bytes_per_pixel=26)


def _reaches_mean(tile: Tile) -> list[Tensor]:
    # Eightfold gray values make eightfold distances, which compare with the plain sum without division.
    pixels = tile.cast(torch.int16).mul_(8)
    center = tile.at(0, 0, pixels)
    distances = []
    total = tile.empty(torch.int16).zero_()
    for offset in EIGHT:
        distance = torch.sub(tile.at(*offset, pixels), center, out=tile.empty(torch.int16)).abs_()
        distances.append(distance)
        total.add_(distance)
    total.bitwise_right_shift_(3)
    code, bit = tile.empty(torch.int16).zero_(), tile.empty(torch.int16)
    for i, distance in enumerate(distances):
        code.add_(torch.ge(distance, total, out=bit), alpha=1 << i)
    return [code]
