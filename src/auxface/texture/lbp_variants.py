"""Binary codes from comparisons of the pixels in a window: LTP, CS-LBP, the census transform and LGP.

Local ternary pattern (LTP): marks the neighbors that are brighter than the center by at least a threshold and,
separately, the neighbors that are darker by at least the threshold. Tan and Triggs, "Enhanced local texture feature
sets for face recognition under difficult lighting conditions", IEEE TIP 19(6), 2010.

Center-symmetric local binary pattern (CS-LBP): compares opposite neighbors with each other. Heikkilä, Pietikäinen and
Schmid, "Description of interest regions with local binary patterns", Pattern Recognition 42(3), 2009.

Census transform: marks the pixels of a window that are darker than its center. Zabih and Woodfill, "Non-parametric
local transforms for computing visual correspondence", ECCV 1994.

Local gradient pattern (LGP): marks the neighbors whose absolute difference from the center is at least the mean
absolute difference. Jun and Kim, "Robust face detection using local gradient patterns and evidence accumulation",
Pattern Recognition 45(9), 2012.
"""

import functools
import math

import numpy as np
import torch
from torch import Tensor

from auxface.texture.gray_images import GrayImages, require_integer, require_number
from auxface.texture.registry import Descriptor, Output, register
from auxface.texture.tiles import EIGHT, Tile, apply_kernel


def local_ternary_pattern(image: GrayImages, threshold: float = 5, border: str = "reflect") -> GrayImages:
    """Mark the neighbors with x_i >= c + threshold and with x_i <= c - threshold in two codes (Tan and Triggs, 2010).

    Args:
        image: uint8 tensor or array of shape [H, W], [B, H, W] or [B, 1, H, W].
        threshold: smallest difference in gray levels that sets a bit; above 0.
        border: ``reflect`` keeps the image size; ``valid`` drops one pixel on every side.

    Returns:
        Upper and lower codes, uint8 [2, H, W] or [B, 2, H, W]. Bit i belongs to direction i, counterclockwise from
        East. No bit is set in both codes.

    Raises:
        TypeError, ValueError: the image or a parameter is not as described.

    Example:
        >>> patch = np.array([[90, 60, 30], [20, 50, 50], [80, 10, 75]], np.uint8)
        >>> local_ternary_pattern(patch, border="valid").ravel()
        array([172,  82], dtype=uint8)
    """
    require_number("threshold", threshold, 0, above=True)
    # Differences are integers up to 255, so rounding the threshold up changes no comparison, and 256 is never reached.
    margin = min(math.ceil(threshold), 256)
    kernel = functools.partial(_ternary_codes, margin=margin)
    return apply_kernel(image, kernel, border, "local_ternary_pattern", bytes_per_pixel=14, maps=2)


def plain_local_ternary_pattern(window: np.ndarray, threshold: float = 5) -> list[int]:
    """Compute the upper and lower codes of the center pixel of a window [3, 3] directly from the definition."""
    center = int(window[1, 1])
    neighbors = [int(window[1 + row, 1 + column]) for row, column in EIGHT]
    upper = sum(1 << i for i, neighbor in enumerate(neighbors) if neighbor >= center + threshold)
    lower = sum(1 << i for i, neighbor in enumerate(neighbors) if neighbor <= center - threshold)
    return [upper, lower]


def _ternary_codes(tile: Tile, margin: int) -> list[Tensor]:
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


register(
    Descriptor(
        name="local_ternary_pattern",
        function=local_ternary_pattern,
        output=lambda **_: Output.bit_codes(8, maps=2),
        reference="Tan, Triggs, Enhanced local texture feature sets for face recognition under difficult lighting "
        "conditions, IEEE TIP 19(6), 2010",
    )
)


def center_symmetric_lbp(image: GrayImages, threshold: float = 2.55, border: str = "reflect") -> GrayImages:
    """Compare opposite neighbors; bit i is 1 if x_i - x_(i+4) > threshold (Heikkilä et al., 2009).

    Args:
        image: uint8 tensor or array of shape [H, W], [B, H, W] or [B, 1, H, W].
        threshold: difference in gray levels that must be exceeded to set a bit; at least 0.
        border: ``reflect`` keeps the image size; ``valid`` drops one pixel on every side.

    Returns:
        uint8 codes from 0 to 15 in the layout of the input. Directions are counted counterclockwise from East.

    Raises:
        TypeError, ValueError: the image or a parameter is not as described.

    Example:
        >>> patch = np.array([[90, 60, 30], [20, 50, 50], [80, 10, 75]], np.uint8)
        >>> center_symmetric_lbp(patch, border="valid")
        array([[13]], dtype=uint8)
    """
    require_number("threshold", threshold, 0)
    # Differences are integers up to 255, so "more than the threshold" means "at least the next integer".
    margin = min(math.floor(threshold) + 1, 256)
    kernel = functools.partial(_center_symmetric_code, margin=margin)
    return apply_kernel(image, kernel, border, "center_symmetric_lbp", bytes_per_pixel=10)


def plain_center_symmetric_lbp(window: np.ndarray, threshold: float = 2.55) -> int:
    """Compute the code of the center pixel of a window [3, 3] directly from the definition."""
    neighbors = [int(window[1 + row, 1 + column]) for row, column in EIGHT]
    return sum(1 << i for i in range(4) if neighbors[i] - neighbors[i + 4] > threshold)


