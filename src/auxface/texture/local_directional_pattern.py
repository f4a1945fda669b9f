"""Local directional pattern and local directional number: the strongest of eight edge directions.

Jabid, Kabir and Chae, "Local directional pattern (LDP) for face recognition", IEEE ICCE 2010; Ramirez Rivera, Rojas
Castillo and Chae, "Local directional number pattern for face analysis", IEEE TIP 22(5), 2013.
"""

import functools

import torch
from torch import Tensor

from auxface.texture.images import GrayImages, require_whole
from auxface.texture.tiles import Tile, apply_square

WORKING = 56


def local_directional_pattern(image: GrayImages, k: int = 3, border: str = "reflect") -> GrayImages:
    """The k directions with the strongest Kirsch response, as bits (Jabid et al., 2010).

    Ties go to the lower direction. Every code has exactly k bits.

    Args:
        image: uint8 [H, W], [B, H, W] or [B, 1, H, W], tensor or array.
        k: directions to keep, 1 to 8.
        border: ``reflect`` keeps the size; ``valid`` drops one pixel on every side.

    Returns:
        uint8 codes in the layout of the input; bit i belongs to direction i, counter-clockwise from East.

    Raises:
        TypeError, ValueError: an image or a parameter outside what is said here.
    """
    require_whole("k", k, 1, 8)
    return apply_square(
        image, functools.partial(_strongest, k=k), border, "local_directional_pattern", bytes_per_pixel=WORKING
    )


def local_directional_number(image: GrayImages, border: str = "reflect") -> GrayImages:
    """Direction of the largest and of the smallest Kirsch response: 8 largest + smallest (Ramirez Rivera et al., 2013).

    Ties go to the lower direction.

    Args:
        image: uint8 [H, W], [B, H, W] or [B, 1, H, W], tensor or array.
        border: ``reflect`` keeps the size; ``valid`` drops one pixel on every side.

    Returns:
        uint8 codes 0 to 62 in the layout of the input.

    Raises:
        TypeError, ValueError: an image or a parameter outside what is said here.
    """
    return apply_square(image, _extremes, border, "local_directional_number", bytes_per_pixel=WORKING)


def kirsch_responses(tile: Tile) -> list[Tensor]:
    """The eight Kirsch responses times 8, int16 [length] each, -30600 to 30600.

    Mask d weighs directions d - 1, d, d + 1 with 5 and the others with -3, so m_d = 8 (their sum) - 3 (sum of all).
    """
    total, threes = _neighbor_sums(tile)
    total.mul_(-24)
    # Both terms wrap around 16 bits; their sum is back inside.
    return [torch.add(total, three, alpha=64, out=tile.empty(torch.int16)) for three in threes]


def _neighbor_sums(tile: Tile) -> tuple[Tensor, list[Tensor]]:
    """Sum of all eight neighbors, and for every direction the sum of the neighbors d - 1, d and d + 1."""
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


def _strongest(tile: Tile, k: int) -> list[Tensor]:
    # |m| is a multiple of 8 here: the room below holds the rank among ties, so that all eight keys differ.
    keys = [response.abs_().add_(7 - d) for d, response in enumerate(kirsch_responses(tile))]
    if torch.compiler.is_compiling():
        # In C++ generated for 16-bit keys a minimum meets a short and an int, and does not compile (torch 2.15).
        keys = [key.to(torch.int32) for key in keys]
    threshold = _kth_largest(keys, k, tile)
    code, bit = tile.empty(torch.int16), tile.empty(torch.int16)
    torch.ge(keys[0], threshold, out=code)
    for d in range(1, 8):
        code.add_(torch.ge(keys[d], threshold, out=bit), alpha=1 << d)
    return [code]


def _kth_largest(keys: list[Tensor], k: int, tile: Tile) -> Tensor:
    """The k-th largest of the keys at every pixel, by inserting one key after the other among the k largest."""
    best = [tile.empty(keys[0].dtype).copy_(keys[0])]
    smaller = tile.empty(keys[0].dtype)
    for seen, key in enumerate(keys[1:], start=1):
        if len(best) < k:
            best.append(torch.minimum(best[-1], key, out=tile.empty(key.dtype)))
            lowest = len(best) - 2
        else:
            lowest = k - 1
        # What the remaining keys can no longer push down to place k need not be kept in order.
        highest = max(0, k - (len(keys) - seen))
        for place in range(lowest, highest - 1, -1):
            candidate = key if place == 0 else torch.minimum(best[place - 1], key, out=smaller)
            torch.maximum(best[place], candidate, out=best[place])
    return best[k - 1]


def _extremes(tile: Tile) -> list[Tensor]:
    responses = kirsch_responses(tile)
    largest = torch.add(responses[0], 7, out=tile.empty(torch.int16))
    smallest = tile.empty(torch.int16).copy_(responses[0])
    key = tile.empty(torch.int16)
    for d in range(1, 8):
        torch.maximum(largest, torch.add(responses[d], 7 - d, out=key), out=largest)
        torch.minimum(smallest, torch.add(responses[d], d, out=key), out=smallest)
    largest.bitwise_and_(7).mul_(-8).add_(56)
    return [largest.add_(smallest.bitwise_and_(7))]
