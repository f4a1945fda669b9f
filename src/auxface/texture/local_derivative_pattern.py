"""Local derivative pattern of second order: where the slope along four directions turns.

Zhang, Gao, Zhao and Liu, "Local derivative pattern versus local binary pattern", IEEE TIP 19(2), 2010; bits reordered
counter-clockwise from East.
"""

import torch
from torch import Tensor

from auxface.texture.images import GrayImages
from auxface.texture.tiles import EIGHT, Tile, apply_square


def local_derivative_pattern(image: GrayImages, border: str = "reflect") -> GrayImages:
    """Whether the slope at a neighbor turns against the slope at the center (Zhang et al., 2010).

    For the directions East, north-east, North and north-west, D(z) = I(z) - I(next in that direction), and bit i is 1
    where D(center) D(neighbor i) <= 0.

    Args:
        image: uint8 [H, W], [B, H, W] or [B, 1, H, W], tensor or array.
        border: ``reflect`` keeps the size; ``valid`` drops two pixels on every side.

    Returns:
        uint8 codes for 0°, 45°, 90° and 135°: [4, H, W] or [B, 4, H, W].

    Raises:
        TypeError, ValueError: an image or a parameter outside what is said here.
    """
    return apply_square(image, _turns, border, "local_derivative_pattern", radius=2, maps=4, bytes_per_pixel=12)


def _turns(tile: Tile) -> list[Tensor]:
    width, size = tile.width, tile.flat.numel()
    # Slopes are needed at the neighbors too: one pixel more on every side than the result.
    first, count = width + 1, size - 2 * (width + 1)
    here = tile.flat[first : first + count]
    fall, rise = tile.empty(torch.uint8, count), tile.empty(torch.uint8, count)
    none = tile.empty(torch.uint8).zero_()
    agrees = tile.empty(torch.uint8)
    maps = []
    for row, column in EIGHT[:4]:
        start = first + row * width + column
        ahead = tile.flat[start : start + count]
        torch.gt(here, ahead, out=fall)
        # One bit for falling, one for rising: two slopes agree in sign exactly if they share a bit.
        sign = fall.add_(torch.lt(here, ahead, out=rise), alpha=2)
        center = sign[tile.origin - first :][: tile.length]
        code = tile.empty(torch.uint8).zero_()
        for i, (down, right) in enumerate(EIGHT):
            begin = tile.origin - first + down * width + right
            torch.bitwise_and(center, sign[begin : begin + tile.length], out=agrees)
            code.add_(torch.eq(agrees, none, out=agrees), alpha=1 << i)
        maps.append(code)
    return maps
