"""Local binary pattern (LBP).

Ojala, Pietikäinen and Mäenpää, "Multiresolution gray-scale and rotation invariant texture classification with local
binary patterns", IEEE TPAMI 24(7), 2002; ``nri_uniform``: Ahonen, Hadid and Pietikäinen, "Face description with local
binary patterns", IEEE TPAMI 28(12), 2006.

This module supports any circle in exact arithmetic. The common circle with 8 samples at radius 1 has separate kernels
in :mod:`auxface.texture.local_binary_pattern_square`.
"""

import functools
import math

import numpy as np
import torch
from torch import Tensor
from torch.compiler import is_compiling

from auxface.texture.circular_sampling import (
    HALF_STEP,
    UNIT,
    BilinearReader,
    BitPacker,
    Offset,
    code_dtype,
    map_codes,
    n_codes,
    offsets,
    plain_code,
)
from auxface.texture.circular_sampling import METHODS as CODE_METHODS
from auxface.texture.gray_images import (
    GrayImages,
    read_images,
    require_border,
    require_integer,
    require_number,
    require_size,
)
from auxface.texture.local_binary_pattern_square import square_codes, square_codes_on_cpu
from auxface.texture.registry import Descriptor, Output, register
from auxface.texture.tiles import Tile, map_pixels, tile_spans

METHODS = (*CODE_METHODS, "var")
MAX_POINTS = 31
_SKIMAGE_BYTES_PER_PIXEL = 96


def local_binary_pattern(
    image: GrayImages, points: int = 8, radius: float = 1, method: str = "default", border: str = "reflect"
) -> GrayImages:
    """Compare samples on a circle with the center pixel; bit i is 1 if sample i >= center (Ojala et al., 2002).

    Sample i is located at row -R sin(2πi/P), column R cos(2πi/P), and is computed by bilinear interpolation. With
    ``reflect`` and ``valid``, the comparison is exact, so every device gives the same codes.

    Args:
        image: uint8 tensor or array of shape [H, W], [B, H, W] or [B, 1, H, W].
        points: number of samples P, from 1 to 31.
        radius: radius R of the circle in pixels, above 0.
        method: mapping of the codes: ``default`` (2^P codes), ``ror`` (the smallest code over all bit rotations),
            ``uniform`` (P + 2 codes), ``nri_uniform`` (P (P - 1) + 3 codes) or ``var`` (variance of the samples instead
            of a code, float64, 0 to 127.5²).
        border: ``reflect`` mirrors the image and keeps its size; ``valid`` drops ceil(R) pixels on every side;
            ``skimage`` treats pixels outside the image as 0 and returns the codes of
            ``skimage.feature.local_binary_pattern``.

    Returns:
        Codes in the layout of the input, uint8 where they fit and int32 otherwise; for ``var``, float64 variances.

    Raises:
        TypeError, ValueError: the image or a parameter is not as described.

    Example:
        >>> patch = np.array([[90, 60, 30], [20, 50, 50], [80, 10, 75]], np.uint8)
        >>> local_binary_pattern(patch, border="valid")
        array([[173]], dtype=uint8)
        >>> local_binary_pattern(patch, method="uniform", border="valid")
        array([[9]], dtype=uint8)
    """
    check_circle(points, radius, method)
    require_border(border, ("reflect", "valid", "skimage"))
    images, layout = read_images(image)
    if border == "skimage":
        maps = _skimage_maps(images, points, radius, method)
    else:
        maps = circle_maps(images, points, radius, method, border)
    return layout.restore(maps)


def plain_local_binary_pattern(
    window: np.ndarray, points: int = 8, radius: float = 1, method: str = "default"
) -> float:
    """Compute the value of the center pixel of a window [w, w] directly from the definition.

    The side of the window is w = 2 ceil(radius) + 1.
    """
    middle, samples = len(window) // 2, []
    for i in range(points):
        angle = 2 * math.pi * i / points
        row, row_rest = divmod(round(-radius * math.sin(angle) * UNIT), UNIT)
        column, column_rest = divmod(round(radius * math.cos(angle) * UNIT), UNIT)
        sample = 0
        for down, row_weight in ((0, UNIT - row_rest), (1, row_rest)):
            for right, column_weight in ((0, UNIT - column_rest), (1, column_rest)):
                if row_weight * column_weight:
                    pixel = int(window[middle + row + down, middle + column + right])
                    sample += row_weight * column_weight * pixel
        samples.append(sample)
    if method == "var":
        return float(np.var(np.array(samples) / UNIT**2))
    return plain_code([sample >= UNIT**2 * int(window[middle, middle]) for sample in samples], method)


