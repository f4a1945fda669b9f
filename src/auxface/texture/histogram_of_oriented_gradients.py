"""Histogram of oriented gradients (HOG).

Dalal and Triggs, "Histograms of oriented gradients for human detection", CVPR 2005.
"""

import functools

import numpy as np
import torch
from torch import Tensor

from auxface.texture.gray_images import (
    ZERO_GRADIENT,
    GrayImages,
    all_gradients,
    as_table,
    gradient_index,
    read_images,
    require_integer,
)
from auxface.texture.registry import Descriptor, Output, register
from auxface.texture.tiles import Buffers, tile_spans

# Votes are integer multiples of this value, so that their sum does not depend on their order; the rounding error is far
# below 1e-5.
VOTE_STEP = 2.0**-24
EPSILON = 1e-5
CLIP = 0.2
BYTES_PER_PIXEL = 48


def histogram_of_oriented_gradients(
    image: GrayImages, orientations: int = 9, cell: int = 8, block: int = 1
) -> GrayImages:
    """Compute histograms of gradient orientations per cell, normalized per block by L2-Hys (Dalal and Triggs, 2005).

    The result agrees with ``skimage.feature.hog(..., block_norm="L2-Hys", feature_vector=False)`` to within 1e-5.
    Gradients are central differences and are 0 at the image's edge. Each gradient votes for one bin, weighted by
    its magnitude. Pixels beyond the last complete cell do not vote.

    Args:
        image: uint8 tensor or array of shape [H, W], [B, H, W] or [B, 1, H, W].
        orientations: number of bins over 180 degrees, from 1 to 180.
        cell: side of a cell in pixels.
        block: side of a block in cells; the stride between blocks is one cell.

    Returns:
        Histograms in [0, 1], float32 [block rows, block columns, block, block, orientations], preceded by the batch and
        channel axes of the input.

    Raises:
        TypeError, ValueError: the image or a parameter is not as described.

    Example:
        >>> stripes = np.tile(np.array([0, 0, 200, 200], np.uint8), (8, 2))
        >>> histogram_of_oriented_gradients(stripes, orientations=2).ravel()
        array([1., 0.], dtype=float32)
    """
    require_integer("orientations", orientations, 1, 180)
    require_integer("cell", cell, 1, 1 << 12)
    require_integer("block", block, 1, 64)
    images, layout = read_images(image)
    height, width = images.shape[1:]
    if min(height, width) < cell * block:
        raise ValueError(
            f"histogram_of_oriented_gradients with cell={cell} and block={block} needs sides of at least "
            f"{cell * block} pixels, got {height} x {width}"
        )
    if images.device.type == "mps":
        cells = _cell_histograms(images.cpu(), orientations, cell).to(images.device)
    else:
        cells = _cell_histograms(images, orientations, cell)
    return layout.restore(_normalized_blocks(cells, block)[:, None])


def plain_cell_histogram(padded: np.ndarray, orientations: int = 9) -> np.ndarray:
    """Compute the unnormalized histogram [orientations] of one cell directly from the definition.

    Args:
        padded: gray values [cell + 2, cell + 2] of a cell, including a margin of one pixel; the cell must not be at the
            image's edge.
        orientations: number of bins over 180 degrees.
    """
    values = padded.astype(np.float64)
    down, right = values[2:, 1:-1] - values[:-2, 1:-1], values[1:-1, 2:] - values[1:-1, :-2]
    bins = np.degrees(np.arctan2(down, right)) % 180 // (180 / orientations)
    magnitude = np.hypot(down, right)
    return np.array([magnitude[bins == k].sum() for k in range(orientations)]) / magnitude.size


def plain_block_norm(histograms: np.ndarray) -> np.ndarray:
    """Normalize the cell histograms of one block by L2-Hys, directly from the definition."""
    normalized = np.minimum(histograms / np.sqrt((histograms**2).sum() + EPSILON**2), CLIP)
    return normalized / np.sqrt((normalized**2).sum() + EPSILON**2)


