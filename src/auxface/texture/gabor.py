"""Gabor magnitudes.

Lee, "Image representation using 2D Gabor wavelets", IEEE TPAMI 18(10), 1996, for the removal of the mean; filters are
scaled so that a matching sinusoid of amplitude A answers A.

Every filter is a sum of products of one filter along rows and one along columns, and orientations k and n - k share
theirs. A one-dimensional filter is applied to a run of ``RUN`` outputs at once, as a product with a band matrix.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from auxface.texture.images import GreyImages, read_images, require_border, require_number, require_size, require_whole
from auxface.texture.tiles import mirrored, tile_spans

RUN = 32
WORKING = 64


def gabor_magnitude(
    image: GreyImages, scales: int = 3, orientations: int = 4, min_wavelength: float = 4, border: str = "reflect"
) -> GreyImages:
    """Magnitudes of Gabor filter pairs without mean (Lee, 1996).

    Scale s has wavelength ``min_wavelength`` 2^(s/2) pixels, Gaussian width 0.56 wavelengths, cut at three widths;
    orientation k is π k / orientations.

    Args:
        image: uint8 [H, W], [B, H, W] or [B, 1, H, W], tensor or array; sides above the largest filter's half width
            (14 pixels by default).
        scales: number of wavelengths, 1 to 12.
        orientations: number of orientations, 1 to 64.
        min_wavelength: shortest wavelength in pixels, at least 2.
        border: ``reflect`` alone.

    Returns:
        float32 grey levels, at least 0, [scales · orientations, H, W] with B before it where the input had one; channel
        s · orientations + k.

    Raises:
        TypeError, ValueError: an image or a parameter outside what is said here.
    """
    require_whole("scales", scales, 1, 12)
    require_whole("orientations", orientations, 1, 64)
    require_number("min_wavelength", min_wavelength, 2)
    require_border(border, ("reflect",))
    images, layout = read_images(image)
    filters = [_filters(min_wavelength * 2 ** (s / 2), orientations) for s in range(scales)]
    reach = filters[-1].reach
    require_size(tuple(images.shape[1:]), reach, border, "gabor_magnitude")
    batch, height, width = images.shape
    shape = (batch, scales * orientations, height, width)
    result = torch.empty(shape, dtype=torch.float32, device=images.device)
    # Where matrix products may be rounded to fewer bits for speed, double precision keeps the result.
    exact = torch.get_float32_matmul_precision() == "highest" or images.device.type in ("cpu", "mps")
    dtype = torch.float32 if exact else torch.float64
    for first, count, top, lines in tile_spans(batch, height, width, images.device, WORKING):
        group = mirrored(images[first : first + count], reach, top, lines + 2 * reach).to(dtype)
        for s, scale in enumerate(filters):
            inset = reach - scale.reach
            pixels = group[:, inset : inset + lines + 2 * scale.reach, inset : inset + width + 2 * scale.reach]
            channels = slice(s * orientations, (s + 1) * orientations)
            _magnitudes(pixels, scale, result[first : first + count, channels, top : top + lines])
    return layout.restore(result)


@dataclass(frozen=True)
class _Filters:
    """One scale: rows of ``along`` are filters along a line, used as named by the index tuples.

    Attributes:
        reach: half width.
        along: filters along rows [F, 2 reach + 1]: the Gaussian, then cosine and sine of every |cos θ|.
        across: filters along columns, the same for every |sin θ|.
        mean: of the cosine part of every orientation, relative to the Gaussian.
        orientations: number of orientations.
    """

    reach: int
    along: np.ndarray
    across: np.ndarray
    mean: tuple[float, ...]
    orientations: int


@functools.lru_cache(maxsize=64)
def _filters(wavelength: float, orientations: int) -> _Filters:
    sigma = 0.56 * wavelength
    reach = math.ceil(3 * sigma)
    steps = np.arange(-reach, reach + 1)
    gauss = np.exp(-(steps**2) / (2 * sigma**2))
    gauss /= gauss.sum()
    along, across, mean = [gauss], [gauss], []
    for k in range(orientations):
        angle = math.pi * k / orientations
        waves = [2 * math.pi / wavelength * part * steps for part in (math.cos(angle), math.sin(angle))]
        (row_cos, row_sin), (column_cos, column_sin) = ((gauss * np.cos(w), gauss * np.sin(w)) for w in waves)
        mean.append(float(row_cos.sum() * column_cos.sum() + row_sin.sum() * column_sin.sum()))
        if 2 * k <= orientations:
            along += [row_cos, row_sin]
            across += [column_cos, column_sin]
    return _Filters(reach, np.stack(along), np.stack(across), tuple(mean), orientations)


def _band(filters: np.ndarray, like: Tensor) -> Tensor:
    """Band matrices [F, RUN, RUN + 2 reach]: row r holds a filter from column r on."""
    count, taps = filters.shape
    bands = np.zeros((count, RUN, RUN + taps - 1))
    for r in range(RUN):
        bands[:, r, r : r + taps] = filters
    return torch.from_numpy(bands).to(like)


def _magnitudes(pixels: Tensor, scale: _Filters, result: Tensor) -> None:
    """Magnitudes of one scale, from pixels [n, rows + 2 reach, columns + 2 reach] to ``result`` [n, K, rows, columns]."""
    filtered = _along_rows(pixels, scale)
    rows = result.shape[2]
    bands = _band(scale.across, pixels)
    for top in range(0, rows, RUN):
        lines = min(RUN, rows - top)
        window = filtered[:, :, top : top + lines + 2 * scale.reach]
        for k, magnitude in _combine(window, bands[:, :lines, : lines + 2 * scale.reach], scale):
            result[:, k, top : top + lines].copy_(magnitude)


def _along_rows(pixels: Tensor, scale: _Filters) -> Tensor:
    """Every filter of ``scale.along`` along the rows: [F, n, lines, columns]."""
    count, lines, width = pixels.shape
    columns = width - 2 * scale.reach
    bands = _band(scale.along, pixels)
    filters = len(bands)
    filtered = pixels.new_empty((filters, count, lines, columns))
    for left in range(0, columns, RUN):
        run = min(RUN, columns - left)
        taps = run + 2 * scale.reach
        matrix = bands[:, :run, :taps].reshape(-1, taps)
        part = torch.matmul(pixels[:, :, left : left + taps], matrix.T).view(count, lines, filters, run)
        filtered[:, :, :, left : left + run].copy_(part.permute(2, 0, 1, 3))
    return filtered


def _combine(window: Tensor, bands: Tensor, scale: _Filters) -> list[tuple[int, Tensor]]:
    """Filter a run of lines across rows and put the parts of every orientation together."""
    orientations = scale.orientations
    mean_part = bands[0] @ window[0]
    magnitudes = []
    for k in range(orientations // 2 + 1):
        along_cos, along_sin = window[1 + 2 * k], window[2 + 2 * k]
        if k == 0:
            magnitudes.append((0, _length(bands[0] @ along_cos, bands[0] @ along_sin, mean_part, scale.mean[0])))
        elif 2 * k == orientations:
            even, odd = bands[1 + 2 * k] @ window[0], bands[2 + 2 * k] @ window[0]
            magnitudes.append((k, _length(even, odd, mean_part, scale.mean[k])))
        else:
            across_cos, across_sin = bands[1 + 2 * k], bands[2 + 2 * k]
            both_cos, both_sin = across_cos @ along_cos, across_sin @ along_sin
            cos_sin, sin_cos = across_cos @ along_sin, across_sin @ along_cos
            for turned, sign in ((k, 1), (orientations - k, -1)):
                even, odd = torch.add(both_cos, both_sin, alpha=sign), torch.sub(cos_sin, sin_cos, alpha=sign)
                magnitudes.append((turned, _length(even, odd, mean_part, scale.mean[turned])))
    return magnitudes


def _length(even: Tensor, odd: Tensor, mean_part: Tensor, mean: float) -> Tensor:
    even = even.sub_(mean_part, alpha=mean)
    return even.square_().addcmul_(odd, odd).sqrt_().mul_(2)
