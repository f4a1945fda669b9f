"""Circular patterns: samples on a circle around every pixel, and codes with one bit per sample.

Ojala, Pietikäinen and Mäenpää, IEEE TPAMI 24(7), 2002. Offsets are rounded to multiples of 1e-5 pixels, so that samples
are integer multiples of 1e-10 and comparisons with the center do not depend on rounding.

Example:
    >>> offsets(points=4, radius=1)
    [(0, 100000), (-100000, 0), (0, -100000), (100000, 0)]

Codes are mapped to rotation-invariant and uniform codes (Ojala, Pietikäinen and Mäenpää, 2002), or to ``nri_uniform``
(Ahonen, Hadid and Pietikäinen, IEEE TPAMI 28(12), 2006).

Example:
    >>> map_codes(torch.tensor([0b00000110, 0b01010101]), points=8, method="uniform")
    tensor([2, 9], dtype=torch.uint8)
"""

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from auxface.texture.tiles import Tile

UNIT = 100_000
"""Offsets are integer multiples of 1 / UNIT pixel, so bilinear weights are integer multiples of 1 / UNIT²."""

# A sample differs from an integer gray value by a multiple of 1e-10. Half of that, added before rounding down, exceeds
# the error of double precision (below 1e-12 for values up to 255) and so makes the rounding exact.
HALF_STEP = 0.5 / UNIT**2

Offset = tuple[int, int]
"""Row and column offset in units of 1 / UNIT pixel."""
METHODS = ("default", "ror", "uniform", "nri_uniform")
# Up to this number of samples, the lookup table of all codes fits into the cache.
TABLE_POINTS = 16
# Number of code bits that fit in an int16 word.
WORD_BITS = 15


def offsets(points: int, radius: float) -> list[Offset]:
    """Return the offsets of the samples: sample i is at row -R sin(2πi/P), column R cos(2πi/P)."""
    angles = [2 * math.pi * i / points for i in range(points)]
    return [(round(-radius * math.sin(a) * UNIT), round(radius * math.cos(a) * UNIT)) for a in angles]


class BilinearReader:
    """Bilinear interpolation in one tile, in double precision; samples in one row share the vertical interpolation.

    Args:
        tile: tile from which pixels are read.
        scale: factor by which samples are multiplied. With 1, samples are gray values (within 1e-12); with ``UNIT``,
            multiples of 1e-10 are read exactly, as integers.
        bias: value added to every gray value.
    """

    def __init__(self, tile: Tile, scale: int, bias: float = 0.0) -> None:
        self._tile = tile
        self._scale = scale
        self._pixels = tile.cast(torch.float64)
        if bias:
            self._pixels.add_(bias)
        self._line = tile.empty(torch.float64, tile.flat.numel() - 2 * tile.radius * tile.width)
        self._row: int | None = None

    def read(self, offset: Offset, *, out: Tensor) -> Tensor:
        """For every pixel, write the sample at ``offset`` to ``out``; reading offsets in row order is fastest."""
        row, column = offset
        if row != self._row:
            self._interpolate_line(row)
            self._row = row
        base, fraction = divmod(column, UNIT)
        start = self._tile.radius + base
        left = self._line[start : start + self._tile.length]
        near, far = self._weights(fraction)
        torch.mul(left, near, out=out)
        if fraction:
            out.add_(self._line[start + 1 : start + 1 + self._tile.length], alpha=far)
        return out

    def _interpolate_line(self, row: int) -> None:
        base, fraction = divmod(row, UNIT)
        start = (self._tile.radius + base) * self._tile.width
        length = self._line.numel()
        near, far = self._weights(fraction)
        torch.mul(self._pixels[start : start + length], near, out=self._line)
        if fraction:
            start += self._tile.width
            self._line.add_(self._pixels[start : start + length], alpha=far)

    def _weights(self, fraction: int) -> tuple[float, float]:
        return (UNIT - fraction) * self._scale / UNIT, fraction * self._scale / UNIT


def n_codes(points: int, method: str) -> int:
    """Return the number of codes of a method for ``points`` samples."""
    if method == "uniform":
        return points + 2
    if method == "nri_uniform":
        return points * (points - 1) + 3
    return 1 << points


def code_dtype(points: int, method: str) -> torch.dtype:
    """Return the dtype of the maps of a method: uint8 if all codes fit, otherwise int32."""
    return torch.uint8 if n_codes(points, method) <= 256 else torch.int32


