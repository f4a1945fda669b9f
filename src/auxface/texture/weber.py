"""Weber local descriptor: relative brightness difference, and gradient orientation.

Chen, Shan, He, Zhao, Pietikäinen, Chen and Gao, "WLD: a robust local image descriptor", IEEE TPAMI 32(9), 2010.
"""

import functools
import math

import numpy as np
import torch
from torch import Tensor

from auxface.texture.gradient_table import as_table, gradient_index, gradients
from auxface.texture.images import GreyImages, require_number, require_whole
from auxface.texture.square import apply_square
from auxface.texture.tiles import EIGHT, Tile

OUTPUTS = ("excitation", "orientation")
MAX_SECTORS = 360


def weber_local_descriptor(
    image: GreyImages,
    alpha: float = 3,
    sectors: int = 8,
    eps: float = 1,
    output: str = "orientation",
    border: str = "reflect",
) -> GreyImages:
    """Differential excitation or gradient orientation (Chen et al., 2010).

    ``excitation`` is arctan(alpha Σ(x_i - x_c) / max(x_c, eps)). ``orientation`` is the sector of
    atan2(x_W - x_E, x_S - x_N) + π, sectors being centred on multiples of 2π / sectors.

    Args:
        image: uint8 [H, W], [B, H, W] or [B, 1, H, W], tensor or array.
        alpha: gain of the excitation, above 0.
        sectors: number of orientation codes, 2 to 360.
        eps: grey level that a darker centre counts as, above 0.
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
    centre = tile.empty(torch.float32).copy_(tile.at(0, 0)).clamp_(min=eps)
    return [tile.empty(torch.float32).copy_(total).mul_(alpha).div_(centre).atan_()]


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
