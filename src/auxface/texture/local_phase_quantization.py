"""Local phase quantization (LPQ): signs of four low-frequency Fourier coefficients of a window.

Ojansivu and Heikkilä, "Blur insensitive texture classification using local phase quantization", ICISP 2008, LNCS 5099.
This version uses uniform weights and no decorrelation.
"""

import functools
import math

import numpy as np
import torch
from torch import Tensor

from auxface.texture.gray_images import GrayImages, require_integer, require_number
from auxface.texture.registry import Descriptor, Output, register
from auxface.texture.tiles import Tile, apply_kernel

MAX_WINDOW = 63


def local_phase_quantization(
    image: GrayImages, window: int = 7, eps: float = 0.01, border: str = "reflect"
) -> GrayImages:
    """Quantize the phase of four short-time Fourier coefficients to two bits each (Ojansivu and Heikkilä, 2008).

    Args:
        image: uint8 tensor or array of shape [H, W], [B, H, W] or [B, 1, H, W].
        window: side of the window in pixels, an odd number from 3 to 63. The lowest frequency is 1 / window.
        eps: threshold in gray levels; a bit is 1 if the real or imaginary part exceeds the threshold. Coefficients of
            exactly 0 are common; their bits are always 0 if ``eps`` exceeds the rounding error.
        border: ``reflect`` keeps the image size; ``valid`` drops ``window // 2`` pixels on every side.

    Returns:
        uint8 codes in the layout of the input. The bits are Re1, Im1, Re2, Im2, Re3, Im3, Re4, Im4 of the frequencies
        (a, 0), (0, a), (a, a) and (-a, a), column first, with a = 1 / window.

    Raises:
        TypeError, ValueError: the image or a parameter is not as described.

    Example:
        >>> patch = np.array([[90, 60, 30], [20, 50, 50], [80, 10, 75]], np.uint8)
        >>> local_phase_quantization(patch, window=3, border="valid")
        array([[80]], dtype=uint8)
    """
    require_integer("window", window, 3, MAX_WINDOW, odd=True)
    require_number("eps", eps, 0)
    kernel = functools.partial(_quantize, window=window, eps=float(eps))
    return apply_kernel(image, kernel, border, "local_phase_quantization", radius=window // 2, bytes_per_pixel=100)


def plain_local_phase_quantization(window: np.ndarray, eps: float = 0.01) -> int:
    """Compute the code of the center pixel of a window [w, w], w odd, directly from the definition."""
    side = len(window)
    a, steps, bits = 1 / side, np.arange(side) - side // 2, []
    # The center's value is subtracted to reduce rounding errors. This does not change the coefficients, because no
    # frequency is zero.
    values = window.astype(np.float64) - window[side // 2, side // 2]
    for column, row in ((a, 0), (0, a), (a, a), (-a, a)):
        phase = 2 * math.pi * (column * steps[None, :] + row * steps[:, None])
        bits += [(values * np.cos(phase)).sum() > eps, (values * np.sin(phase)).sum() > eps]
    return sum(1 << i for i, bit in enumerate(bits) if bit)


def _quantize(tile: Tile, window: int, eps: float) -> list[Tensor]:
    reach = window // 2
    angles = [2 * math.pi * j / window for j in range(1, reach + 1)]
    pixels = tile.cast(torch.float64)
    margin = reach * tile.width
    lines = tile.flat.numel() - 2 * reach
    # The transform is separable: it is applied along the rows of the whole tile, and then along the columns of the
    # interior of the tile.
    row_parts = _sums(tile, pixels, 1, reach, lines, angles)
    flat, cosine, sine = (_sums(tile, part, tile.width, margin, tile.length, angles) for part in row_parts)
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


def _sums(
    tile: Tile, source: Tensor, stride: int, first: int, length: int, angles: list[float]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return plain, cosine and sine sums of ``source`` at ``length`` positions, over pixels ``stride`` apart."""
    total, cosine, sine = (tile.empty(torch.float64, length) for _ in range(3))
    together, apart = tile.empty(torch.float64, length), tile.empty(torch.float64, length)
    center = source[first : first + length]
    total.copy_(center)
    cosine.copy_(center)
    sine.zero_()
    for j, angle in enumerate(angles, start=1):
        after = source[first + j * stride : first + j * stride + length]
        before = source[first - j * stride : first - j * stride + length]
        torch.add(after, before, out=together)
        torch.sub(after, before, out=apart)
        total.add_(together)
        cosine.add_(together, alpha=math.cos(angle))
        sine.add_(apart, alpha=math.sin(angle))
    return total, cosine, sine


DESCRIPTOR = register(
    Descriptor(
        name="local_phase_quantization",
        function=local_phase_quantization,
        output=lambda **_: Output.bit_codes(8),
        reference="Ojansivu, Heikkilä, Blur insensitive texture classification using local phase quantization, ICISP "
        "2008, LNCS 5099",
    )
)
