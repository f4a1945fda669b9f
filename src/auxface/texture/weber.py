"""Weber local descriptor: relative brightness difference, and gradient orientation.

Chen, Shan, He, Zhao, Pietikäinen, Chen and Gao, "WLD: a robust local image descriptor", IEEE TPAMI 32(9), 2010.

Functions of a whole-number gradient, looked up: 511 x 511 pairs, worked out once in double precision.

A table makes angles and magnitudes the same on every device, and cheaper than arc tangents.
"""

import functools
import math

import numpy as np
import torch
from torch import Tensor

from auxface.texture.images import GrayImages, require_number, require_whole
from auxface.texture.tiles import EIGHT, Tile, apply_square

SPAN = 511
"""A difference of two gray values is one of -255 .. 255."""

ZERO = 255 * SPAN + 255
"""Index of the gradient (0, 0)."""


def gradients() -> tuple[np.ndarray, np.ndarray]:
    """Both components of every gradient, float64 [511²], in the order of :func:`gradient_index`."""
    values = np.arange(-255.0, 256.0)
    first, second = np.meshgrid(values, values, indexing="ij")
    return first.ravel(), second.ravel()


def gradient_index(first: Tensor, second: Tensor, into: Tensor) -> Tensor:
    """Where the gradient (first, second), each int16 -255 .. 255, stands in a table; written to ``into`` (int32)."""
    return into.copy_(first).mul_(SPAN).add_(second).add_(ZERO)


def as_table(values: np.ndarray, device: torch.device) -> Tensor:
    """Table values on a device."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(device)


OUTPUTS = ("excitation", "orientation")
MAX_SECTORS = 360


def weber_local_descriptor(
    image: GrayImages,
    alpha: float = 3,
    sectors: int = 8,
    eps: float = 1,
    output: str = "orientation",
    border: str = "reflect",
) -> GrayImages:
    """Differential excitation or gradient orientation (Chen et al., 2010).

    ``excitation`` is arctan(alpha Σ(x_i - x_c) / max(x_c, eps)). ``orientation`` is the sector of
    atan2(x_W - x_E, x_S - x_N) + π, sectors being centerd on multiples of 2π / sectors.

    Args:
        image: uint8 [H, W], [B, H, W] or [B, 1, H, W], tensor or array.
        alpha: gain of the excitation, above 0.
        sectors: number of orientation codes, 2 to 360.
        eps: gray level that a darker center counts as, above 0.
        output: ``excitation`` or ``orientation``.
        border: ``reflect`` keeps the size; ``valid`` drops one pixel on every side.

    Returns:
        In the layout of the input: float32 in (-π/2, π/2), or codes 0 .. sectors - 1 (uint8, above 256 int32).

    Raises:
        TypeError, ValueError: an image or a parameter outside what is said here.
    """
    require_weber(alpha, sectors, eps, output)
    if output == "excitation":
        kernel = functools.partial(_excitation, alpha=alpha, eps=eps)
        dtype, working = torch.float32, 14
    else:
        kernel = functools.partial(_orientation, sectors=sectors)
        dtype, working = (torch.uint8 if sectors <= 256 else torch.int32), 16
    return apply_square(image, kernel, border, "weber_local_descriptor", dtype=dtype, bytes_per_pixel=working)


def require_weber(alpha: float, sectors: int, eps: float, output: str) -> None:
    """Refuse parameters out of range.

    Raises:
        TypeError, ValueError: see :func:`weber_local_descriptor`.
    """
    require_number("alpha", alpha, 0, above=True)
    require_whole("sectors", sectors, 2, MAX_SECTORS)
    require_number("eps", eps, 0, above=True)
    if output not in OUTPUTS:
        raise ValueError(f"output must be one of {', '.join(OUTPUTS)}; got {output!r}")


def _excitation(tile: Tile, alpha: float, eps: float) -> list[Tensor]:
    pixels = tile.cast(torch.int16)
    total = torch.mul(tile.at(0, 0, pixels), -8, out=tile.empty(torch.int16))
    for offset in EIGHT:
        total.add_(tile.at(*offset, pixels))
    center = tile.empty(torch.float32).copy_(tile.at(0, 0)).clamp_(min=eps)
    return [tile.empty(torch.float32).copy_(total).mul_(alpha).div_(center).atan_()]


def _orientation(tile: Tile, sectors: int) -> list[Tensor]:
    pixels = tile.cast(torch.int16)
    down = torch.sub(tile.at(1, 0, pixels), tile.at(-1, 0, pixels), out=tile.empty(torch.int16))
    left = torch.sub(tile.at(0, -1, pixels), tile.at(0, 1, pixels), out=tile.empty(torch.int16))
    index = gradient_index(down, left, tile.empty(torch.int32))
    return [_sector_table(sectors, tile.flat.device).index_select(0, index)]


@functools.lru_cache(maxsize=16)
def _sector_table(sectors: int, device: torch.device) -> Tensor:
    down, left = gradients()
    angle = np.arctan2(left, down) + math.pi
    sector = np.floor(angle / (2 * math.pi / sectors) + 0.5) % sectors
    return as_table(sector.astype(np.uint8 if sectors <= 256 else np.int32), device)
