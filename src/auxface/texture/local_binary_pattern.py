"""Local binary patterns.

Ojala, Pietikäinen and Mäenpää, "Multiresolution gray-scale and rotation invariant texture classification with local
binary patterns", IEEE TPAMI 24(7), 2002; ``nri_uniform``: Ahonen, Hadid and Pietikäinen, "Face description with local
binary patterns", IEEE TPAMI 28(12), 2006.

The 8-sample, radius-1 local binary pattern in 8- and 16-bit integers, exactly.

With a = 0.70711 and b = 1 - a, a diagonal sample lies in the square of the diagonal neighbor d, two straight
neighbors u, v and the center c, and s >= c means a (d - c) + b (u + v - 2c) >= 0. Since u + v - 2c is whole, that is

    u + v - 2c + floor(a (d - c) / b) >= 0.

Write a x = b K(x) + R(x) with 0 <= R(x) < b for a gray value x. Then

    floor(a (d - c) / b) = K(d) - K(c) - [R(d) < R(c)],

so the test is one comparison of small whole numbers: K and R are computed once per pixel and fit 16 bits.

Local binary patterns as scikit-image computes them, to the last bit.

Pixels outside count as 0, sample positions are formed before their fractions are taken, and every product and sum is
rounded on its own in double precision; so nothing here may be fused or reordered.
"""

import functools

import torch
from torch import Tensor

from auxface.texture import circle
from auxface.texture.circle import UNIT, offsets
from auxface.texture.images import GrayImages, read_images, require_border, require_number, require_size, require_whole
from auxface.texture.tiles import EIGHT, Tile, map_pixels, tile_spans

A = offsets(8, 1)[1][1]
B = UNIT - A


def square_codes(tile: Tile) -> Tensor:
    """Default codes, uint8 [length]; bit i belongs to direction i, counter-clockwise from East."""
    center = tile.at(0, 0)
    code, bit = tile.empty(torch.uint8), tile.empty(torch.uint8)
    torch.ge(tile.at(*EIGHT[0]), center, out=code)
    for i in (2, 4, 6):
        code.add_(torch.ge(tile.at(*EIGHT[i]), center, out=bit), alpha=1 << i)
    wide = _diagonals(tile)
    return code.add_(bit.copy_(wide), alpha=2)


def _diagonals(tile: Tile) -> Tensor:
    """The bits of directions 1, 3, 5 and 7, int16, one place to the right."""
    size, width = tile.flat.numel(), tile.width
    pixels, quotient, rest, bound = (tile.empty(torch.int16, size) for _ in range(4))
    pixels.copy_(tile.flat)
    # Single precision is exact here: a x / b keeps at least 1 / b = 3e-5 away from the next whole number, its error
    # is below 4e-5 only near 612, where no gray value comes that close. The test suite tries all 256 values.
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


BYTES_PER_PIXEL = 96


def zero_border_pattern(images: Tensor, points: int, radius: float, method: str) -> Tensor:
    """Codes, or variances with NaN where exactly 0, [B, 1, H, W] of uint8 images [B, H, W]."""
    if images.device.type == "mps":
        return zero_border_pattern(images.cpu(), points, radius, method).to(images.device)
    batch, height, width = images.shape
    support = circle.support(radius)
    if method == "var":
        dtype = torch.float64
    else:
        dtype = torch.uint8 if circle.n_codes(points, method) <= 256 else torch.int32
    result = torch.empty((batch, 1, height, width), dtype=dtype, device=images.device)
    for first, count, top, lines in tile_spans(batch, height, width, images.device, BYTES_PER_PIXEL):
        padded = torch.zeros(
            (count, lines + 2 * support, width + 2 * support), dtype=torch.float64, device=images.device
        )
        low, high = max(top - support, 0), min(top + lines + support, height)
        inner = padded[:, low - top + support : high - top + support, support : support + width]
        inner.copy_(images[first : first + count, low:high])
        block = _Block(padded, support, top, lines, width)
        values = _variances(block, points, radius) if method == "var" else _codes(block, points, radius, method)
        result[first : first + count, 0, top : top + lines].copy_(values)
    return result


