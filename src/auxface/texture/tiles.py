"""Application of per-pixel operators to batches of images, in tiles that fit the processor's cache.

A tile is a range of padded image lines stored as one flat row. The neighbors of all pixels at offset (row, column) are
then the same flat row shifted by ``row * width + column``, so every operation runs over contiguous memory. The few
positions that span the end of one line and the start of the next line are also computed; they are dropped when the tile
is copied to the result.

Example:
    >>> def darker_east(tile):
    ...     return [torch.lt(tile.at(0, 1), tile.at(0, 0)).to(torch.uint8)]
    >>> image = torch.tensor([[1, 5, 3], [4, 4, 4], [9, 0, 9]], dtype=torch.uint8)
    >>> apply_kernel(image, darker_east, "reflect", "darker_east", bytes_per_pixel=2)
    tensor([[0, 1, 0],
            [0, 0, 0],
            [1, 0, 1]], dtype=torch.uint8)
"""

import functools
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from auxface.texture.gray_images import GrayImages, read_images, require_border, require_size

# Candidate sizes of a tile's working set, and the size up to which a pass does not justify measuring them, in bytes.
_CACHE_BYTES = (12 << 20, 8 << 20, 4 << 20, 2 << 20, 1 << 20)
_SMALL_BATCH_BYTES = 4 << 20
# Working memory stays below this multiple of the input's bytes.
MEMORY_RATIO = 12
SMALLEST_TILE = 4096
# A tile of a small batch may have this many pixels even if its working memory then exceeds MEMORY_RATIO, because more
# tiles would require more calls.
_SMALL_BATCH_PIXELS = 1 << 16

EIGHT = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))
"""Offsets (row, column) of the eight neighbors, counterclockwise from East: the bit order of every code."""


class Buffers:
    """Working memory that is allocated for the first tile and reused in the same order for later tiles."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._allocated: list[Tensor] = []
        self._next = 0

    def restart(self) -> None:
        """Return to the first buffer; earlier results become invalid."""
        self._next = 0

    def empty(self, length: int, dtype: torch.dtype) -> Tensor:
        """Return an uninitialized 1-D tensor, valid until :meth:`restart`."""
        position, self._next = self._next, self._next + 1
        if position == len(self._allocated):
            self._allocated.append(torch.empty(length, dtype=dtype, device=self._device))
        buffer = self._allocated[position]
        if buffer.dtype != dtype or buffer.numel() < length:
            buffer = self._allocated[position] = torch.empty(length, dtype=dtype, device=self._device)
        return buffer[:length]


class Tile:
    """Padded lines of one or more images as one flat row, and buffers for intermediate results.

    Attributes:
        flat: padded pixels [n, rows + 2 radius, width] as one flat uint8 row.
        width: length of a padded line.
        radius: support radius of the operator.
        origin: position of the first pixel that has all its neighbors.
        length: number of positions from the first to the last pixel that has all its neighbors.
    """

    def __init__(self, padded: Tensor, radius: int, buffers: Buffers) -> None:
        self.width = padded.shape[2]
        self.flat = padded.reshape(-1)
        self.radius = radius
        self.origin = radius * self.width + radius
        self.length = self.flat.numel() - 2 * self.origin
        self._buffers = buffers

    def at(self, row: int, column: int, source: Tensor | None = None) -> Tensor:
        """Return the neighbor at an offset for every pixel, as a view [length] of ``source`` (default: the pixels)."""
        start = self.origin + row * self.width + column
        return (self.flat if source is None else source)[start : start + self.length]

    def empty(self, dtype: torch.dtype, length: int | None = None) -> Tensor:
        """Return an uninitialized buffer of ``length`` elements (default: the length of the tile)."""
        return self._buffers.empty(self.length if length is None else length, dtype)

    def cast(self, dtype: torch.dtype) -> Tensor:
        """Return a copy of the whole flat row of pixels with another dtype."""
        return self.empty(dtype, self.flat.numel()).copy_(self.flat)


Kernel = Callable[[Tile], Sequence[Tensor]]
"""Function that computes the maps of one tile, each as a 1-D tensor of the tile's length."""


def apply_kernel(
    image: GrayImages,
    kernel: Kernel,
    border: str,
    name: str,
    *,
    bytes_per_pixel: int,
    radius: int = 1,
    maps: int = 1,
    dtype: torch.dtype = torch.uint8,
) -> GrayImages:
    """Validate the caller's images, apply a kernel to them, and return the maps in the layout of the input.

    Args:
        image: gray images as the caller passed them.
        kernel: operator that computes the maps of one tile.
        border: ``reflect`` or ``valid``.
        name: name of the descriptor, for messages.
        bytes_per_pixel: working memory that the kernel needs for each pixel of a tile.
        radius: support radius in pixels; the support is a square.
        maps: number of maps per image.
        dtype: dtype of the maps.

    Raises:
        TypeError, ValueError: the image is not gray or too small, or the border rule is unknown.
    """
    require_border(border, ("reflect", "valid"))
    images, layout = read_images(image)
    require_size(tuple(images.shape[1:]), radius, border, name)
    result = map_pixels(
        images, kernel, radius=radius, border=border, maps=maps, dtype=dtype, bytes_per_pixel=bytes_per_pixel
    )
    return layout.restore(result)