def _cell_histograms(images: Tensor, orientations: int, cell: int) -> Tensor:
    """Return the mean vote for each orientation in every cell, float32 [B, cell rows, cell columns, orientations]."""
    batch, height, width = images.shape
    rows, columns = height // cell, width // cell
    votes_of, bins_of = _tables(orientations, images.device)
    result = torch.empty((batch, rows, columns, orientations), dtype=torch.float32, device=images.device)
    buffers = Buffers(images.device)
    for first, count, top, lines in tile_spans(batch, rows, columns * cell * cell, images.device, BYTES_PER_PIXEL):
        buffers.restart()
        group = images[first : first + count]
        index = _gradient_indices(group, top * cell, lines * cell, columns * cell, buffers)
        votes, bins = votes_of.index_select(0, index), bins_of.index_select(0, index)
        size = count * lines * columns * orientations
        offset = torch.arange(0, size, orientations, dtype=torch.int32, device=images.device)
        shape = (count, lines, cell, columns, cell)
        bins.view(shape).add_(offset.view(count, lines, 1, columns, 1))
        sums = torch.zeros(size, dtype=torch.float64, device=images.device).index_add_(0, bins, votes)
        result[first : first + count, top : top + lines].copy_(sums.div_(cell * cell).view(count, lines, columns, -1))
    return result


def _gradient_indices(images: Tensor, top: int, lines: int, columns: int, buffers: Buffers) -> Tensor:
    """Return the table index of the gradient (row, column) at each pixel of a range of image lines, flat int32."""
    count, height, width = images.shape
    low, high = max(top - 1, 0), min(top + lines + 1, height)
    pixels = buffers.empty(count * (high - low) * width, torch.int16).view(count, high - low, width)
    pixels.copy_(images[:, low:high])
    down, right = (
        buffers.empty(count * lines * columns, torch.int16).zero_().view(count, lines, columns) for _ in range(2)
    )
    first, last = max(top, 1), min(top + lines, height - 1)
    if last > first:
        here = pixels[:, :, :columns]
        torch.sub(
            here[:, first + 1 - low : last + 1 - low],
            here[:, first - 1 - low : last - 1 - low],
            out=down[:, first - top : last - top],
        )
    inner = pixels[:, top - low : top - low + lines]
    end = min(columns, width - 1)
    if end > 1:
        torch.sub(inner[:, :, 2 : end + 1], inner[:, :, : end - 1], out=right[:, :, 1:end])
    return gradient_index(down.view(-1), right.view(-1), out=buffers.empty(down.numel(), torch.int32))


@functools.lru_cache(maxsize=16)
def _tables(orientations: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the vote (float64) and orientation bin (int32) of every gradient."""
    down, right = all_gradients()
    angle = np.degrees(np.arctan2(down, right)) % 180
    edges = 180.0 / orientations * np.arange(1, orientations)
    bins = np.searchsorted(edges, angle, side="right").astype(np.int32)
    votes = np.round(np.hypot(down, right) / VOTE_STEP) * VOTE_STEP
    assert votes[ZERO_GRADIENT] == 0
    return as_table(votes, device), as_table(bins, device)


def _normalized_blocks(cells: Tensor, block: int) -> Tensor:
    """Normalize sliding blocks by L2-Hys: [B, block rows, block columns, block, block, orientations]."""
    blocks = cells.unfold(1, block, 1).unfold(2, block, 1).permute(0, 1, 2, 4, 5, 3).contiguous()
    blocks = _divide_by_norm(blocks).clamp_(max=CLIP)
    return _divide_by_norm(blocks)


def _divide_by_norm(blocks: Tensor) -> Tensor:
    return blocks.div_(blocks.square().sum(dim=(3, 4, 5), keepdim=True).add_(EPSILON**2).sqrt_())


DESCRIPTOR = register(
    Descriptor(
        name="histogram_of_oriented_gradients",
        function=histogram_of_oriented_gradients,
        output=lambda orientations, cell, block: Output(maps=orientations * block**2, cell=cell),
        reference="Dalal, Triggs, Histograms of oriented gradients for human detection, CVPR 2005",
    )
)
