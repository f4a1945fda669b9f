"""Weber local descriptor (WLD): differential excitation and gradient orientation.

Chen, Shan, He, Zhao, Pietikäinen, Chen and Gao, "WLD: a robust local image descriptor", IEEE TPAMI 32(9), 2010.
"""

import functools
import math

import numpy as np
import torch
from torch import Tensor

from auxface.texture.gray_images import (
    GrayImages,
    all_gradients,
    as_table,
    gradient_index,
    require_integer,
    require_number,
)
from auxface.texture.registry import Descriptor, Output, register
from auxface.texture.tiles import EIGHT, Tile, apply_kernel

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
    """Compute the differential excitation or the quantized gradient orientation of WLD (Chen et al., 2010).

    ``excitation`` is arctan(alpha Σ(x_i - c) / max(c, eps)). ``orientation`` is the sector of
    atan2(x_W - x_E, x_S - x_N) + π; sectors are centered on multiples of 2π / sectors.

    Args:
        image: uint8 tensor or array of shape [H, W], [B, H, W] or [B, 1, H, W].
        alpha: gain of the excitation, above 0.
        sectors: number of orientation codes, from 2 to 360.
        eps: lower bound of the divisor, which is otherwise the center gray level; above 0.
        output: which map to compute, ``excitation`` or ``orientation``.
        border: ``reflect`` keeps the image size; ``valid`` drops one pixel on every side.

    Returns:
        Map in the layout of the input: float32 in (-π/2, π/2) for ``excitation``; codes from 0 to sectors - 1 for
        ``orientation``, uint8 for up to 256 sectors and int32 for more.

    Raises:
        TypeError, ValueError: the image or a parameter is not as described.

    Example:
        >>> patch = np.array([[90, 60, 30], [20, 50, 50], [80, 10, 75]], np.uint8)
        >>> weber_local_descriptor(patch, border="valid")
        array([[1]], dtype=uint8)
        >>> weber_local_descriptor(patch, output="excitation", border="valid").round(4)
        array([[0.7328]], dtype=float32)
    """
    _check(alpha, sectors, eps, output)
    if output == "excitation":
        kernel = functools.partial(_excitation, alpha=alpha, eps=eps)
        dtype, working = torch.float32, 14
    else:
        kernel = functools.partial(_orientation, sectors=sectors)
        dtype, working = (torch.uint8 if sectors <= 256 else torch.int32), 16
    return apply_kernel(image, kernel, border, "weber_local_descriptor", dtype=dtype, bytes_per_pixel=working)


def plain_excitation(window: np.ndarray, alpha: float = 3, eps: float = 1) -> float:
    """Compute the differential excitation of the center pixel of a window [3, 3] directly from the definition."""
    center = int(window[1, 1])
    return math.atan(alpha * sum(int(window[1 + r, 1 + c]) - center for r, c in EIGHT) / max(center, eps))


def plain_orientation(window: np.ndarray, sectors: int = 8) -> int:
    """Compute the orientation code of the center pixel of a window [3, 3] directly from the definition."""
    north, south, west, east = (int(window[r, c]) for r, c in ((0, 1), (2, 1), (1, 0), (1, 2)))
    angle = math.atan2(west - east, south - north) + math.pi
    return math.floor(angle / (2 * math.pi / sectors) + 0.5) % sectors


def _check(alpha: float, sectors: int, eps: float, output: str) -> None:
    require_number("alpha", alpha, 0, above=True)
    require_integer("sectors", sectors, 2, MAX_SECTORS)
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
    index = gradient_index(down, left, out=tile.empty(torch.int32))
    return [_sector_table(sectors, tile.flat.device).index_select(0, index)]


@functools.lru_cache(maxsize=16)
def _sector_table(sectors: int, device: torch.device) -> Tensor:
    down, left = all_gradients()
    angle = np.arctan2(left, down) + math.pi
    sector = np.floor(angle / (2 * math.pi / sectors) + 0.5) % sectors
    return as_table(sector.astype(np.uint8 if sectors <= 256 else np.int32), device)


def _output(alpha: float, sectors: int, eps: float, output: str, border: str) -> Output:
    _check(alpha, sectors, eps, output)
    if output == "excitation":
        return Output(low=-math.pi / 2, high=math.pi / 2)
    return Output(n_codes=sectors)


DESCRIPTOR = register(
    Descriptor(
        name="weber_local_descriptor",
        function=weber_local_descriptor,
        output=_output,
        reference="Chen, Shan, He, Zhao, Pietikäinen, Chen, Gao, WLD: a robust local image descriptor, IEEE TPAMI "
        "32(9), 2010",
    )
)
