"""Crops, turns and shifts of a batch of pictures, one per picture, as tensor operations that run on any device."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor


@dataclass(frozen=True)
class Kernel:
    """A filter for scaling.

    Attributes:
        weight: of a pixel at a distance, in pixels of the coarser grid.
        reach: distance from which the weight is zero.
    """

    weight: Callable[[Tensor], Tensor]
    reach: float


def _cubic(distance: Tensor) -> Tensor:
    near = (1.5 * distance - 2.5) * distance * distance + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return torch.where(distance < 1, near, torch.where(distance < 2, far, torch.zeros_like(distance)))


TRIANGLE = Kernel(lambda distance: (1 - distance).clamp(min=0), 1.0)
"""What "bilinear with antialiasing" means; never overshoots, so it makes no texture."""
CUBIC = Kernel(_cubic, 2.0)
"""Keys' (1981) cubic with a = -0.5, as Pillow's bicubic."""


def random_boxes(chance: Tensor, size: int, *, area: tuple[float, float], ratio: tuple[float, float]) -> Tensor:
    """A random rectangle inside each picture, float32 [B, 4]: left, top, width, height in pixels.

    Args:
        chance: [B, 4] uniform numbers.
        size: side of the pictures.
        area: range of the share of the picture that is kept.
        ratio: range of width / height, drawn evenly in its logarithm (Szegedy et al., 2015).
    """
    kept = area[0] + (area[1] - area[0]) * chance[:, 0]
    low, high = torch.tensor(ratio, device=chance.device).log()
    shape = torch.exp(low + (high - low) * chance[:, 1]).sqrt()
    # Where the shape does not fit into the picture it is cut to it, as a redraw would need state.
    width = (kept.sqrt() * shape).clamp(max=1) * size
    height = (kept.sqrt() / shape).clamp(max=1) * size
    return torch.stack([chance[:, 2] * (size - width), chance[:, 3] * (size - height), width, height], 1)


def crop_resize(pictures: Tensor, boxes: Tensor, flipped: Tensor, size: int, kernel: Kernel = TRIANGLE) -> Tensor:
    """Cut a box from each picture and scale it, antialiased, float32 [B, C, size, size].

    Scaling along an axis is linear, so each picture is multiplied by one weight matrix per axis.

    Args:
        pictures: uint8 or float [B, C, S, S].
        boxes: [B, 4] left, top, width, height in pixels.
        flipped: bool [B], mirrored left to right.
        size: side of the result.
        kernel: how pixels between others are made.
    """
    source = pictures.shape[-1]
    across = _weights(boxes[:, 0], boxes[:, 2], source, size, kernel)
    across = torch.where(flipped[:, None, None], across.flip(1), across)
    down = _weights(boxes[:, 1], boxes[:, 3], source, size, kernel)
    batch, channels = pictures.shape[:2]
    rows = torch.bmm(pictures.reshape(batch, channels * source, source).float(), across.transpose(1, 2))
    return torch.matmul(down[:, None], rows.reshape(batch, channels, source, size))


def resize(pictures: Tensor, size: int, kernel: Kernel = TRIANGLE) -> Tensor:
    """Scale whole pictures, antialiased, float32 [B, C, size, size]."""
    count, source = len(pictures), pictures.shape[-1]
    boxes = torch.tensor([0.0, 0.0, source, source], device=pictures.device).expand(count, 4)
    return crop_resize(pictures, boxes, torch.zeros(count, dtype=torch.bool, device=pictures.device), size, kernel)


def _weights(start: Tensor, length: Tensor, source: int, size: int, kernel: Kernel) -> Tensor:
    """Weight of each source pixel in each result pixel, [B, size, source]; rows sum to one."""
    step = (length / size)[:, None, None]
    coarse = step.clamp(min=1)
    centres = start[:, None, None] + (torch.arange(size, device=start.device)[None, :, None] + 0.5) * step
    pixels = torch.arange(source, device=start.device)[None, None, :] + 0.5
    weights = kernel.weight((pixels - centres).abs() / coarse)
    return weights / weights.sum(2, keepdim=True)


def shift_flip(pictures: Tensor, across: Tensor, down: Tensor, flipped: Tensor) -> Tensor:
    """Move each picture by whole pixels, repeating its edge, then mirror it where asked; no pixel value changes.

    Args:
        pictures: [B, C, H, W] of any type.
        across: int64 [B], to the left.
        down: int64 [B], upwards.
        flipped: bool [B].
    """
    height, width = pictures.shape[2:]
    columns = (torch.arange(width, device=pictures.device) + across[:, None]).clamp(0, width - 1)
    columns = torch.where(flipped[:, None], columns.flip(1), columns)
    rows = (torch.arange(height, device=pictures.device) + down[:, None]).clamp(0, height - 1)
    which = torch.arange(len(pictures), device=pictures.device)[:, None, None]
    # Indexing puts the channels last.
    return pictures[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


def affine(*, turn: Tensor, shear_x: Tensor, shear_y: Tensor, move_x: Tensor, move_y: Tensor) -> Tensor:
    """Affine maps from result to source, both in -1..1 about the middle, float32 [B, 3, 3].

    Args:
        turn: [B] radians.
        shear_x: [B] horizontal shift per unit of height.
        shear_y: [B] vertical shift per unit of width.
        move_x: [B] share of the width.
        move_y: [B] share of the height.
    """
    one, zero = torch.ones_like(turn), torch.zeros_like(turn)
    cos, sin = turn.cos(), turn.sin()
    rotation = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], 1)
    other = torch.stack([one, shear_x, 2 * move_x, shear_y, one, 2 * move_y, zero, zero, one], 1)
    return rotation.view(-1, 3, 3) @ other.view(-1, 3, 3)


def warp(pictures: Tensor, maps: Tensor, fill: float) -> Tensor:
    """Move each picture by an affine map, bilinear, float32 [B, C, H, W].

    Args:
        pictures: float [B, C, H, W].
        maps: [B, 3, 3] of :func:`affine`.
        fill: value where the source has no pixel.
    """
    grid = functional.affine_grid(maps[:, :2], list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures - fill, grid, padding_mode="zeros", align_corners=False) + fill
