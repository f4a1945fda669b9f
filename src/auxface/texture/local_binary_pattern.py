"""Local binary pattern (LBP).

Ojala, Pietikäinen and Mäenpää, "Multiresolution gray-scale and rotation invariant texture classification with local
binary patterns", IEEE TPAMI 24(7), 2002; ``nri_uniform``: Ahonen, Hadid and Pietikäinen, "Face description with local
binary patterns", IEEE TPAMI 28(12), 2006.

Three kernels compute it: any circle in exact arithmetic, the common circle of 8 samples at radius 1 in 8- and 16-bit
integers, and ``border="skimage"`` in :mod:`auxface.texture.local_binary_pattern_skimage`.
"""

import functools
import math

import numpy as np
import torch
from torch import Tensor

from auxface.texture.circular_sampling import (
    HALF_STEP,
    UNIT,
    BilinearReader,
    BitPacker,
    code_dtype,
    map_codes,
    n_codes,
    offsets,
    plain_code,
    support,
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
from auxface.texture.local_binary_pattern_skimage import skimage_pattern
from auxface.texture.registry import Descriptor, Output, register
from auxface.texture.tiles import EIGHT, Tile, map_pixels

METHODS = (*CODE_METHODS, "var")
MAX_POINTS = 31
# Offset of a diagonal sample at radius 1, and the rest to one pixel, in units of 1 / UNIT.
DIAGONAL_OFFSET = offsets(8, 1)[1][1]
DIAGONAL_REST = UNIT - DIAGONAL_OFFSET


def local_binary_pattern(
    image: GrayImages, points: int = 8, radius: float = 1, method: str = "default", border: str = "reflect"
) -> GrayImages:
    """Compare samples on a circle with its center; bit i is 1 if sample i >= center (Ojala et al., 2002).

    Sample i lies at row -R sin(2πi/P), column R cos(2πi/P) and is read by bilinear interpolation. With ``reflect`` and
    ``valid`` the comparison is exact, so every device gives the same codes.

    Args:
        image: uint8 [H, W], [B, H, W] or [B, 1, H, W], a tensor or an array.
        points: number of samples P, 1 to 31.
        radius: radius R of the circle in pixels, above 0.
        method: ``default`` (2^P codes), ``ror`` (the smallest rotation), ``uniform`` (P + 2 codes), ``nri_uniform``
            (P (P - 1) + 3 codes) or ``var`` (variance of the samples, float64, 0 to 127.5²).
        border: ``reflect`` mirrors the image and keeps its size; ``valid`` drops ceil(R) pixels on every side;
            ``skimage`` counts pixels outside the image as 0 and equals ``skimage.feature.local_binary_pattern``.

    Returns:
        Codes in the layout of the input: uint8 where they fit, else int32; float64 for ``var``.

    Raises:
        TypeError, ValueError: an image or a parameter that is not as described.

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
        maps = skimage_pattern(images, points, radius, method)
    else:
        maps = circle_maps(images, points, radius, method, border)
    return layout.restore(maps)


def plain_local_binary_pattern(
    window: np.ndarray, points: int = 8, radius: float = 1, method: str = "default"
) -> float:
    """Return the value of the center pixel of a window [w, w], w = 2 ceil(radius) + 1, by the definition."""
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
        TypeError: ``points`` is not an integer or ``radius`` not a number.
        ValueError: a value is out of range.
    """
    require_integer("points", points, 1, MAX_POINTS)
    require_number("radius", radius, 0, above=True)
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")


def circle_maps(images: Tensor, points: int, radius: float, method: str, border: str) -> Tensor:
    """Return codes (or variances) [B, 1, H', W'] of uint8 images [B, H, W]; ``border`` is ``reflect`` or ``valid``."""
    margin = support(radius)
    require_size(tuple(images.shape[1:]), margin, border, "local_binary_pattern")
    if method == "var":
        kernel = functools.partial(_variances, points=points, radius=radius)
        dtype, working = torch.float64, 44
    else:
        kernel = functools.partial(_codes, points=points, radius=radius, method=method)
        dtype = code_dtype(points, method)
        working = 28 if (points, radius) == (8, 1) else 48
    return map_pixels(images, kernel, radius=margin, border=border, maps=1, dtype=dtype, bytes_per_pixel=working)


def _codes(tile: Tile, points: int, radius: float, method: str) -> list[Tensor]:
    default = _square_codes(tile) if (points, radius) == (8, 1) else _circle_codes(tile, points, radius)
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
            # A sample is at least an integer exactly if its integer part is.
            reached = torch.ge(integer.copy_(reader.read(offset, out=sample)), center, out=integer)
        else:
            reached = torch.ge(tile.at(row, column, pixels), center, out=integer)
        packer.put(i, reached)
    return packer.code()


def _square_codes(tile: Tile) -> Tensor:
    """Return the default codes of 8 samples at radius 1, uint8 [length], in integer arithmetic.

    With a = 0.70711 and b = 1 - a, a diagonal sample s lies in the square of the diagonal neighbor d, two straight
    neighbors u, v and the center c, and s >= c means a (d - c) + b (u + v - 2c) >= 0. Since u + v - 2c is an integer,
    that is

        u + v - 2c + floor(a (d - c) / b) >= 0.

    Write a x = b K(x) + R(x) with 0 <= R(x) < b for a gray value x. Then

        floor(a (d - c) / b) = K(d) - K(c) - [R(d) < R(c)],

    so the test is one comparison of small integers: K and R are computed once per pixel and fit 16 bits.
    """
    center = tile.at(0, 0)
    code, bit = tile.empty(torch.uint8), tile.empty(torch.uint8)
    torch.ge(tile.at(*EIGHT[0]), center, out=code)
    for i in (2, 4, 6):
        code.add_(torch.ge(tile.at(*EIGHT[i]), center, out=bit), alpha=1 << i)
    wide = _diagonals(tile)
    return code.add_(bit.copy_(wide), alpha=2)


def _diagonals(tile: Tile) -> Tensor:
    """Return the bits of directions 1, 3, 5 and 7, int16, shifted right by one."""
    size, width = tile.flat.numel(), tile.width
    pixels, quotient, rest, bound = (tile.empty(torch.int16, size) for _ in range(4))
    pixels.copy_(tile.flat)
    # Single precision is exact enough: a x / b is at least 1 / b = 3e-5 away from the next integer. The error reaches
    # that only near 612, where no gray value comes so close. The tests try all 256 values.
    real = tile.empty(torch.float32, size).copy_(tile.flat)
    quotient.copy_(real.mul_(DIAGONAL_OFFSET / DIAGONAL_REST))
    # Intermediate values overflow 16 bits; the result, 0 to b - 1, does not.
    torch.mul(pixels, DIAGONAL_OFFSET - (1 << 16), out=rest).add_(quotient, alpha=-DIAGONAL_REST)
    torch.add(quotient, pixels, alpha=2, out=bound)
    # Two sums u + v serve all four diagonals: "up and right" of a pixel is "left and down" of the next diagonal one.
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


def _variances(tile: Tile, points: int, radius: float) -> list[Tensor]:
    reader = BilinearReader(tile, scale=UNIT)
    center = tile.empty(torch.float64).copy_(tile.at(0, 0)).mul_(UNIT**2)
    total, squares = tile.empty(torch.float64).zero_(), tile.empty(torch.float64).zero_()
    sample = tile.empty(torch.float64)
    for offset in sorted(offsets(points, radius)):
        # Differences from the center are exact, so a flat patch has variance 0 without a rounding error.
        difference = reader.read(offset, out=sample).sub_(center).div_(UNIT**2)
        total.add_(difference)
        squares.addcmul_(difference, difference)
    return [squares.sub_(total.square_().div_(points)).div_(points).clamp_(min=0)]


def pattern_output(points: int, radius: float, method: str, border: str) -> Output:
    """Return the output of the descriptor with these parameters, for one map."""
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
