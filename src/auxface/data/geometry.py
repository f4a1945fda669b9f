"""Crops and turns of a batch of pictures, one per picture, as tensor operations that run on any device."""

import torch
import torch.nn.functional as functional
from torch import Tensor


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


def crop_resize(pictures: Tensor, boxes: Tensor, flipped: Tensor, size: int) -> Tensor:
    """Cut a box from each picture and scale it, antialiased (triangle filter), float32 [B, C, size, size].

    Scaling along an axis is linear, so each picture is multiplied by one weight matrix per axis.

    Args:
        pictures: uint8 or float [B, C, S, S].
        boxes: [B, 4] left, top, width, height in pixels.
        flipped: bool [B], mirrored left to right.
        size: side of the result.
    """
    source = pictures.shape[-1]
    across = _weights(boxes[:, 0], boxes[:, 2], source, size)
    across = torch.where(flipped[:, None, None], across.flip(1), across)
    down = _weights(boxes[:, 1], boxes[:, 3], source, size)
    batch, channels = pictures.shape[:2]
    rows = torch.bmm(pictures.reshape(batch, channels * source, source).float(), across.transpose(1, 2))
    rows = rows.reshape(batch, channels, source, size)
    return torch.matmul(down[:, None], rows)


def _weights(start: Tensor, length: Tensor, source: int, size: int) -> Tensor:
    """Weight of each source pixel in each result pixel, [B, size, source]; rows sum to one."""
    step = (length / size)[:, None, None]
    reach = step.clamp(min=1)
    centres = start[:, None, None] + (torch.arange(size, device=start.device)[None, :, None] + 0.5) * step
    pixels = torch.arange(source, device=start.device)[None, None, :] + 0.5
    weights = (1 - (pixels - centres).abs() / reach).clamp(min=0)
    return weights / weights.sum(2, keepdim=True)


def warp(pictures: Tensor, matrices: Tensor, fill: float) -> Tensor:
    """Move each picture by an affine map about its centre, bilinear, float32 [B, C, S, S].

    Args:
        pictures: float [B, C, S, S].
        matrices: [B, 2, 3] from result to source coordinates, both in -1..1.
        fill: value where the source has no pixel.
    """
    grid = functional.affine_grid(matrices, list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures - fill, grid, padding_mode="zeros", align_corners=False) + fill
