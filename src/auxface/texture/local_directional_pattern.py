"""Local directional pattern (LDP) and local directional number (LDN): the strongest of eight Kirsch edge responses.

Jabid, Kabir and Chae, "Local directional pattern (LDP) for face recognition", IEEE ICCE 2010; Ramirez Rivera, Rojas
Castillo and Chae, "Local directional number pattern for face analysis", IEEE TIP 22(5), 2013.
"""

import functools

import numpy as np
import torch
from torch import Tensor

from auxface.texture.gray_images import GrayImages, require_integer
from auxface.texture.registry import Descriptor, Output, register
from auxface.texture.tiles import EIGHT, Tile, apply_kernel

BYTES_PER_PIXEL = 56


def local_directional_pattern(image: GrayImages, k: int = 3, border: str = "reflect") -> GrayImages:
    """Mark the k directions with the largest absolute Kirsch responses (Jabid et al., 2010).

    Ties are broken in favor of the lower direction. Every code has exactly k bits set.

    Args:
        image: uint8 tensor or array of shape [H, W], [B, H, W] or [B, 1, H, W].
        k: number of directions to mark, from 1 to 8.
        border: ``reflect`` keeps the image size; ``valid`` drops one pixel on every side.

    Returns:
        uint8 codes in the layout of the input. Bit i belongs to direction i, counterclockwise from East.

    Raises:
        TypeError, ValueError: the image or a parameter is not as described.

    Example:
        >>> patch = np.array([[90, 60, 30], [20, 50, 50], [80, 10, 75]], np.uint8)
        >>> local_directional_pattern(patch, border="valid")
        array([[52]], dtype=uint8)
    """
    require_integer("k", k, 1, 8)
    return apply_kernel(
        image,
        functools.partial(_mark_largest, k=k),
        border,
        "local_directional_pattern",
        bytes_per_pixel=BYTES_PER_PIXEL,
    )


def local_directional_number(image: GrayImages, border: str = "reflect") -> GrayImages:
    """Encode the directions of the largest and smallest Kirsch responses (Ramirez Rivera et al., 2013).

    The code is 8 argmax + argmin over the eight directions. Ties are broken in favor of the lower direction.

    Args:
        image: uint8 tensor or array of shape [H, W], [B, H, W] or [B, 1, H, W].
        border: ``reflect`` keeps the image size; ``valid`` drops one pixel on every side.

    Returns:
        uint8 codes from 0 to 62 in the layout of the input.

    Raises:
        TypeError, ValueError: the image or the border rule is not as described.

    Example:
        >>> patch = np.array([[90, 60, 30], [20, 50, 50], [80, 10, 75]], np.uint8)
        >>> local_directional_number(patch, border="valid")
        array([[37]], dtype=uint8)
    """
    return apply_kernel(image, _number_extremes, border, "local_directional_number", bytes_per_pixel=BYTES_PER_PIXEL)


def plain_kirsch_responses(window: np.ndarray) -> list[int]:
    """Compute the eight responses of a window [3, 3]; mask d is 5 at directions d - 1, d, d + 1 and -3 elsewhere."""
    neighbors = [int(window[1 + row, 1 + column]) for row, column in EIGHT]
    return [sum((5 if (i - d) % 8 in (7, 0, 1) else -3) * x for i, x in enumerate(neighbors)) for d in range(8)]


def plain_local_directional_pattern(window: np.ndarray, k: int = 3) -> int:
    """Compute the code of the center pixel of a window [3, 3] directly from the definition."""
    responses = plain_kirsch_responses(window)
    order = sorted(range(8), key=lambda d: (-abs(responses[d]), d))
    return sum(1 << d for d in order[:k])


def plain_local_directional_number(window: np.ndarray) -> int:
    """Compute the code of the center pixel of a window [3, 3] directly from the definition."""
    responses = plain_kirsch_responses(window)
    return 8 * responses.index(max(responses)) + responses.index(min(responses))


def _mark_largest(tile: Tile, k: int) -> list[Tensor]:
    # Here, |m| is a multiple of 8, so adding 7 - d breaks ties: all eight keys differ.
    keys = [response.abs_().add_(7 - d) for d, response in enumerate(_kirsch_responses(tile))]
    if torch.compiler.is_compiling():
        # The C++ code that torch 2.15 generates for a minimum of 16-bit keys does not compile.
        keys = [key.to(torch.int32) for key in keys]
    threshold = _kth_largest(keys, k, tile)
    code, bit = tile.empty(torch.int16), tile.empty(torch.int16)
    torch.ge(keys[0], threshold, out=code)
    for d in range(1, 8):
        code.add_(torch.ge(keys[d], threshold, out=bit), alpha=1 << d)
    return [code]


