"""Gabor magnitudes.

Lee, "Image representation using 2D Gabor wavelets", IEEE TPAMI 18(10), 1996, for the removal of the mean; filters are
scaled so that a matching sinusoid of amplitude A answers A.

Every filter is a sum of products of one filter along rows and one along columns, and orientations k and n - k share
theirs. A one-dimensional filter is applied to runs of outputs, as products of one band matrix with overlapping windows.
"""

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from auxface.texture.images import GrayImages, read_images, require_border, require_number, require_size, require_whole
from auxface.texture.tiles import Buffers, mirrored, real_maps, tile_spans

# Outputs of one product along either axis: more fill the processor better, fewer waste less on the zeros of the band.
ALONG, ACROSS = 16, 8
WORKING = 75


def gabor_magnitude(
    image: GrayImages, scales: int = 3, orientations: int = 4, min_wavelength: float = 4, border: str = "reflect"
) -> GrayImages:
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
        float32 gray levels, at least 0, [scales · orientations, H, W] with B before it where the input had one; channel
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
    result = real_maps(shape, images.device)
    # Where matrix products may be rounded to fewer bits for speed, double precision keeps the result.
    exact = torch.get_float32_matmul_precision() == "highest" or images.device.type in ("cpu", "mps")
    buffers = Buffers(images.device)
    for first, count, top, lines in tile_spans(batch, height, width, images.device, WORKING):
        group = mirrored(images[first : first + count], reach, top, lines + 2 * reach)
        # Lines of all images side by side: one product then serves the whole group along either axis. Both axes end in
        # whole runs; what lies behind the image is computed and left out.
        pixels = group.new_zeros(
            (_whole_runs(lines, ACROSS) + 2 * reach, count, _whole_runs(width, ALONG) + 2 * reach),
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
    # The axis of channels stays, even where there is one channel alone.
    return replace(layout, channel=True).restore(result)


def _whole_runs(outputs: int, run: int) -> int:
    return -(-outputs // run) * run


@dataclass(frozen=True)
class _Filters:
    """One scale.

    Attributes:
        reach: half width.
        along: filters along rows [F, 2 reach + 1]: the Gaussian, then cosine and sine of every |cos θ| above 0.
        across: filters along columns, the Gaussian, then cosine and sine of every |sin θ|.
        mean: of the cosine part of every orientation, relative to the Gaussian. Where one axis is the Gaussian alone
            the cosine of the other has it removed already.
    """

    reach: int
    along: np.ndarray
    across: np.ndarray
    mean: tuple[float, ...]


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
        mean.append(float(row_cos.sum() * column_cos.sum()))
        if k == 0:
            row_cos -= mean[k] * gauss
        if 2 * k == orientations:
            column_cos -= mean[k] * gauss
        if 2 * k < orientations:
            along += [row_cos, row_sin]
        if 2 * k <= orientations:
            across += [column_cos, column_sin]
    # A filter pair answers a sinusoid with half its amplitude.
    return _Filters(reach, np.stack(along), 2 * np.stack(across), tuple(mean))


def _responses(pixels: Tensor, scale: _Filters, buffers: Buffers) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Orientation, even and odd response [lines, n, columns] of pixels [lines + 2 reach, n, columns + 2 reach]."""
    lines, count, columns = pixels.shape[0] - 2 * scale.reach, pixels.shape[1], pixels.shape[2] - 2 * scale.reach
    rows = _along_rows(pixels, scale.along, buffers)
    bands = _bands(scale.across, ACROSS, pixels)
    orientations = len(scale.mean)

    def empty() -> Tensor:
        return buffers.take(lines * count * columns, pixels.dtype).view(lines, -1)

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
    """Band matrices [F, run, run + 2 reach]: row r holds a filter from column r on."""
    count, taps = filters.shape
    bands = np.zeros((count, run, run + taps - 1))
    for r in range(run):
        bands[:, r, r : r + taps] = filters
    return torch.from_numpy(bands).to(like)


def _along_rows(pixels: Tensor, filters: np.ndarray, buffers: Buffers) -> Tensor:
    """Filter [lines, n, columns + 2 reach] along its last axis: [F, lines, n · columns]."""
    lines, count, width = pixels.shape
    reach = filters.shape[1] // 2
    columns, stride = width - 2 * reach, pixels.stride(1)
    windows = pixels.as_strided((columns // ALONG, lines * count, ALONG + 2 * reach), (ALONG, stride, 1))
    bands = _bands(filters, ALONG, pixels).flatten(0, 1).T.expand(len(windows), -1, -1)
    room = buffers.take(len(filters) * lines * count * columns, pixels.dtype).view(len(windows), lines * count, -1)
    runs = torch.bmm(windows, bands, out=room).view(len(windows), lines * count, len(filters), ALONG)
    filtered = buffers.take(room.numel(), pixels.dtype)
    filtered.view(len(filters), lines * count, len(windows), ALONG).copy_(runs.permute(2, 1, 0, 3))
    return filtered.view(len(filters), lines, count * columns)


def _across_rows(source: Tensor, band: Tensor, room: Tensor) -> Tensor:
    """Filter [lines + 2 reach, n · columns] along its first axis into ``room``: [lines, n · columns]."""
    run, taps = band.shape
    lines, columns = source.shape[0] - (taps - run), source.shape[1]
    windows = source.as_strided((lines // run, taps, columns), (run * columns, columns, 1), source.storage_offset())
    room = room.view(len(windows), run, columns)
    return torch.bmm(band.expand(len(windows), -1, -1), windows, out=room).view(lines, columns)