class _Block:
    """Some rows of zero-padded images, read at positions that depend on the row and column."""

    def __init__(self, padded: Tensor, support: int, top: int, lines: int, columns: int) -> None:
        self.padded = padded
        self._support = support
        self._top = top
        self._rows = torch.arange(top, top + lines, dtype=torch.float64, device=padded.device)
        self._columns = torch.arange(columns, dtype=torch.float64, device=padded.device)
        self.center = padded[:, support : support + lines, support : support + columns]

    def sample(self, offset: circle.Offset) -> Tensor:
        row, column = offset[0] / circle.UNIT, offset[1] / circle.UNIT
        y, x = self._rows + row, self._columns + column
        below = (y - y.floor())[:, None]
        right = x - x.floor()
        base_row, base_column = offset[0] // circle.UNIT, offset[1] // circle.UNIT
        far_row, far_column = -(-offset[0] // circle.UNIT), -(-offset[1] // circle.UNIT)
        upper = self._lerp(self._at(base_row, base_column), self._at(base_row, far_column), right)
        lower = self._lerp(self._at(far_row, base_column), self._at(far_row, far_column), right)
        return self._lerp(upper, lower, below)

    def _lerp(self, near: Tensor, far: Tensor, fraction: Tensor) -> Tensor:
        second = far * fraction
        return (near * (1 - fraction)).add_(second)

    def _at(self, row: int, column: int) -> Tensor:
        start, left = self._support + row, self._support + column
        return self.padded[:, start : start + len(self._rows), left : left + len(self._columns)]


def _codes(block: _Block, points: int, radius: float, method: str) -> Tensor:
    code = torch.zeros(block.center.shape, dtype=torch.int32, device=block.center.device)
    for i, offset in enumerate(circle.offsets(points, radius)):
        reached = block.sample(offset).sub_(block.center) >= 0
        code.add_(reached, alpha=1 << i)
    return circle.map_codes(code, points, method)


def _variances(block: _Block, points: int, radius: float) -> Tensor:
    total, squares = torch.zeros_like(block.center), torch.zeros_like(block.center)
    for offset in circle.offsets(points, radius):
        sample = block.sample(offset)
        total.add_(sample)
        squares.add_(sample.square_())
    variance = squares.sub_(total.square_().div_(points)).div_(points)
    return variance.masked_fill_(variance == 0, float("nan"))


METHODS = (*circle.METHODS, "var")
MAX_POINTS = 31


def local_binary_pattern(
    image: GrayImages, points: int = 8, radius: float = 1, method: str = "default", border: str = "reflect"
) -> GrayImages:
    """Which samples of a circle are at least as bright as its center (Ojala et al., 2002).

    Sample i lies at row -R sin(2πi/P), column R cos(2πi/P) and is read bilinearly; bit i is 1 where it reaches the
    center. ``reflect`` and ``valid`` decide in exact arithmetic, so every device gives the same codes; ``skimage``
    gives what ``skimage.feature.local_binary_pattern`` gives, pixels outside counting as 0.

    Args:
        image: uint8 [H, W], [B, H, W] or [B, 1, H, W], tensor or array.
        points: samples P, 1 to 31.
        radius: of the circle in pixels, above 0.
        method: ``default`` (2^P codes), ``ror`` (smallest rotation), ``uniform`` (P + 2 codes), ``nri_uniform``
            (P (P - 1) + 3 codes) or ``var`` (variance of the samples, float64, 0 to 127.5²).
        border: ``reflect`` and ``skimage`` keep the size; ``valid`` drops ceil(R) pixels on every side.

    Returns:
        Codes in the layout of the input: uint8 where they fit, else int32; float64 for ``var``.

    Raises:
        TypeError, ValueError: an image or a parameter outside what is said here.
    """
    require_circle(points, radius, method)
    require_border(border, ("reflect", "valid", "skimage"))
    images, layout = read_images(image)
    if border == "skimage":
        maps = zero_border_pattern(images, points, radius, method)
    else:
        maps = circle_maps(images, points, radius, method, border)
    return layout.restore(maps)


def require_circle(points: int, radius: float, method: str, methods: tuple[str, ...] = METHODS) -> None:
    """Refuse parameters that describe no circle of samples or no method.

    Raises:
        TypeError: ``points`` is not a whole number or ``radius`` not a number.
        ValueError: a value out of range.
    """
    require_whole("points", points, 1, MAX_POINTS)
    require_number("radius", radius, 0, above=True)
    if method not in methods:
        raise ValueError(f"method must be one of {', '.join(methods)}; got {method!r}")


def circle_maps(images: Tensor, points: int, radius: float, method: str, border: str) -> Tensor:
    """Codes (or variances) [B, 1, H', W'] of uint8 images [B, H, W] in exact arithmetic."""
    support = circle.support(radius)
    require_size(tuple(images.shape[1:]), support, border, "local_binary_pattern")
    if method == "var":
        kernel = functools.partial(_method_variances, points=points, radius=radius)
        dtype, working = torch.float64, 44
    else:
        kernel = functools.partial(_method_codes, points=points, radius=radius, method=method)
        dtype = torch.uint8 if circle.n_codes(points, method) <= 256 else torch.int32
        working = 28 if (points, radius) == (8, 1) else 48
    return map_pixels(images, kernel, radius=support, border=border, maps=1, dtype=dtype, bytes_per_pixel=working)


def _method_codes(tile: Tile, points: int, radius: float, method: str) -> list[Tensor]:
    default = square_codes(tile) if (points, radius) == (8, 1) else _circle_codes(tile, points, radius)
    return [circle.map_codes(default, points, method)]


def _circle_codes(tile: Tile, points: int, radius: float) -> Tensor:
    packer = circle.Packer(tile, points)
    pixels = tile.cast(torch.int16)
    center = tile.at(0, 0, pixels)
    reader = circle.BilinearReader(tile, scale=1, bias=circle.HALF_STEP)
    sample, whole = tile.empty(torch.float64), tile.empty(torch.int16)
    for i, offset in sorted(enumerate(circle.offsets(points, radius)), key=lambda item: item[1]):
        (row, row_rest), (column, column_rest) = (divmod(q, circle.UNIT) for q in offset)
        if row_rest or column_rest:
            # A sample reaches a whole gray value exactly if its integer part does.
            reached = torch.ge(whole.copy_(reader.read(offset, sample)), center, out=whole)
        else:
            reached = torch.ge(tile.at(row, column, pixels), center, out=whole)
        packer.put(i, reached)
    return packer.code()


def _method_variances(tile: Tile, points: int, radius: float) -> list[Tensor]:
    reader = circle.BilinearReader(tile, scale=circle.UNIT)
    center = tile.empty(torch.float64).copy_(tile.at(0, 0)).mul_(circle.UNIT**2)
    total, squares = tile.empty(torch.float64).zero_(), tile.empty(torch.float64).zero_()
    sample = tile.empty(torch.float64)
    for offset in sorted(circle.offsets(points, radius)):
        # Differences from the center are exact, so a flat patch has variance 0 and not rounding noise.
        difference = reader.read(offset, sample).sub_(center).div_(circle.UNIT**2)
        total.add_(difference)
        squares.addcmul_(difference, difference)
    return [squares.sub_(total.square_().div_(points)).div_(points).clamp_(min=0)]
