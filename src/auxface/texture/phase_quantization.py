"""Local phase quantization: signs of four low frequencies in a window.

Ojansivu and Heikkilä, "Blur insensitive texture classification using local phase quantization", ICISP 2008, LNCS 5099;
uniform weights, no decorrelation.
"""

import functools
import math

import torch
from torch import Tensor

from auxface.texture.images import GrayImages, require_number, require_whole
from auxface.texture.tiles import Tile, apply_square

LARGEST_WINDOW = 63


def local_phase_quantization(
    image: GrayImages, window: int = 7, eps: float = 0.01, border: str = "reflect"
) -> GrayImages:
    """Signs of the real and imaginary parts of four short-time Fourier coefficients (Ojansivu and Heikkilä, 2008).

    Args:
        image: uint8 [H, W], [B, H, W] or [B, 1, H, W], tensor or array.
        window: side of the window, odd, 3 to 63; the lowest frequency is 1 / window.
        eps: responses up to this value count as not positive, so that exact zeros do not turn on rounding noise.
        border: ``reflect`` keeps the size; ``valid`` drops ``window // 2`` pixels on every side.

    Returns:
        uint8 codes in the layout of the input; bits Re1, Im1, Re2, Im2, Re3, Im3, Re4, Im4 of the frequencies (a, 0),
        (0, a), (a, a) and (-a, a), column first, a = 1 / window.

    Raises:
        TypeError, ValueError: an image or a parameter outside what is said here.
    """
    require_whole("window", window, 3, LARGEST_WINDOW, odd=True)
    require_number("eps", eps, 0)
    kernel = functools.partial(_phases, window=window, eps=float(eps))
    return apply_square(image, kernel, border, "local_phase_quantization", radius=window // 2, bytes_per_pixel=100)


def _phases(tile: Tile, window: int, eps: float) -> list[Tensor]:
    reach = window // 2
    angles = [2 * math.pi * j / window for j in range(1, reach + 1)]
    pixels = tile.cast(torch.float64)
    margin = reach * tile.width
    lines = tile.flat.numel() - 2 * reach
    # Along the rows: mean, cosine and sine part. Rows first over the whole tile, then columns over its inside.
    row_parts = _three_parts(tile, pixels, 1, reach, lines, angles)
    flat, cosine, sine = (_three_parts(tile, part, tile.width, margin, tile.length, angles) for part in row_parts)
    wave_x, wave_y = (cosine[0], sine[0]), (flat[1], flat[2])
    rising = (
        torch.sub(cosine[1], sine[2], out=tile.empty(torch.float64)),
        torch.add(cosine[2], sine[1], out=tile.empty(torch.float64)),
    )
    falling = (cosine[1].add_(sine[2]), cosine[2].sub_(sine[1]))
    code = tile.empty(torch.int16).zero_()
    limit = tile.empty(torch.float64).fill_(eps)
    bit = tile.empty(torch.int16)
    for i, response in enumerate((*wave_x, *wave_y, *rising, *falling)):
        code.add_(bit.copy_(torch.gt(response, limit, out=response)), alpha=1 << i)
    return [code]


def _three_parts(
    tile: Tile, source: Tensor, stride: int, first: int, length: int, angles: list[float]
) -> tuple[Tensor, Tensor, Tensor]:
    """Sum, cosine sum and sine sum of ``source`` over a line of pixels ``stride`` apart, at ``length`` positions."""
    mean, cosine, sine = (tile.empty(torch.float64, length) for _ in range(3))
    together, apart = tile.empty(torch.float64, length), tile.empty(torch.float64, length)
    center = source[first : first + length]
    mean.copy_(center)
    cosine.copy_(center)
    sine.zero_()
    for j, angle in enumerate(angles, start=1):
        after = source[first + j * stride : first + j * stride + length]
        before = source[first - j * stride : first - j * stride + length]
        torch.add(after, before, out=together)
        torch.sub(after, before, out=apart)
        mean.add_(together)
        cosine.add_(together, alpha=math.cos(angle))
        sine.add_(apart, alpha=math.sin(angle))
    return mean, cosine, sine