def _kth_largest(keys: list[Tensor], k: int, tile: Tile) -> Tensor:
    """Return the k-th largest key at every pixel by inserting each key into a sorted list of the k largest keys."""
    best = [tile.empty(keys[0].dtype).copy_(keys[0])]
    smaller = tile.empty(keys[0].dtype)
    for number, key in enumerate(keys[1:], start=1):
        if len(best) < k:
            best.append(torch.minimum(best[-1], key, out=tile.empty(key.dtype)))
            lowest = len(best) - 2
        else:
            lowest = k - 1
        # A value that the remaining keys can no longer move to position k does not have to be sorted.
        highest = max(0, k - (len(keys) - number))
        for place in range(lowest, highest - 1, -1):
            candidate = key if place == 0 else torch.minimum(best[place - 1], key, out=smaller)
            torch.maximum(best[place], candidate, out=best[place])
    return best[k - 1]


def _number_extremes(tile: Tile) -> list[Tensor]:
    responses = _kirsch_responses(tile)
    largest = torch.add(responses[0], 7, out=tile.empty(torch.int16))
    smallest = tile.empty(torch.int16).copy_(responses[0])
    key = tile.empty(torch.int16)
    for d in range(1, 8):
        torch.maximum(largest, torch.add(responses[d], 7 - d, out=key), out=largest)
        torch.minimum(smallest, torch.add(responses[d], d, out=key), out=smallest)
    largest.bitwise_and_(7).mul_(-8).add_(56)
    return [largest.add_(smallest.bitwise_and_(7))]


def _kirsch_responses(tile: Tile) -> list[Tensor]:
    """Return the eight Kirsch responses times 8, each int16 [length], from -30600 to 30600.

    Mask d weights directions d - 1, d and d + 1 with 5 and the other directions with -3:
    m_d = 8 (sum of the three) - 3 (sum of all eight).
    """
    total, threes = _neighbor_sums(tile)
    total.mul_(-24)
    # Both terms overflow 16 bits, but their sum does not.
    return [torch.add(total, three, alpha=64, out=tile.empty(torch.int16)) for three in threes]


def _neighbor_sums(tile: Tile) -> tuple[Tensor, list[Tensor]]:
    """Return the sum of all neighbors and, for every direction d, the sum of the neighbors d - 1, d and d + 1."""
    pixels, width, size = tile.cast(torch.int16), tile.width, tile.flat.numel()
    two = torch.add(pixels[:-1], pixels[1:], out=tile.empty(torch.int16, size - 1))
    across = torch.add(two[:-1], pixels[2:], out=tile.empty(torch.int16, size - 2))
    down = torch.add(pixels[: -2 * width], pixels[width:-width], out=tile.empty(torch.int16, size - 2 * width))
    down.add_(pixels[2 * width :])
    north, south, east, west = (
        tile.at(-1, -1, across),
        tile.at(1, -1, across),
        tile.at(-1, 1, down),
        tile.at(-1, -1, down),
    )

    def corner(row: int, column: int, side: int) -> Tensor:
        return torch.add(tile.at(row, column, two), tile.at(0, side, pixels), out=tile.empty(torch.int16))

    total = torch.add(north, south, out=tile.empty(torch.int16))
    total.add_(tile.at(0, 1, pixels)).add_(tile.at(0, -1, pixels))
    return total, [east, corner(-1, 0, 1), north, corner(-1, -1, -1), west, corner(1, -1, -1), south, corner(1, 0, 1)]


DESCRIPTOR = register(
    Descriptor(
        name="local_directional_pattern",
        function=local_directional_pattern,
        output=lambda **_: Output.bit_codes(8),
        reference="Jabid, Kabir, Chae, Local directional pattern (LDP) for face recognition, IEEE ICCE 2010",
    )
)
NUMBER_DESCRIPTOR = register(
    Descriptor(
        name="local_directional_number",
        function=local_directional_number,
        output=lambda **_: Output.bit_codes(6),
        reference="Ramirez Rivera, Rojas Castillo, Chae, Local directional number pattern for face analysis: face and "
        "expression recognition, IEEE TIP 22(5), 2013",
    )
)
