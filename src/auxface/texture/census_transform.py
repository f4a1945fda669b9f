"""Census transform: which pixels of a window are darker than its center.

Zabih and Woodfill, "Non-parametric local transforms for computing visual correspondence", ECCV 1994.
"""

import functools

import numpy as np
import torch
from torch import Tensor

from auxface.texture.gray_images import GrayImages, require_integer
from auxface.texture.registry import Descriptor, Output, register
from auxface.texture.tiles import Tile, apply_kernel

# A window of 9 has 80 comparisons, more than an int64 holds.
MAX_WINDOW = 7


def census_transform(image: GrayImages, window: int = 3, border: str = "reflect") -> GrayImages:
    """Compare every pixel of a window with its center; bit k is 1 if pixel k is darker (Zabih and Woodfill, 1994).

    Args:
        image: uint8 [H, W], [B, H, W] or [B, 1, H, W], a tensor or an array.
        window: side of the window in pixels: 3, 5 or 7.
        border: ``reflect`` keeps the size; ``valid`` drops ``window // 2`` pixels on every side.

    Returns:
        Codes of window² - 1 bits in the layout of the input: uint8, int32 or int64. Bits follow the pixels in raster
        order from the top left, without the center.

    Raises:
        TypeError, ValueError: an image or a parameter that is not as described.

    Example:
        >>> patch = np.array([[90, 60, 30], [20, 50, 50], [80, 10, 75]], np.uint8)
        >>> census_transform(patch, border="valid")
        array([[76]], dtype=uint8)
    """
    _check(window)
    dtype = {3: torch.uint8, 5: torch.int32, 7: torch.int64}[window]
    kernel = functools.partial(_compare, window=window, dtype=dtype)
    return apply_kernel(
        image, kernel, border, "census_transform", radius=window // 2, dtype=dtype, bytes_per_pixel=3 * dtype.itemsize
    )


def plain_census_transform(window: np.ndarray) -> int:
    """Return the code of the center pixel of a window [w, w], by the definition."""
    pixels = [int(value) for value in window.ravel()]
    center = pixels.pop(len(pixels) // 2)
    return sum(1 << k for k, pixel in enumerate(pixels) if pixel < center)


def _check(window: int) -> None:
    require_integer("window", window, 3, MAX_WINDOW, odd=True)


def _compare(tile: Tile, window: int, dtype: torch.dtype) -> list[Tensor]:
    reach = window // 2
    offsets = [(r, c) for r in range(-reach, reach + 1) for c in range(-reach, reach + 1) if (r, c) != (0, 0)]
    center, bit, byte = tile.at(0, 0), tile.empty(torch.uint8), tile.empty(torch.uint8)
    code, wide = tile.empty(dtype).zero_(), tile.empty(dtype)
    for first in range(0, len(offsets), 8):
        byte.zero_()
        for i, offset in enumerate(offsets[first : first + 8]):
            byte.add_(torch.lt(tile.at(*offset), center, out=bit), alpha=1 << i)
        code.add_(wide.copy_(byte), alpha=1 << first)
    return [code]


def _output(window: int, border: str) -> Output:
    _check(window)
    return Output.bit_codes(window**2 - 1)


DESCRIPTOR = register(
    Descriptor(
        name="census_transform",
        function=census_transform,
        output=_output,
        reference="Zabih, Woodfill, Non-parametric local transforms for computing visual correspondence, ECCV 1994",
    )
)
