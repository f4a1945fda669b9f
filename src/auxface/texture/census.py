"""Census transform: which pixels of a window are darker than its center.

Zabih and Woodfill, "Non-parametric local transforms for computing visual correspondence", ECCV 1994.
"""

import functools

import torch
from torch import Tensor

from auxface.texture.images import GrayImages, require_whole
from auxface.texture.tiles import Tile, apply_square

# A window of 9 has 80 comparisons, more than an integer holds.
LARGEST_WINDOW = 7


def census_transform(image: GrayImages, window: int = 3, border: str = "reflect") -> GrayImages:
    """Bit k tells whether pixel k of the window is darker than the center (Zabih and Woodfill, 1994).

    Args:
        image: uint8 [H, W], [B, H, W] or [B, 1, H, W], tensor or array.
        window: side of the window: 3, 5 or 7.
        border: ``reflect`` keeps the size; ``valid`` drops ``window // 2`` pixels on every side.

    Returns:
        Codes of window² - 1 bits in the layout of the input: uint8, int32 or int64. Bits count pixels in raster order
        from the top left, the center left out.

    Raises:
        TypeError, ValueError: an image or a parameter outside what is said here.
    """
    require_window(window)
    dtype = {3: torch.uint8, 5: torch.int32, 7: torch.int64}[window]
    kernel = functools.partial(_census, window=window, dtype=dtype)
    return apply_square(
        image, kernel, border, "census_transform", radius=window // 2, dtype=dtype, bytes_per_pixel=3 * dtype.itemsize
    )


def require_window(window: int) -> None:
    """Refuse a window that is not 3, 5 or 7.

    Raises:
        TypeError, ValueError: see :func:`census_transform`.
    """
    require_whole("window", window, 3, LARGEST_WINDOW, odd=True)


def _census(tile: Tile, window: int, dtype: torch.dtype) -> list[Tensor]:
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
