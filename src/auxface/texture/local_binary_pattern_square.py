"""Fast kernels for the local binary pattern with 8 samples at radius 1, the common circle.

:func:`square_codes` runs on every device. :func:`square_codes_on_cpu` computes the same codes with NumPy. For single
images, the overhead of calls dominates, and a NumPy call has a third of the overhead of a torch call. NumPy also uses
wider vector instructions for comparisons.
"""

import numpy as np
import torch
from torch import Tensor

from auxface.texture.circular_sampling import UNIT, offsets
from auxface.texture.tiles import EIGHT, Tile, tile_spans

# Offset of a diagonal sample at radius 1, and one pixel minus this offset, in units of 1 / UNIT.
DIAGONAL_OFFSET = offsets(8, 1)[1][1]
DIAGONAL_REST = UNIT - DIAGONAL_OFFSET
_RATIO = DIAGONAL_OFFSET / DIAGONAL_REST
# Five float32 buffers and three byte buffers.
_BYTES_PER_PIXEL = 23


def square_codes(tile: Tile) -> Tensor:
    """Return the default codes of 8 samples at radius 1, uint8 [length], computed in integer arithmetic.

    With a = 0.70711 and b = 1 - a, a diagonal sample s lies in the square formed by the diagonal neighbor d, two
    straight neighbors u, v and the center c, and s >= c means a (d - c) + b (u + v - 2c) >= 0. Because u + v - 2c is an
    integer, this condition is

        u + v - 2c + floor(a (d - c) / b) >= 0.

    Write a x = b K(x) + R(x) with 0 <= R(x) < b for a gray value x. Then

        floor(a (d - c) / b) = K(d) - K(c) - [R(d) < R(c)],

    so the condition is one comparison of small integers. K and R are computed once per pixel and fit into 16 bits.
    """
    center = tile.at(0, 0)
    code, bit = tile.empty(torch.uint8), tile.empty(torch.uint8)
    torch.ge(tile.at(*EIGHT[0]), center, out=code)
    for i in (2, 4, 6):
        code.add_(torch.ge(tile.at(*EIGHT[i]), center, out=bit), alpha=1 << i)
    wide = _diagonals(tile)
    return code.add_(bit.copy_(wide), alpha=2)


def _diagonals(tile: Tile) -> Tensor:
    """Return the bits of the diagonal directions 1, 3, 5 and 7, int16, shifted right by one."""
    size, width = tile.flat.numel(), tile.width
    pixels, quotient, rest, bound = (tile.empty(torch.int16, size) for _ in range(4))
    pixels.copy_(tile.flat)
    # Single precision is accurate enough: a x / b differs from the nearest integer by at least 1 / b = 3e-5. The
    # rounding error reaches this value only near 612, where no gray value gives a result so close to an integer. The
    # tests cover all 256 gray values.
    real = tile.empty(torch.float32, size).copy_(tile.flat)
    quotient.copy_(real.mul_(DIAGONAL_OFFSET / DIAGONAL_REST))
    # Intermediate values overflow 16 bits, but the result, 0 to b - 1, does not.
    torch.mul(pixels, DIAGONAL_OFFSET - (1 << 16), out=rest).add_(quotient, alpha=-DIAGONAL_REST)
    torch.add(quotient, pixels, alpha=2, out=bound)
    # Two sums u + v cover all four diagonals: the neighbors above and to the right of a pixel are the neighbors to the
    # left of and below the next pixel on the diagonal.
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


def square_codes_on_cpu(images: Tensor, border: str) -> Tensor:
    """Return the default codes [B, 1, H', W'] of uint8 images [B, H, W], using one thread.

    Several threads would wait for the global interpreter lock most of the time: an operation on a tile takes a few
    microseconds.
    """
    batch, height, width = images.shape
    margin = 1 if border == "reflect" else 0
    rows, columns = height + 2 * (margin - 1), width + 2 * (margin - 1)
    result = torch.empty((batch, 1, rows, columns), dtype=torch.uint8)
    pixels, codes = images.numpy(), result[:, 0].numpy()
    buffers = _take_buffers()
    for first, count, top, lines in tile_spans(batch, rows, width + 2 * margin, images.device, _BYTES_PER_PIXEL):
        size = count * (lines + 2) * (width + 2 * margin)
        if buffers.pixels < size:
            buffers = _Buffers(size)
        padded = buffers.padded[:size].reshape(count, lines + 2, width + 2 * margin)
        _read_padded(pixels[first : first + count], margin, top, out=padded)
        codes[first : first + count, top : top + lines] = _codes_by_numpy(padded, buffers)
    _FREE_BUFFERS.append(buffers)
    return result


