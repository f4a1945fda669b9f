"""Runs a per-pixel operator over a batch in tiles that stay in cache, with bounded working memory.

A tile is a stretch of padded pixels laid out as one flat row: the neighbor at (row, column) is then the same row
shifted by ``row * width + column``, every operation runs over one contiguous stretch, and the few positions that
straddle two lines are computed and left out when the tile is cut to its place in the result.

Runs an operator whose support is a small square of whole pixels.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from auxface.texture.images import GrayImages, read_images, require_border, require_size

# Large enough that a tile's work outweighs calling it, small enough for the third level cache of current processors.
CACHE_BYTES = 12 << 20
# Working memory stays below this many times the input's bytes, whatever the operator.
MEMORY_RATIO = 12
SMALLEST_TILE = 4096

EIGHT = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))
"""Offsets (row, column) of the eight neighbors, counter-clockwise from East: the bit order of every code."""


class Buffers:
    """Working memory handed out in the same order for every tile, so that it is allocated and paged in once."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._held: list[Tensor] = []
        self._next = 0

    def restart(self) -> None:
        """Hand out from the first buffer again."""
        self._next = 0

    def take(self, length: int, dtype: torch.dtype) -> Tensor:
        """An uninitialized 1-D tensor; valid until :meth:`restart`."""
        position, self._next = self._next, self._next + 1
        if position == len(self._held):
            self._held.append(torch.empty(length, dtype=dtype, device=self._device))
        held = self._held[position]
        if held.dtype != dtype or held.numel() < length:
            held = self._held[position] = torch.empty(length, dtype=dtype, device=self._device)
        return held[:length]


class Tile:
    """Padded pixels [n, rows + 2 radius, width] as one flat row of uint8, and buffers to compute in.

    ``length`` counts the positions between the first and the last pixel that has all its neighbors.
    """

    def __init__(self, padded: Tensor, radius: int, buffers: Buffers) -> None:
        self.width = padded.shape[2]
        self.flat = padded.reshape(-1)
        self.radius = radius
        self.origin = radius * self.width + radius
        self.length = self.flat.numel() - 2 * self.origin
        self._buffers = buffers

    def at(self, row: int, column: int, source: Tensor | None = None) -> Tensor:
        """Every pixel's neighbor at that offset: a view [length] of ``source`` (a full row; default: the pixels)."""
        start = self.origin + row * self.width + column
        return (self.flat if source is None else source)[start : start + self.length]

    def empty(self, dtype: torch.dtype, length: int | None = None) -> Tensor:
        """A buffer of ``length`` (default: the tile's), uninitialized."""
        return self._buffers.take(self.length if length is None else length, dtype)

    def cast(self, dtype: torch.dtype) -> Tensor:
        """The flat pixels in another dtype, a full row."""
        return self.empty(dtype, self.flat.numel()).copy_(self.flat)


Kernel = Callable[[Tile], Sequence[Tensor]]


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
    """Apply ``kernel`` to images [B, H, W]; maps [B, M, H', W'] of ``dtype``.

    Args:
        images: uint8.
        kernel: takes a tile and gives ``maps`` 1-D tensors of its length.
        radius: support radius of the operator.
        border: ``reflect`` (H' = H) or ``valid`` (H' = H - 2 radius).
        maps: maps per image.
        dtype: of the result.
        bytes_per_pixel: working memory that the kernel takes for each pixel of a tile.
    """
    if images.device.type == "mps":
        # That device has no double precision, on which some operators rest.
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
        padded = _padded(images[first : first + count], margin, top, lines + 2 * radius, buffers)
        tile = Tile(padded, radius, buffers)
        strides = ((lines + 2 * radius) * tile.width, tile.width, 1)
        for index, values in enumerate(kernel(tile)):
            cut = values.as_strided((count, lines, columns), strides)
            result[first : first + count, index, top : top + lines].copy_(cut)
    return result


def tile_spans(
    batch: int, rows: int, width: int, device: torch.device, bytes_per_pixel: int
) -> Iterator[tuple[int, int, int, int]]:
    """Cut a batch of ``rows`` x ``width`` images into tiles: (first image, images, first row, rows)."""
    pixels = batch * rows * width
    wanted = max(MEMORY_RATIO * pixels // bytes_per_pixel, SMALLEST_TILE)
    if torch.compiler.is_compiling():
        wanted = pixels
    elif device.type == "cpu":
        wanted = min(wanted, max(CACHE_BYTES // bytes_per_pixel, SMALLEST_TILE))
    images = min(max(wanted // (rows * width), 1), batch)
    lines = min(max(wanted // width, 1), rows) if images == 1 else rows
    # As many tiles, all of about one size: a last small one would cost its calls for little.
    images, lines = -(-batch // -(-batch // images)), -(-rows // -(-rows // lines))
    for first in range(0, batch, images):
        for top in range(0, rows, lines):
            yield first, min(images, batch - first), top, min(lines, rows - top)


def _padded(images: Tensor, margin: int, top: int, lines: int, buffers: Buffers) -> Tensor:
    count, _, width = images.shape
    room = buffers.take(count * lines * (width + 2 * margin), images.dtype)
    return mirrored(images, margin, top, lines, room.view(count, lines, width + 2 * margin))


def real_maps(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Uninitialized float32 memory for many real maps."""
    if device.type == "cpu" and not torch.compiler.is_compiling():
        # NumPy asks the system for large pages. Twelve real maps are 48 times their image: touching so many small pages
        # for the first time takes longer than most operators.
        return torch.from_numpy(np.empty(shape, np.float32))
    return torch.empty(shape, dtype=torch.float32, device=device)


def mirrored(images: Tensor, margin: int, top: int, lines: int, room: Tensor | None = None) -> Tensor:
    """Lines ``top`` .. ``top + lines`` of images [n, H, W] mirrored by ``margin`` without repeating the edge.

    Args:
        images: of any dtype; both sides above ``margin``.
        margin: pixels added on every side.
        top: first line wanted, counted in the mirrored image.
        lines: lines wanted.
        room: where to write [n, lines, W + 2 margin]; default: new memory.
    """
    count, height, width = images.shape
    padded = images.new_empty((count, lines, width + 2 * margin)) if room is None else room
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


def apply_square(
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
    """Check and read ``image``, run ``kernel`` over it and hand the maps back in the layout of the input.

    Args:
        image: what the caller passed.
        kernel: the operator on one tile.
        border: ``reflect`` or ``valid``.
        name: of the operator, for errors.
        bytes_per_pixel: working memory of the kernel for each pixel of a tile.
        radius: of the square.
        maps: maps per image.
        dtype: of the maps.

    Raises:
        TypeError, ValueError: an image that is not gray, too small, or an unknown border.
    """
    require_border(border, ("reflect", "valid"))
    images, layout = read_images(image)
    require_size(tuple(images.shape[1:]), radius, border, name)
    result = map_pixels(
        images, kernel, radius=radius, border=border, maps=maps, dtype=dtype, bytes_per_pixel=bytes_per_pixel
    )
    return layout.restore(result)