def check_circle(points: int, radius: float, method: str) -> None:
    """Check the parameters of a circle of samples and the method.

    Raises:
        TypeError: ``points`` is not an integer, or ``radius`` is not a number.
        ValueError: a value is out of range.
    """
    require_integer("points", points, 1, MAX_POINTS)
    require_number("radius", radius, 0, above=True)
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")


def circle_maps(images: Tensor, points: int, radius: float, method: str, border: str) -> Tensor:
    """Return codes (or variances) [B, 1, H', W'] of uint8 images [B, H, W]; ``border`` is ``reflect`` or ``valid``."""
    margin = math.ceil(radius)
    require_size(tuple(images.shape[1:]), margin, border, "local_binary_pattern")
    if (points, radius, method) == (8, 1, "default") and images.device.type == "cpu" and not is_compiling():
        return square_codes_on_cpu(images, border)
    if method == "var":
        kernel = functools.partial(_variances, points=points, radius=radius)
        dtype, working = torch.float64, 44
    else:
        kernel = functools.partial(_codes, points=points, radius=radius, method=method)
        dtype = code_dtype(points, method)
        working = 28 if (points, radius) == (8, 1) else 48
    return map_pixels(images, kernel, radius=margin, border=border, maps=1, dtype=dtype, bytes_per_pixel=working)


def _codes(tile: Tile, points: int, radius: float, method: str) -> list[Tensor]:
    default = square_codes(tile) if (points, radius) == (8, 1) else _circle_codes(tile, points, radius)
    return [map_codes(default, points, method)]


def _circle_codes(tile: Tile, points: int, radius: float) -> Tensor:
    packer = BitPacker(tile, points)
    pixels = tile.cast(torch.int16)
    center = tile.at(0, 0, pixels)
    reader = BilinearReader(tile, scale=1, bias=HALF_STEP)
    sample, integer = tile.empty(torch.float64), tile.empty(torch.int16)
    for i, offset in sorted(enumerate(offsets(points, radius)), key=lambda item: item[1]):
        (row, row_rest), (column, column_rest) = (divmod(q, UNIT) for q in offset)
        if row_rest or column_rest:
            # The center is an integer, so a sample is at least the center if and only if its integer part is.
            reached = torch.ge(integer.copy_(reader.read(offset, out=sample)), center, out=integer)
        else:
            reached = torch.ge(tile.at(row, column, pixels), center, out=integer)
        packer.put(i, reached)
    return packer.code()


def _variances(tile: Tile, points: int, radius: float) -> list[Tensor]:
    reader = BilinearReader(tile, scale=UNIT)
    center = tile.empty(torch.float64).copy_(tile.at(0, 0)).mul_(UNIT**2)
    total, squares = tile.empty(torch.float64).zero_(), tile.empty(torch.float64).zero_()
    sample = tile.empty(torch.float64)
    for offset in sorted(offsets(points, radius)):
        # Differences from the center are exact, so the variance of a flat patch is 0 without rounding error.
        difference = reader.read(offset, out=sample).sub_(center).div_(UNIT**2)
        total.add_(difference)
        squares.addcmul_(difference, difference)
    return [squares.sub_(total.square_().div_(points)).div_(points).clamp_(min=0)]


