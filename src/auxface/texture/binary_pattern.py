"""Local binary patterns.

Ojala, Pietikäinen and Mäenpää, "Multiresolution gray-scale and rotation invariant texture classification with local
binary patterns", IEEE TPAMI 24(7), 2002; ``nri_uniform``: Ahonen, Hadid and Pietikäinen, "Face description with local
binary patterns", IEEE TPAMI 28(12), 2006.
"""

import functools

import torch
from torch import Tensor

from auxface.texture import circle, codes
from auxface.texture.images import GreyImages, read_images, require_border, require_number, require_size, require_whole
from auxface.texture.square_pattern import square_codes
from auxface.texture.tiles import Tile, map_pixels
from auxface.texture.zero_border import zero_border_pattern

METHODS = (*codes.METHODS, "var")
MAX_POINTS = 31


def local_binary_pattern(
    image: GreyImages, points: int = 8, radius: float = 1, method: str = "default", border: str = "reflect"
) -> GreyImages:
    """Which samples of a circle are at least as bright as its centre (Ojala et al., 2002).

    Sample i lies at row -R sin(2πi/P), column R cos(2πi/P) and is read bilinearly; bit i is 1 where it reaches the
    centre. ``reflect`` and ``valid`` decide in exact arithmetic, so every device gives the same codes; ``skimage``
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
        kernel = functools.partial(_variances, points=points, radius=radius)
        dtype, working = torch.float64, 44
    else:
        kernel = functools.partial(_codes, points=points, radius=radius, method=method)
        dtype = torch.uint8 if codes.n_codes(points, method) <= 256 else torch.int32
        working = 28 if (points, radius) == (8, 1) else 48
    return map_pixels(images, kernel, radius=support, border=border, maps=1, dtype=dtype, bytes_per_pixel=working)


def _codes(tile: Tile, points: int, radius: float, method: str) -> list[Tensor]:
    default = square_codes(tile) if (points, radius) == (8, 1) else _circle_codes(tile, points, radius)
    return [codes.map_codes(default, points, method)]


def _circle_codes(tile: Tile, points: int, radius: float) -> Tensor:
    packer = codes.Packer(tile, points)
    pixels = tile.cast(torch.int16)
    centre = tile.at(0, 0, pixels)
    reader = circle.BilinearReader(tile, scale=1, bias=circle.HALF_STEP)
    sample, whole = tile.empty(torch.float64), tile.empty(torch.int16)
    for i, offset in sorted(enumerate(circle.offsets(points, radius)), key=lambda item: item[1]):
        (row, row_rest), (column, column_rest) = (divmod(q, circle.UNIT) for q in offset)
        if row_rest or column_rest:
            # A sample reaches a whole grey value exactly if its integer part does.
            reached = torch.ge(whole.copy_(reader.read(offset, sample)), centre, out=whole)
        else:
            reached = torch.ge(tile.at(row, column, pixels), centre, out=whole)
        packer.put(i, reached)
    return packer.code()


def _variances(tile: Tile, points: int, radius: float) -> list[Tensor]:
    reader = circle.BilinearReader(tile, scale=circle.UNIT)
    centre = tile.empty(torch.float64).copy_(tile.at(0, 0)).mul_(circle.UNIT**2)
    total, squares = tile.empty(torch.float64).zero_(), tile.empty(torch.float64).zero_()
    sample = tile.empty(torch.float64)
    for offset in sorted(circle.offsets(points, radius)):
        # Differences from the centre are exact, so a flat patch has variance 0 and not rounding noise.
        difference = reader.read(offset, sample).sub_(centre).div_(circle.UNIT**2)
        total.add_(difference)
        squares.addcmul_(difference, difference)
    return [squares.sub_(total.square_().div_(points)).div_(points).clamp_(min=0)]
