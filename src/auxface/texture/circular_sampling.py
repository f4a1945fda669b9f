"""Samples on a circle around every pixel, read by bilinear interpolation in exact arithmetic.

Ojala, Pietikäinen and Mäenpää, IEEE TPAMI 24(7), 2002. Offsets are rounded to 1e-5 pixels, so that samples are integer
multiples of 1e-10 and comparisons with the center do not depend on rounding.

Example:
    >>> offsets(points=4, radius=1)
    [(0, 100000), (-100000, 0), (0, -100000), (100000, 0)]
"""

import math

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


def offsets(points: int, radius: float) -> list[Offset]:
    """Return the offsets of the samples: sample i at row -R sin(2πi/P), column R cos(2πi/P)."""
    angles = [2 * math.pi * i / points for i in range(points)]
    return [(round(-radius * math.sin(a) * UNIT), round(radius * math.cos(a) * UNIT)) for a in angles]


def support(radius: float) -> int:
    """Return the pixels needed on each side of the center: the radius, rounded up."""
    return math.ceil(radius)


class BilinearReader:
    """Reads bilinear samples of one tile in double precision; samples of one row share the vertical interpolation.

    Args:
        tile: the pixels.
        scale: 1 reads gray values (within 1e-12); ``UNIT`` reads multiples of 1e-10 exactly, as integers.
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

    def read(self, offset: Offset, *, out: Tensor) -> Tensor:
        """Write the samples at ``offset`` from every pixel to ``out``; fastest if offsets are sorted by row."""
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
