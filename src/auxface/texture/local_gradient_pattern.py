"""Local gradient pattern (LGP): which neighbors differ from the center by at least the mean difference.

Jun and Kim, "Robust face detection using local gradient patterns and evidence accumulation", Pattern Recognition
45(9), 2012.
"""

import numpy as np
import torch
from torch import Tensor

from auxface.texture.gray_images import GrayImages
from auxface.texture.registry import Descriptor, Output, register
from auxface.texture.tiles import EIGHT, Tile, apply_kernel


def local_gradient_pattern(image: GrayImages, border: str = "reflect") -> GrayImages:
    """Compare each neighbor's absolute difference from the center with their mean (Jun and Kim, 2012).

    Bit i is 1 if |x_i - c| is at least the mean of the eight differences.

    Args:
        image: uint8 [H, W], [B, H, W] or [B, 1, H, W], a tensor or an array.
        border: ``reflect`` keeps the size; ``valid`` drops one pixel on every side.

    Returns:
        uint8 codes 1 to 255 in the layout of the input. Directions are counted counter-clockwise from East.

    Raises:
        TypeError, ValueError: an image or a border rule that is not as described.

    Example:
        >>> patch = np.array([[90, 60, 30], [20, 50, 50], [80, 10, 75]], np.uint8)
        >>> local_gradient_pattern(patch, border="valid")
        array([[248]], dtype=uint8)
    """
    return apply_kernel(image, _compare, border, "local_gradient_pattern", bytes_per_pixel=26)


def plain_local_gradient_pattern(window: np.ndarray) -> int:
    """Return the code of the center pixel of a window [3, 3], by the definition."""
    center = int(window[1, 1])
    differences = [abs(int(window[1 + row, 1 + column]) - center) for row, column in EIGHT]
    return sum(1 << i for i, difference in enumerate(differences) if difference >= sum(differences) / 8)


def _compare(tile: Tile) -> list[Tensor]:
    # Eight times the difference is compared with the sum: no division.
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


DESCRIPTOR = register(
    Descriptor(
        name="local_gradient_pattern",
        function=local_gradient_pattern,
        output=lambda **_: Output.bit_codes(8),
        reference="Jun, Kim, Robust face detection using local gradient patterns and evidence accumulation, Pattern "
        "Recognition 45(9), 2012",
    )
)
