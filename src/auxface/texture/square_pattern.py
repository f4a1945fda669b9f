"""The 8-sample, radius-1 local binary pattern in 8- and 16-bit integers, exactly.

With a = 0.70711 and b = 1 - a, a diagonal sample lies in the square of the diagonal neighbour d, two straight
neighbours u, v and the centre c, and s >= c means a (d - c) + b (u + v - 2c) >= 0. Since u + v - 2c is whole, that is

    u + v - 2c + floor(a (d - c) / b) >= 0.

Write a x = b K(x) + R(x) with 0 <= R(x) < b for a grey value x. Then

    floor(a (d - c) / b) = K(d) - K(c) - [R(d) < R(c)],

so the test is one comparison of small whole numbers: K and R are computed once per pixel and fit 16 bits.
"""

import torch
from torch import Tensor

from auxface.texture.circle import UNIT, offsets
from auxface.texture.tiles import EIGHT, Tile

A = offsets(8, 1)[1][1]
B = UNIT - A


def square_codes(tile: Tile) -> Tensor:
    """Default codes, uint8 [length]; bit i belongs to direction i, counter-clockwise from East."""
    centre = tile.at(0, 0)
    code, bit = tile.empty(torch.uint8), tile.empty(torch.uint8)
    torch.ge(tile.at(*EIGHT[0]), centre, out=code)
    for i in (2, 4, 6):
        code.add_(torch.ge(tile.at(*EIGHT[i]), centre, out=bit), alpha=1 << i)
    wide = _diagonals(tile)
    return code.add_(bit.copy_(wide), alpha=2)


def _diagonals(tile: Tile) -> Tensor:
    """The bits of directions 1, 3, 5 and 7, int16, one place to the right."""
    size, width = tile.flat.numel(), tile.width
    pixels, quotient, rest, bound = (tile.empty(torch.int16, size) for _ in range(4))
    pixels.copy_(tile.flat)
    # Single precision is exact here: a x / b keeps at least 1 / b = 3e-5 away from the next whole number, its error
    # is below 4e-5 only near 612, where no grey value comes that close. The test suite tries all 256 values.
    real = tile.empty(torch.float32, size).copy_(tile.flat)
    quotient.copy_(real.mul_(A / B))
    # Wraps around 16 bits on the way; the result lies in 0 .. b - 1 again.
    torch.mul(pixels, A - (1 << 16), out=rest).add_(quotient, alpha=-B)
    torch.add(quotient, pixels, alpha=2, out=bound)
    # u + v lies along two diagonals: up and right is also, one pixel on, left and down.
    rising = torch.add(pixels[: -width - 1], pixels[width + 1 :], out=tile.empty(torch.int16, size - width - 1))
    falling = torch.add(pixels[: 1 - width], pixels[width - 1 :], out=tile.empty(torch.int16, size - width + 1))
    origin, length = tile.origin, tile.length
    bound, rest_here = tile.at(0, 0, bound), tile.at(0, 0, rest)
    wide, total, below = (tile.empty(torch.int16) for _ in range(3))
    for direction, pair, shift in ((1, rising, -width), (3, falling, -width), (5, rising, -1), (7, falling, 1)):
        start = origin + shift
        torch.add(pair[start : start + length], tile.at(*EIGHT[direction], quotient), out=total)
        torch.lt(tile.at(*EIGHT[direction], rest), rest_here, out=below)
        reached = torch.ge(total.sub_(below), bound, out=wide if direction == 1 else total)
        if direction > 1:
            wide.add_(reached, alpha=1 << (direction - 1))
    return wide