class _Buffers:
    """Working memory of one thread."""

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels
        self.padded = np.empty(pixels, np.uint8)
        self.real = [np.empty(pixels, np.float32) for _ in range(5)]
        self.code, self.bit = np.empty(pixels, np.uint8), np.empty(pixels, np.uint8)


# Buffers are kept between calls, one set for each thread that calls at once, because the first write to newly allocated
# memory takes half as long as all operations.
_FREE_BUFFERS: list[_Buffers] = []


def _take_buffers() -> _Buffers:
    try:
        return _FREE_BUFFERS.pop()
    except IndexError:
        return _Buffers(0)


def _read_padded(images: np.ndarray, margin: int, top: int, *, out: np.ndarray) -> None:
    """Copy image lines to ``out``, mirrored at the borders if ``margin`` is 1, as in :func:`~tiles.mirrored`."""
    lines, height = out.shape[1], images.shape[1]
    if margin == 0:
        np.copyto(out, images[:, top : top + lines])
        return
    first, last = max(top - 1, 0), min(top + lines - 1, height)
    out[:, first + 1 - top : last + 1 - top, 1:-1] = images[:, first:last]
    if top == 0:
        out[:, 0, 1:-1] = images[:, 1]
    if top + lines - 2 == height:
        out[:, -1, 1:-1] = images[:, -2]
    out[:, :, 0] = out[:, :, 2]
    out[:, :, -1] = out[:, :, -3]


def _codes_by_numpy(padded: np.ndarray, buffers: _Buffers) -> np.ndarray:
    """Return the codes [n, H, W] of padded pixels [n, H + 2, W + 2] as a view that the next call overwrites.

    With r = a / b, a diagonal sample is at least the center if and only if u + v + r d >= (2 + r) c. Both sides are
    computed in single precision, with an error below 2e-4. Unless d = c and u + v = 2c, the two sides differ by more
    than 8e-3, because no ratio of gray value differences is closer to a / b. If the two sides are equal, rounding must
    not make the right side larger, so 2 + r is reduced by one part in a million, which changes the right side by at
    most 1.2e-3. The tests cover all pairs of d and c.
    """
    flat, width = padded.reshape(-1), padded.shape[2]
    size, origin = flat.size, width + 1
    length = size - 2 * origin
    pixels, scaled, rising, falling, bound = (each[:size] for each in buffers.real)
    np.copyto(pixels, flat)
    np.multiply(pixels, np.float32(_RATIO), out=scaled)
    # Two sums u + v cover all four diagonals; each sum is stored at the position of its first pixel.
    np.add(pixels[: -width - 1], pixels[width + 1 :], out=rising[: -width - 1])
    np.add(pixels[: 1 - width], pixels[width - 1 :], out=falling[: 1 - width])
    bound = np.multiply(pixels, np.float32((2 + _RATIO) * (1 - 1e-6)), out=bound)[origin : origin + length]
    center, total = flat[origin : origin + length], pixels[:length]
    code, bit = buffers.code[origin : origin + length], buffers.bit[:length]
    pairs = {1: (rising, -width), 3: (falling, -width), 5: (rising, -1), 7: (falling, 1)}
    for i in range(7, -1, -1):
        row, column = EIGHT[i]
        start = origin + row * width + column
        # The comparison writes 0 and 1 as bytes.
        reached = (code if i == 7 else bit).view(np.bool_)
        if i in pairs:
            pair, shift = pairs[i]
            np.add(pair[origin + shift : origin + shift + length], scaled[start : start + length], out=total)
            np.greater_equal(total, bound, out=reached)
        else:
            np.greater_equal(flat[start : start + length], center, out=reached)
        if i < 7:
            np.add(code, code, out=code)
            np.add(code, bit, out=code)
    return buffers.code[:size].reshape(padded.shape)[:, 1:-1, 1:-1]