def _skimage_maps(images: Tensor, points: int, radius: float, method: str) -> Tensor:
    """Return the maps of ``skimage.feature.local_binary_pattern`` for uint8 images [B, H, W], bit for bit.

    Pixels outside the image are 0, sample positions are computed before their fractional parts are taken, and every
    product and sum is rounded separately to double precision. Therefore, no operation may be fused or reordered.

    Returns:
        Codes [B, 1, H, W], or variances with NaN in place of exact zeros.
    """
    if images.device.type == "mps":
        return _skimage_maps(images.cpu(), points, radius, method).to(images.device)
    batch, height, width = images.shape
    margin = math.ceil(radius)
    dtype = torch.float64 if method == "var" else code_dtype(points, method)
    result = torch.empty((batch, 1, height, width), dtype=dtype, device=images.device)
    for first, count, top, lines in tile_spans(batch, height, width, images.device, _SKIMAGE_BYTES_PER_PIXEL):
        padded = torch.zeros((count, lines + 2 * margin, width + 2 * margin), dtype=torch.float64, device=images.device)
        low, high = max(top - margin, 0), min(top + lines + margin, height)
        inner = padded[:, low - top + margin : high - top + margin, margin : margin + width]
        inner.copy_(images[first : first + count, low:high])
        block = _ZeroPadded(padded, margin, top, lines, width)
        values = (
            _skimage_variances(block, points, radius)
            if method == "var"
            else _skimage_codes(block, points, radius, method)
        )
        result[first : first + count, 0, top : top + lines].copy_(values)
    return result


class _ZeroPadded:
    """Rows of zero-padded images, sampled as in scikit-image, where fractions depend on the absolute position."""

    def __init__(self, padded: Tensor, margin: int, top: int, lines: int, columns: int) -> None:
        self.padded = padded
        self._margin = margin
        self._rows = torch.arange(top, top + lines, dtype=torch.float64, device=padded.device)
        self._columns = torch.arange(columns, dtype=torch.float64, device=padded.device)
        self.center = padded[:, margin : margin + lines, margin : margin + columns]

    def sample(self, offset: Offset) -> Tensor:
        """Return the sample at an offset for every pixel of the rows, float64 [n, lines, columns]."""
        row, column = offset[0] / UNIT, offset[1] / UNIT
        y, x = self._rows + row, self._columns + column
        below = (y - y.floor())[:, None]
        right = x - x.floor()
        base_row, base_column = offset[0] // UNIT, offset[1] // UNIT
        far_row, far_column = -(-offset[0] // UNIT), -(-offset[1] // UNIT)
        upper = self._lerp(self._at(base_row, base_column), self._at(base_row, far_column), right)
        lower = self._lerp(self._at(far_row, base_column), self._at(far_row, far_column), right)
        return self._lerp(upper, lower, below)

    def _lerp(self, near: Tensor, far: Tensor, fraction: Tensor) -> Tensor:
        second = far * fraction
        return (near * (1 - fraction)).add_(second)

    def _at(self, row: int, column: int) -> Tensor:
        start, left = self._margin + row, self._margin + column
        return self.padded[:, start : start + len(self._rows), left : left + len(self._columns)]


def _skimage_codes(block: _ZeroPadded, points: int, radius: float, method: str) -> Tensor:
    code = torch.zeros(block.center.shape, dtype=torch.int32, device=block.center.device)
    for i, offset in enumerate(offsets(points, radius)):
        reached = block.sample(offset).sub_(block.center) >= 0
        code.add_(reached, alpha=1 << i)
    return map_codes(code, points, method)


def _skimage_variances(block: _ZeroPadded, points: int, radius: float) -> Tensor:
    total, squares = torch.zeros_like(block.center), torch.zeros_like(block.center)
    for offset in offsets(points, radius):
        sample = block.sample(offset)
        total.add_(sample)
        squares.add_(sample.square_())
    variance = squares.sub_(total.square_().div_(points)).div_(points)
    return variance.masked_fill_(variance == 0, float("nan"))


def pattern_output(points: int, radius: float, method: str, border: str) -> Output:
    """Return the :class:`Output` of a map of circular patterns with these parameters."""
    check_circle(points, radius, method)
    if method == "var":
        return Output(low=0.0, high=127.5**2)
    return Output(n_codes=n_codes(points, method), n_bits=points if method in ("default", "ror") else None)


DESCRIPTOR = register(
    Descriptor(
        name="local_binary_pattern",
        function=local_binary_pattern,
        output=pattern_output,
        reference="Ojala, Pietikäinen, Mäenpää, Multiresolution gray-scale and rotation invariant texture "
        "classification with local binary patterns, IEEE TPAMI 24(7), 2002",
    )
)
