"""Second-order local derivative pattern: marks where the derivatives along four directions change sign.

Zhang, Gao, Zhao and Liu, "Local derivative pattern versus local binary pattern", IEEE TIP 19(2), 2010. Bits are ordered
counterclockwise from East.
"""

import numpy as np
import torch
from torch import Tensor

from auxface.texture.gray_images import GrayImages
from auxface.texture.registry import Descriptor, Output, register
from auxface.texture.tiles import EIGHT, Tile, apply_kernel


def local_derivative_pattern(image: GrayImages, border: str = "reflect") -> GrayImages:
    """Compare derivatives at a pixel with derivatives at its neighbors, in four directions (Zhang et al., 2010).

    For the directions E, NE, N and NW, D(z) = I(z) - I(next pixel in the direction). Bit i is 1 if
    D(center) D(neighbor i) <= 0.

    Args:
        image: uint8 tensor or array of shape [H, W], [B, H, W] or [B, 1, H, W].
        border: ``reflect`` keeps the image size; ``valid`` drops two pixels on every side.

    Returns:
        Codes for 0°, 45°, 90° and 135°, uint8 [4, H, W] or [B, 4, H, W].

    Raises:
        TypeError, ValueError: the image or the border rule is not as described.

    Example:
        >>> ramp = np.arange(25, dtype=np.uint8).reshape(5, 5)
        >>> local_derivative_pattern(ramp, border="valid").ravel()
        array([0, 0, 0, 0], dtype=uint8)
    """
    return apply_kernel(image, _compare, border, "local_derivative_pattern", radius=2, maps=4, bytes_per_pixel=12)


def plain_local_derivative_pattern(window: np.ndarray) -> list[int]:
    """Compute the four codes of the center pixel of a window [5, 5] directly from the definition."""
    pixel = {(r, c): int(window[2 + r, 2 + c]) for r in range(-2, 3) for c in range(-2, 3)}
    codes = []
    for row, column in EIGHT[:4]:
        derivatives = [pixel[r, c] - pixel[r + row, c + column] for r, c in ((0, 0), *EIGHT)]
        codes.append(sum(1 << i for i, derivative in enumerate(derivatives[1:]) if derivatives[0] * derivative <= 0))
    return codes


def _compare(tile: Tile) -> list[Tensor]:
    width, size = tile.width, tile.flat.numel()
    # Derivatives are also needed at the neighbors, so they are computed one pixel beyond the result on every side.
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
        # One bit marks a negative derivative, another bit a positive one. Two derivatives have the same sign if they
        # share a bit.
        sign = fall.add_(torch.lt(here, ahead, out=rise), alpha=2)
        center = sign[tile.origin - first :][: tile.length]
        code = tile.empty(torch.uint8).zero_()
        for i, (down, right) in enumerate(EIGHT):
            begin = tile.origin - first + down * width + right
            torch.bitwise_and(center, sign[begin : begin + tile.length], out=agrees)
            code.add_(torch.eq(agrees, none, out=agrees), alpha=1 << i)
        maps.append(code)
    return maps


DESCRIPTOR = register(
    Descriptor(
        name="local_derivative_pattern",
        function=local_derivative_pattern,
        output=lambda **_: Output.bit_codes(8, maps=4),
        reference="Zhang, Gao, Zhao, Liu, Local derivative pattern versus local binary pattern, IEEE TIP 19(2), 2010",
    )
)
