"""Magnitudes of Gabor filter responses.

Lee, "Image representation using 2D Gabor wavelets", IEEE TPAMI 18(10), 1996, for zero-mean filters. Filters are
scaled so that a sinusoid with amplitude A and the wavelength and orientation of the filter gives the magnitude A.

Every filter is a sum of separable filters. Each separable filter is the product of a one-dimensional filter along rows
and a one-dimensional filter along columns. Orientations k and n - k share these one-dimensional filters. A
one-dimensional filter computes runs of outputs as the product of a band matrix and overlapping windows.
"""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from auxface.texture.gray_images import (
    GrayImages,
    read_images,
    require_border,
    require_integer,
    require_number,
    require_size,
)
from auxface.texture.registry import Descriptor, Output, register
from auxface.texture.tiles import Buffers, empty_real_maps, mirrored, tile_spans

# Number of outputs per matrix product along each axis. Longer runs use the processor more efficiently; shorter runs
# multiply fewer zeros.
ALONG, ACROSS = 16, 8
BYTES_PER_PIXEL = 75


def gabor_magnitude(
    image: GrayImages, scales: int = 3, orientations: int = 4, min_wavelength: float = 4, border: str = "reflect"
) -> GrayImages:
    """Compute the magnitude of the response to pairs of zero-mean Gabor filters (Lee, 1996).

    Scale s has the wavelength ``min_wavelength`` 2^(s/2) pixels and a Gaussian with a standard deviation of 0.56
    wavelengths, truncated at three standard deviations. Orientation k is π k / orientations.

    Args:
        image: uint8 tensor or array of shape [H, W], [B, H, W] or [B, 1, H, W]. Both sides must exceed the half width
            of the largest filter (14 pixels by default).
        scales: number of wavelengths, from 1 to 12.
        orientations: number of orientations, from 1 to 64.
        min_wavelength: shortest wavelength in pixels, at least 2.
        border: border rule; only ``reflect`` is supported.

    Returns:
        Nonnegative magnitudes in gray levels, float32 [scales · orientations, H, W] or
        [B, scales · orientations, H, W]. Channel s · orientations + k holds scale s and orientation k.

    Raises:
        TypeError, ValueError: the image or a parameter is not as described.

    Example:
        >>> wave = 128 + 100 * np.cos(2 * np.pi * np.arange(64) / 8)
        >>> image = np.tile(wave.round().astype(np.uint8), (64, 1))
        >>> gabor_magnitude(image, scales=1, min_wavelength=8)[0, 30:33, 32].round()
        array([100., 100., 100.], dtype=float32)
    """
    require_integer("scales", scales, 1, 12)
    require_integer("orientations", orientations, 1, 64)
    require_number("min_wavelength", min_wavelength, 2)
    require_border(border, ("reflect",))
    images, layout = read_images(image)
    filters = [_make_filters(min_wavelength * 2 ** (s / 2), orientations) for s in range(scales)]
    reach = filters[-1].reach
    require_size(tuple(images.shape[1:]), reach, border, "gabor_magnitude")
    batch, height, width = images.shape
    shape = (batch, scales * orientations, height, width)
    result = empty_real_maps(shape, images.device)
    # Where float32 matrix products may use reduced precision (TF32), double precision keeps the result accurate.
    exact = torch.get_float32_matmul_precision() == "highest" or images.device.type in ("cpu", "mps")
    buffers = Buffers(images.device)
    for first, count, top, lines in tile_spans(batch, height, width, images.device, BYTES_PER_PIXEL):
        group = mirrored(images[first : first + count], reach, top, lines + 2 * reach)
        # The lines of all images are placed side by side, so that one matrix product per axis filters the whole group.
        # Both axes are extended to complete runs; results outside the image are dropped.
        pixels = group.new_zeros(
            (_complete_runs(lines, ACROSS) + 2 * reach, count, _complete_runs(width, ALONG) + 2 * reach),
            dtype=torch.float32 if exact else torch.float64,
        )
        pixels[: lines + 2 * reach, :, : width + 2 * reach].copy_(group.transpose(0, 1))
        for s, scale in enumerate(filters):
            buffers.restart()
            inset = reach - scale.reach
            inside = pixels[inset : len(pixels) - inset, :, inset : pixels.shape[2] - inset]
            for k, even, odd in _responses(inside, scale, buffers):
                square = torch.mul(even, even, out=even).addcmul_(odd, odd)
                channel = result[first : first + count, s * orientations + k, top : top + lines]
                torch.sqrt(square[:lines, :, :width], out=channel.transpose(0, 1))
    # The channel axis is kept even for a single channel.
    return replace(layout, channel=True).restore(result)


