"""Samples on a circle around every pixel: offsets in whole 1e-5 pixels, and exact bilinear reading.

Source of the operator that samples so: Ojala, Pietikäinen and Mäenpää, IEEE TPAMI 24(7), 2002.

Sample-by-center comparisons packed into codes, and the mappings of codes: rotation invariant, uniform.
"""

import functools
import math

import torch
from torch import Tensor

from auxface.texture.tiles import Tile

UNIT = 100_000
"""Offsets are whole multiples of 1 / UNIT, so bilinear weights are whole multiples of 1 / UNIT²."""

# A sample differs from a whole gray value by a multiple of 1e-10. Half of that, added before rounding down, outweighs
# the error of double precision (below 1e-12 for values up to 255) and so makes the rounding exact.
HALF_STEP = 0.5 / UNIT**2

Offset = tuple[int, int]
"""Row and column offset in units of 1 / UNIT pixel."""


def offsets(points: int, radius: float) -> list[Offset]:
    """Sample i at row -R sin(2πi/P), column R cos(2πi/P), counter-clockwise from East."""
    angles = [2 * math.pi * i / points for i in range(points)]
    return [(round(-radius * math.sin(a) * UNIT), round(radius * math.cos(a) * UNIT)) for a in angles]


def support(radius: float) -> int:
    """Pixels needed on each side: the radius, rounded up."""
    return math.ceil(radius)


class BilinearReader:
    """Reads samples of one tile in double precision; samples on the same line share its vertical interpolation.

    Args:
        tile: the pixels.
        scale: 1 reads gray values (within 1e-12); ``UNIT`` reads whole multiples of 1e-10, exactly, as whole numbers.
        bias: added to every gray value.
    """

    def __init__(self, tile: Tile, scale: int, bias: float = 0.0) -> None:
        self._tile = tile
        self._scale = scale
        self._pixels = tile.cast(torch.float64)
        if bias:
            self._pixels.add_(bias)
        self._line = tile.empty(torch.float64, tile.flat.numel() - 2 * tile.radius * tile.width)
        self._row: int | None = None

    def read(self, offset: Offset, into: Tensor) -> Tensor:
        """The samples at ``offset`` from every pixel of the tile, written to ``into``. Cheapest in order of rows."""
        row, column = offset
        if row != self._row:
            self._interpolate_line(row)
            self._row = row
        base, fraction = divmod(column, UNIT)
        start = self._tile.radius + base
        left = self._line[start : start + self._tile.length]
        near, far = self._weights(fraction)
        torch.mul(left, near, out=into)
        if fraction:
            into.add_(self._line[start + 1 : start + 1 + self._tile.length], alpha=far)
        return into

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


METHODS = ("default", "ror", "uniform", "nri_uniform")
# Up to this many samples a table of all codes is small enough to be read from cache.
TABLE_POINTS = 16
WORD = 15


class Packer:
    """Collects one bit per sample into 16-bit words of 15 bits each: narrow, and never touching the sign."""

    def __init__(self, tile: Tile, points: int) -> None:
        self._words = [tile.empty(torch.int16).zero_() for _ in range(-(-points // WORD))]
        self._tile = tile

    def put(self, bit: int, values: Tensor) -> None:
        """Set bit number ``bit`` where ``values`` (int16, 0 or 1) is 1."""
        self._words[bit // WORD].add_(values, alpha=1 << (bit % WORD))

    def code(self) -> Tensor:
        """The codes: int16 up to 15 samples, int32 above."""
        if len(self._words) == 1:
            return self._words[0]
        code = self._tile.empty(torch.int32).copy_(self._words[0])
        wide = self._tile.empty(torch.int32)
        for index, word in enumerate(self._words[1:], start=1):
            code.bitwise_or_(wide.copy_(word).bitwise_left_shift_(index * WORD))
        return code


def n_codes(points: int, method: str) -> int:
    """How many codes a method has."""
    if method == "uniform":
        return points + 2
    if method == "nri_uniform":
        return points * (points - 1) + 3
    return 1 << points


def map_codes(code: Tensor, points: int, method: str) -> Tensor:
    """Default codes (int16 or int32, any shape) to those of another method."""
    if method == "default":
        return code
    if points <= TABLE_POINTS and not torch.compiler.is_compiling():
        table = _table(points, method, code.device)
        return table.index_select(0, code.reshape(-1).to(torch.int32)).reshape(code.shape)
    return _mapped(code.to(torch.int32), points, method)


@functools.lru_cache(maxsize=64)
def _table(points: int, method: str, device: torch.device) -> Tensor:
    mapped = _mapped(torch.arange(1 << points, dtype=torch.int32), points, method)
    narrow = torch.uint8 if n_codes(points, method) <= 256 else torch.int32
    return mapped.to(narrow).to(device)


def _mapped(code: Tensor, points: int, method: str) -> Tensor:
    """The definitions, on int32 codes of at most 31 bits."""
    if method == "ror":
        smallest = code.clone()
        for turn in range(1, points):
            smallest = torch.minimum(smallest, _rotate_left(code, turn, points))
        return smallest
    turned = _rotate_left(code, 1, points)
    changes, ones = _count_bits(code ^ turned), _count_bits(code)
    if method == "uniform":
        return torch.where(changes <= 2, ones, points + 1)
    # A run of ones opens where a sample is 1 and the one before it is 0: one bit, above as many bits as its place.
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
    """Ones in each int32, counted in pairs, then fours, then bytes."""
    pairs = code - ((code >> 1) & 0x55555555)
    fours = (pairs & 0x33333333) + ((pairs >> 2) & 0x33333333)
    octets = (fours + (fours >> 4)) & 0x0F0F0F0F
    halves = octets + (octets >> 8)
    return (halves + (halves >> 16)) & 0x3F