def plain_code(bits: Sequence[bool], method: str) -> int:
    """Compute the code of one pixel directly from the definition of the method; bits run counterclockwise from East."""
    points, ones = len(bits), sum(bits)
    changes = sum(bits[i] != bits[i - 1] for i in range(points))
    if method == "default":
        return sum(1 << i for i in range(points) if bits[i])
    if method == "ror":
        return min(sum(1 << i for i in range(points) if bits[(i + turn) % points]) for turn in range(points))
    if method == "uniform":
        return ones if changes <= 2 else points + 1
    if ones in (0, points):
        return 0 if ones == 0 else points * (points - 1) + 1
    first_one = next(i for i in range(points) if bits[i] and not bits[i - 1])
    return points * (points - 1) + 2 if changes > 2 else 1 + (ones - 1) * points + (points - first_one) % points


def map_codes(code: Tensor, points: int, method: str) -> Tensor:
    """Map default codes (int16 or int32, any shape) to the codes of another method."""
    if method == "default":
        return code
    if points <= TABLE_POINTS and not torch.compiler.is_compiling():
        table = _table(points, method, code.device)
        return table.index_select(0, code.reshape(-1).to(torch.int32)).reshape(code.shape)
    return _compute_codes(code.to(torch.int32), points, method)


class BitPacker:
    """A packer that stores one bit per sample in 16-bit words, with 15 bits per word so that the sign bit is not used.

    Args:
        tile: tile whose buffers store the words.
        points: number of bits.
    """

    def __init__(self, tile: Tile, points: int) -> None:
        self._words = [tile.empty(torch.int16).zero_() for _ in range(-(-points // WORD_BITS))]
        self._tile = tile

    def put(self, bit: int, values: Tensor) -> None:
        """Set bit number ``bit`` to ``values`` (int16, 0 or 1); this method must be called only once per bit."""
        self._words[bit // WORD_BITS].add_(values, alpha=1 << (bit % WORD_BITS))

    def code(self) -> Tensor:
        """Return the codes: int16 for up to 15 samples, int32 for more."""
        if len(self._words) == 1:
            return self._words[0]
        code = self._tile.empty(torch.int32).copy_(self._words[0])
        wide = self._tile.empty(torch.int32)
        for index, word in enumerate(self._words[1:], start=1):
            code.bitwise_or_(wide.copy_(word).bitwise_left_shift_(index * WORD_BITS))
        return code


@functools.lru_cache(maxsize=64)
def _table(points: int, method: str, device: torch.device) -> Tensor:
    mapped = _compute_codes(torch.arange(1 << points, dtype=torch.int32), points, method)
    return mapped.to(code_dtype(points, method)).to(device)


def _compute_codes(code: Tensor, points: int, method: str) -> Tensor:
    """Map int32 codes of up to 31 bits to another method without a lookup table."""
    if method == "ror":
        smallest = code.clone()
        for turn in range(1, points):
            smallest = torch.minimum(smallest, _rotate_left(code, turn, points))
        return smallest
    turned = _rotate_left(code, 1, points)
    changes, ones = _count_bits(code ^ turned), _count_bits(code)
    if method == "uniform":
        return torch.where(changes <= 2, ones, points + 1)
    # Only the first bit of a run of ones is set in code & ~turned. Its position equals the number of lower bits.
    start = _count_bits((code & ~turned) - 1)
    turns = points - start
    turns = torch.where(turns == points, 0, turns)
    uniform = 1 + (ones - 1) * points + turns
    uniform = torch.where(ones == 0, 0, torch.where(ones == points, points * (points - 1) + 1, uniform))
    return torch.where(changes <= 2, uniform, points * (points - 1) + 2)


def _rotate_left(code: Tensor, turn: int, points: int) -> Tensor:
    keep = (1 << (points - turn)) - 1
    return ((code & keep) << turn) | (code >> (points - turn))


def _count_bits(code: Tensor) -> Tensor:
    """Return the number of ones in each int32 value, summed over pairs of bits, then groups of four, then bytes."""
    pairs = code - ((code >> 1) & 0x55555555)
    fours = (pairs & 0x33333333) + ((pairs >> 2) & 0x33333333)
    octets = (fours + (fours >> 4)) & 0x0F0F0F0F
    halves = octets + (octets >> 8)
    return (halves + (halves >> 16)) & 0x3F