def plain_gabor_filters(wavelength: float, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Compute the even and odd filters for a wavelength (pixels) and angle (radians) directly from the definition.

    The magnitude at a pixel is the square root of the sum of the squared responses of the two filters.
    """
    sigma = 0.56 * wavelength
    reach = math.ceil(3 * sigma)
    row, column = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    wave = 2 * math.pi * (column * math.cos(angle) - row * math.sin(angle)) / wavelength
    gauss = np.exp(-(row**2 + column**2) / (2 * sigma**2))
    gauss /= gauss.sum()
    mean = (gauss * np.cos(wave)).sum()
    return 2 * gauss * (np.cos(wave) - mean), 2 * gauss * np.sin(wave)


def _complete_runs(outputs: int, run: int) -> int:
    return -(-outputs // run) * run


@dataclass(frozen=True)
class _Filters:
    """The separable filters of one scale.

    Attributes:
        reach: half width in pixels.
        along: filters along rows [F, 2 reach + 1]: the Gaussian, then the cosine and sine for each nonzero |cos θ|.
        across: filters along columns: the Gaussian, then the cosine and sine for each |sin θ|.
        mean: mean of the cosine part for each orientation, relative to the Gaussian. If the filter along one axis is a
            pure Gaussian, the mean is already subtracted from the cosine along the other axis.
    """

    reach: int
    along: np.ndarray
    across: np.ndarray
    mean: tuple[float, ...]


@functools.lru_cache(maxsize=64)
def _make_filters(wavelength: float, orientations: int) -> _Filters:
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
        mean.append(float(row_cos.sum() * column_cos.sum()))
        if k == 0:
            row_cos -= mean[k] * gauss
        if 2 * k == orientations:
            column_cos -= mean[k] * gauss
        if 2 * k < orientations:
            along += [row_cos, row_sin]
        if 2 * k <= orientations:
            across += [column_cos, column_sin]
    # Without the factor 2, the response of a filter pair to a sinusoid would be half its amplitude.
    return _Filters(reach, np.stack(along), 2 * np.stack(across), tuple(mean))


def _responses(pixels: Tensor, scale: _Filters, buffers: Buffers) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield (orientation, even response, odd response) of padded pixels; responses have shape [lines, n, columns]."""
    lines, count, columns = pixels.shape[0] - 2 * scale.reach, pixels.shape[1], pixels.shape[2] - 2 * scale.reach
    rows = _along_rows(pixels, scale.along, buffers)
    bands = _bands(scale.across, ACROSS, pixels)
    orientations = len(scale.mean)

    def empty() -> Tensor:
        return buffers.empty(lines * count * columns, pixels.dtype).view(lines, -1)

    def both(column_filter: int, row_filter: int) -> Tensor:
        return _across_rows(rows[row_filter], bands[column_filter], empty())

    gaussian = both(0, 0)
    for k in range(orientations // 2 + 1):
        cos, sin = 1 + 2 * k, 2 + 2 * k
        if 2 * k == orientations:
            pairs = [(k, both(cos, 0), both(sin, 0))]
        elif k == 0:
            pairs = [(k, both(0, cos), both(0, sin))]
        else:
            cos_cos, sin_sin, cos_sin, sin_cos = both(cos, cos), both(sin, sin), both(cos, sin), both(sin, cos)
            cos_cos.sub_(gaussian, alpha=scale.mean[k])
            even, odd = torch.sub(cos_cos, sin_sin, out=empty()), torch.add(cos_sin, sin_cos, out=empty())
            pairs = [(k, cos_cos.add_(sin_sin), cos_sin.sub_(sin_cos)), (orientations - k, even, odd)]
        for orientation, even, odd in pairs:
            yield orientation, even.view(lines, count, columns), odd.view(lines, count, columns)


def _bands(filters: np.ndarray, run: int, like: Tensor) -> Tensor:
    """Return band matrices [F, run, run + 2 reach], in which row r contains a filter that starts at column r."""
    count, taps = filters.shape
    bands = np.zeros((count, run, run + taps - 1))
    for r in range(run):
        bands[:, r, r : r + taps] = filters
    return torch.from_numpy(bands).to(like)


def _along_rows(pixels: Tensor, filters: np.ndarray, buffers: Buffers) -> Tensor:
    """Filter pixels [lines, n, columns + 2 reach] along the last axis and return [F, lines, n · columns]."""
    lines, count, width = pixels.shape
    reach = filters.shape[1] // 2
    columns, stride = width - 2 * reach, pixels.stride(1)
    windows = pixels.as_strided((columns // ALONG, lines * count, ALONG + 2 * reach), (ALONG, stride, 1))
    bands = _bands(filters, ALONG, pixels).flatten(0, 1).T.expand(len(windows), -1, -1)
    products = buffers.empty(len(filters) * lines * count * columns, pixels.dtype).view(len(windows), lines * count, -1)
    runs = torch.bmm(windows, bands, out=products).view(len(windows), lines * count, len(filters), ALONG)
    filtered = buffers.empty(products.numel(), pixels.dtype)
    filtered.view(len(filters), lines * count, len(windows), ALONG).copy_(runs.permute(2, 1, 0, 3))
    return filtered.view(len(filters), lines, count * columns)


def _across_rows(source: Tensor, band: Tensor, out: Tensor) -> Tensor:
    """Filter [lines + 2 reach, n · columns] along the first axis into ``out`` [lines, n · columns]."""
    run, taps = band.shape
    lines, columns = source.shape[0] - (taps - run), source.shape[1]
    windows = source.as_strided((lines // run, taps, columns), (run * columns, columns, 1), source.storage_offset())
    out = out.view(len(windows), run, columns)
    return torch.bmm(band.expand(len(windows), -1, -1), windows, out=out).view(lines, columns)


DESCRIPTOR = register(
    Descriptor(
        name="gabor_magnitude",
        function=gabor_magnitude,
        output=lambda scales, orientations, **_: Output(maps=scales * orientations, high=255.0),
        reference="Lee, Image representation using 2D Gabor wavelets, IEEE TPAMI 18(10), 1996",
    )
)