def map_pixels(
    images: Tensor,
    kernel: Kernel,
    *,
    radius: int,
    border: str,
    maps: int,
    dtype: torch.dtype,
    bytes_per_pixel: int,
) -> Tensor:
    """Apply a kernel to uint8 images [B, H, W] and return maps [B, M, H', W'] of ``dtype``.

    H' is H for ``reflect`` and H - 2 radius for ``valid``. The other arguments are documented in :func:`apply_kernel`.
    """
    if images.device.type == "mps":
        # Some operators need double precision, which this device does not support.
        on_host = map_pixels(
            images.cpu(), kernel, radius=radius, border=border, maps=maps, dtype=dtype, bytes_per_pixel=bytes_per_pixel
        )
        return on_host.to(images.device)
    batch, height, width = images.shape
    margin = radius if border == "reflect" else 0
    rows, columns = height + 2 * (margin - radius), width + 2 * (margin - radius)
    result = torch.empty((batch, maps, max(rows, 0), max(columns, 0)), dtype=dtype, device=images.device)
    if result.numel() == 0:
        return result
    buffers = Buffers(images.device)
    for first, count, top, lines in tile_spans(batch, rows, width + 2 * margin, images.device, bytes_per_pixel):
        buffers.restart()
        shape = (count, lines + 2 * radius, width + 2 * margin)
        out = buffers.empty(shape[0] * shape[1] * shape[2], images.dtype).view(shape)
        tile = Tile(mirrored(images[first : first + count], margin, top, shape[1], out=out), radius, buffers)
        strides = (shape[1] * tile.width, tile.width, 1)
        for index, values in enumerate(kernel(tile)):
            cut = values.as_strided((count, lines, columns), strides)
            result[first : first + count, index, top : top + lines].copy_(cut)
    return result


def tile_spans(
    batch: int, rows: int, width: int, device: torch.device, bytes_per_pixel: int
) -> Iterator[tuple[int, int, int, int]]:
    """Yield the tiles of a batch of ``rows`` x ``width`` images as (first image, image count, first row, row count)."""
    total = batch * rows * width
    pixels = max(MEMORY_RATIO * total // bytes_per_pixel, _SMALL_BATCH_PIXELS)
    if torch.compiler.is_compiling():
        pixels = total
    elif device.type == "cpu":
        cache = cache_bytes() if total * bytes_per_pixel > _SMALL_BATCH_BYTES else _SMALL_BATCH_BYTES
        pixels = min(pixels, max(cache // bytes_per_pixel, SMALLEST_TILE))
    images = min(max(pixels // (rows * width), 1), batch)
    lines = min(max(pixels // width, 1), rows) if images == 1 else rows
    # The number of tiles stays the same, but their sizes are equalized: a small last tile requires as many calls as a
    # large tile.
    images, lines = -(-batch // -(-batch // images)), -(-rows // -(-rows // lines))
    for first in range(0, batch, images):
        for top in range(0, rows, lines):
            yield first, min(images, batch - first), top, min(lines, rows - top)


@functools.cache
def cache_bytes() -> int:
    """Return the fastest working-set size of a tile on this machine, measured once per process in about 20 ms.

    A few operations on vectors that fill the working set are timed, and the times per byte are compared. The cache size
    that a virtual machine reports does not show how much of a shared cache the machine can use.
    """
    seconds: dict[int, float] = {}
    with torch.inference_mode():
        for size in _CACHE_BYTES:
            first, second, third = (torch.zeros(size // 6, dtype=torch.int16) for _ in range(3))
            times = []
            for _ in range(4):
                start = time.perf_counter()
                for _ in range(max(_CACHE_BYTES[0] // size // 2, 1)):
                    torch.add(first, second, out=third)
                    torch.add(third, first, out=second)
                times.append((time.perf_counter() - start) / (max(_CACHE_BYTES[0] // size // 2, 1) * size))
            seconds[size] = min(times)
    # The largest size whose time is within 10% of the fastest requires the fewest calls.
    return next(size for size in _CACHE_BYTES if seconds[size] < 1.1 * min(seconds.values()))


def mirrored(images: Tensor, margin: int, top: int, lines: int, *, out: Tensor | None = None) -> Tensor:
    """Pad images by reflection, without repeating the edge, and return a range of their lines.

    Args:
        images: images [n, H, W] of any dtype; both sides must exceed ``margin``.
        margin: number of pixels added on every side.
        top: index of the first line to return, counted in the padded image.
        lines: number of lines to return.
        out: tensor for the result; by default, a new tensor is allocated.

    Returns:
        Padded lines [n, lines, W + 2 margin] of the same dtype.
    """
    count, height, width = images.shape
    padded = images.new_empty((count, lines, width + 2 * margin)) if out is None else out
    inner = padded[:, :, margin : margin + width]
    first, last = max(top - margin, 0), min(top + lines - margin, height)
    inner[:, first + margin - top : last + margin - top].copy_(images[:, first:last])
    for line in (*range(top, min(margin, top + lines)), *range(max(top, height + margin), top + lines)):
        source = abs(line - margin)
        inner[:, line - top].copy_(images[:, source if source < height else 2 * (height - 1) - source])
    for k in range(1, margin + 1):
        padded[:, :, margin - k].copy_(padded[:, :, margin + k])
        padded[:, :, margin + width - 1 + k].copy_(padded[:, :, margin + width - 1 - k])
    return padded


def empty_real_maps(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Return an uninitialized float32 tensor for many real-valued maps."""
    if device.type == "cpu" and not torch.compiler.is_compiling():
        # NumPy requests large memory pages. Twelve real-valued maps take 48 times as much memory as their image, and
        # with small pages, the first write to this memory takes longer than most operators.
        return torch.from_numpy(np.empty(shape, np.float32))
    return torch.empty(shape, dtype=torch.float32, device=device)
