"""Samples on a circle around every pixel: offsets in whole 1e-5 pixels, and exact bilinear reading.

Source of the operator that samples so: Ojala, Pietikäinen and Mäenpää, IEEE TPAMI 24(7), 2002.
"""

import math

import torch
from torch import Tensor

from auxface.texture.tiles import Tile

UNIT = 100_000
"""Offsets are whole multiples of 1 / UNIT, so bilinear weights are whole multiples of 1 / UNIT²."""

# A sample differs from a whole grey value by a multiple of 1e-10. Half of that, added before rounding down, outweighs
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
        scale: 1 reads grey values (within 1e-12); ``UNIT`` reads whole multiples of 1e-10, exactly, as whole numbers.
        bias: added to every grey value.
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