def _center_symmetric_code(tile: Tile, margin: int) -> list[Tensor]:
    pixels = tile.cast(torch.int16)
    raised = torch.add(pixels, margin, out=tile.empty(torch.int16, pixels.numel()))
    code, bit = tile.empty(torch.int16).zero_(), tile.empty(torch.int16)
    for i in range(4):
        exceeds = torch.ge(tile.at(*EIGHT[i], pixels), tile.at(*EIGHT[i + 4], raised), out=bit)
        code.add_(exceeds, alpha=1 << i)
    return [code]


register(
    Descriptor(
        name="center_symmetric_lbp",
        function=center_symmetric_lbp,
        output=lambda **_: Output.bit_codes(4),
        reference="Heikkilä, Pietikäinen, Schmid, Description of interest regions with local binary patterns, Pattern "
        "Recognition 42(3), 2009",
    )
)


# A 9 x 9 window has 80 comparisons, more than the bits of an int64.
MAX_WINDOW = 7


def census_transform(image: GrayImages, window: int = 3, border: str = "reflect") -> GrayImages:
    """Compare every pixel of a window with its center; bit k is 1 if pixel k is darker (Zabih and Woodfill, 1994).

    Args:
        image: uint8 tensor or array of shape [H, W], [B, H, W] or [B, 1, H, W].
        window: side of the window in pixels: 3, 5 or 7.
        border: ``reflect`` keeps the image size; ``valid`` drops ``window // 2`` pixels on every side.

    Returns:
        Codes with window² - 1 bits in the layout of the input, as uint8, int32 or int64. Bits follow the pixels in
        raster order from the top left, without the center.

    Raises:
        TypeError, ValueError: the image or a parameter is not as described.

    Example:
        >>> patch = np.array([[90, 60, 30], [20, 50, 50], [80, 10, 75]], np.uint8)
        >>> census_transform(patch, border="valid")
        array([[76]], dtype=uint8)
    """
    _check_window(window)
    dtype = {3: torch.uint8, 5: torch.int32, 7: torch.int64}[window]
    kernel = functools.partial(_census_code, window=window, dtype=dtype)
    return apply_kernel(
        image, kernel, border, "census_transform", radius=window // 2, dtype=dtype, bytes_per_pixel=3 * dtype.itemsize
    )


def plain_census_transform(window: np.ndarray) -> int:
    """Compute the code of the center pixel of a window [w, w] directly from the definition."""
    pixels = [int(value) for value in window.ravel()]
    center = pixels.pop(len(pixels) // 2)
    return sum(1 << k for k, pixel in enumerate(pixels) if pixel < center)


def _check_window(window: int) -> None:
    require_integer("window", window, 3, MAX_WINDOW, odd=True)


def _census_code(tile: Tile, window: int, dtype: torch.dtype) -> list[Tensor]:
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


def _census_output(window: int, border: str) -> Output:
    _check_window(window)
    return Output.bit_codes(window**2 - 1)


register(
    Descriptor(
        name="census_transform",
        function=census_transform,
        output=_census_output,
        reference="Zabih, Woodfill, Non-parametric local transforms for computing visual correspondence, ECCV 1994",
    )
)


def local_gradient_pattern(image: GrayImages, border: str = "reflect") -> GrayImages:
    """Compare the absolute difference of each neighbor from the center with the mean difference (Jun and Kim, 2012).

    Bit i is 1 if ``|x_i - c|`` is at least the mean of the eight absolute differences.

    Args:
        image: uint8 tensor or array of shape [H, W], [B, H, W] or [B, 1, H, W].
        border: ``reflect`` keeps the image size; ``valid`` drops one pixel on every side.

    Returns:
        uint8 codes from 1 to 255 in the layout of the input. Directions are counted counterclockwise from East.

    Raises:
        TypeError, ValueError: the image or the border rule is not as described.

    Example:
        >>> patch = np.array([[90, 60, 30], [20, 50, 50], [80, 10, 75]], np.uint8)
        >>> local_gradient_pattern(patch, border="valid")
        array([[248]], dtype=uint8)
    """
    return apply_kernel(image, _gradient_code, border, "local_gradient_pattern", bytes_per_pixel=26)


def plain_local_gradient_pattern(window: np.ndarray) -> int:
    """Compute the code of the center pixel of a window [3, 3] directly from the definition."""
    center = int(window[1, 1])
    differences = [abs(int(window[1 + row, 1 + column]) - center) for row, column in EIGHT]
    return sum(1 << i for i, difference in enumerate(differences) if difference >= sum(differences) / 8)


def _gradient_code(tile: Tile) -> list[Tensor]:
    # Eight times each difference is compared with the sum of all differences, which avoids a division.
    pixels = tile.cast(torch.int16).mul_(8)
    center = tile.at(0, 0, pixels)
    differences = []
    total = tile.empty(torch.int16).zero_()
    for offset in EIGHT:
        difference = torch.sub(tile.at(*offset, pixels), center, out=tile.empty(torch.int16)).abs_()
        differences.append(difference)
        total.add_(difference)
    total.bitwise_right_shift_(3)
    code, bit = tile.empty(torch.int16).zero_(), tile.empty(torch.int16)
    for i, difference in enumerate(differences):
        code.add_(torch.ge(difference, total, out=bit), alpha=1 << i)
    return [code]


register(
    Descriptor(
        name="local_gradient_pattern",
        function=local_gradient_pattern,
        output=lambda **_: Output.bit_codes(8),
        reference="Jun, Kim, Robust face detection using local gradient patterns and evidence accumulation, Pattern "
        "Recognition 45(9), 2012",
    )
)
