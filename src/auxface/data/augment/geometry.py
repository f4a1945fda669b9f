"""Cropping, resizing, shifting, mirroring and warping with separate parameters for each image, on any device.

For each operation that moves pixels, a function returns the affine map from the result to the source, in continuous
pixel coordinates: the center of the pixel in column c and row r is at (c + 0.5, r + 0.5). Maps are float32 [B, 3, 3].
``first @ second`` is the map of the operation ``first`` followed by ``second``.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor


@dataclass(frozen=True)
class Kernel:
    """A filter for resizing.

    Attributes:
        weight: filter weight as a function of the distance in pixels of the coarser grid.
        mode: name of the filter in ``torch.nn.functional.interpolate``.
    """

    weight: Callable[[Tensor], Tensor]
    mode: str


def _cubic(distance: Tensor) -> Tensor:
    near = (1.5 * distance - 2.5) * distance * distance + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return torch.where(distance < 1, near, torch.where(distance < 2, far, torch.zeros_like(distance)))


TRIANGLE = Kernel(lambda distance: (1 - distance).clamp(min=0), "bilinear")
"""Bilinear filter with antialiasing, which never overshoots and therefore adds no texture."""
CUBIC = Kernel(_cubic, "bicubic")
"""Cubic filter of Keys (1981) with a = -0.5, as in Pillow's bicubic."""


def random_boxes(chance: Tensor, size: int, *, area: tuple[float, float], ratio: tuple[float, float]) -> Tensor:
    """Return a random box inside each image as left, top, width and height in pixels, float32 [B, 4].

    Args:
        chance: uniform random numbers in [0, 1), [B, 4].
        size: side of the images in pixels.
        area: minimum and maximum fraction of the image that the box covers.
        ratio: minimum and maximum ratio of width to height, drawn log-uniformly (Szegedy et al., 2015).
    """
    kept = area[0] + (area[1] - area[0]) * chance[:, 0]
    low, high = torch.tensor(ratio, device=chance.device).log()
    shape = torch.exp(low + (high - low) * chance[:, 1]).sqrt()
    # A box larger than the image is clipped. Drawing again, as torchvision does, would require a random state.
    width = (kept.sqrt() * shape).clamp(max=1) * size
    height = (kept.sqrt() / shape).clamp(max=1) * size
    return torch.stack([chance[:, 2] * (size - width), chance[:, 3] * (size - height), width, height], 1)


def whole_pixels(boxes: Tensor, size: int) -> Tensor:
    """Round boxes from :func:`random_boxes` to whole pixels, at least one pixel in each direction, int64 [B, 4]."""
    start = boxes[:, :2].round().clamp(max=size - 1)
    length = torch.minimum(boxes[:, 2:].round().clamp(min=1), size - start)
    return torch.cat([start, length], 1).long()


def crop_resize(images: Tensor, boxes: Tensor, flipped: Tensor, size: int, kernel: Kernel = TRIANGLE) -> Tensor:
    """Crop a box from each image and resize it with antialiasing, uint8 [B, C, size, size].

    As in Pillow and torchvision, pixels outside the box have no effect, and values are rounded between the horizontal
    and vertical passes. Results on the CPU and on other devices differ by at most two gray levels.

    Args:
        images: images to crop, uint8 [B, C, S, S].
        boxes: left, top, width and height of the boxes in pixels, int64 [B, 4].
        flipped: whether to mirror each result left to right, bool [B].
        size: side of the result in pixels.
        kernel: resizing filter.
    """
    if images.device.type == "cpu":
        return _crop_bytes(images, boxes, flipped, size, kernel)
    scaled = _scaled(images, boxes, size, kernel).round().clamp(0, 255).to(torch.uint8)
    return torch.where(flipped[:, None, None, None], scaled.flip(3), scaled)


def crop_map(boxes: Tensor, flipped: Tensor, size: int) -> Tensor:
    """Return the affine map from the result of :func:`crop_resize` to its source, float32 [B, 3, 3]."""
    left, top, width, height = boxes.float().unbind(1)
    zero, one = torch.zeros_like(left), torch.ones_like(left)
    x_scale = torch.where(flipped, -width, width) / size
    x_start = torch.where(flipped, left + width, left)
    return torch.stack([x_scale, zero, x_start, zero, height / size, top, zero, zero, one], 1).view(-1, 3, 3)


def _crop_bytes(images: Tensor, boxes: Tensor, flipped: Tensor, size: int, kernel: Kernel) -> Tensor:
    """Crop and resize on the CPU, where torch resizes channels-last bytes several times faster than floats.

    OpenCV interleaves and separates the channels in a tenth of the time required by torch.
    """
    source = images.numpy()
    result = np.empty((*source.shape[:2], size, size), np.uint8)
    for row, ((left, top, width, height), mirrored) in enumerate(zip(boxes.tolist(), flipped.tolist(), strict=True)):
        pixels = cv2.merge(list(source[row, :, top : top + height, left : left + width]))
        cut = torch.from_numpy(pixels).view(1, height, width, -1).permute(0, 3, 1, 2)
        scaled = functional.interpolate(cut, size=(size, size), mode=kernel.mode, antialias=True)
        made = scaled[0].permute(1, 2, 0).numpy()
        cv2.split(cv2.flip(made, 1) if mirrored else made, list(result[row]))
    return torch.from_numpy(result)


def fractional_map(maps: Tensor, *, source: int, size: int) -> Tensor:
    """Convert result-to-source affine maps from pixel coordinates to fractions of width and height, [B, 2, 3].

    Args:
        maps: affine maps in pixel coordinates.
        source: side of the source in pixels.
        size: side of the result in pixels.
    """
    return torch.cat([maps[:, :, :2] * size, maps[:, :, 2:]], dim=2) / source


def resize(images: Tensor, size: int, kernel: Kernel = TRIANGLE) -> Tensor:
    """Resize whole images with antialiasing, float32 [B, C, size, size]."""
    source = images.shape[-1]
    whole = torch.tensor([[0, 0, source, source]], device=images.device)
    matrix = _weights(whole[:, 0], whole[:, 2], source, size, kernel)[0]
    return matrix @ (images.float() @ matrix.T)


def _scaled(images: Tensor, boxes: Tensor, size: int, kernel: Kernel) -> Tensor:
    """Crop and resize on any device by multiplying each image by one weight matrix per axis."""
    source = images.shape[-1]
    across = _weights(boxes[:, 0], boxes[:, 2], source, size, kernel)
    down = _weights(boxes[:, 1], boxes[:, 3], source, size, kernel)
    batch, channels = images.shape[:2]
    rows = torch.bmm(images.reshape(batch, channels * source, source).float(), across.transpose(1, 2))
    rows = rows.round().clamp(0, 255).reshape(batch, channels, source, size)
    return torch.matmul(down[:, None], rows)


def _weights(start: Tensor, length: Tensor, source: int, size: int, kernel: Kernel) -> Tensor:
    """Return the weight of each source pixel in each result pixel, [B, size, source]; rows sum to 1."""
    start, length = start[:, None, None], length[:, None, None]
    step = length / size
    centers = start + (torch.arange(size, device=start.device)[None, :, None] + 0.5) * step
    pixels = torch.arange(source, device=start.device)[None, None, :] + 0.5
    inside = (pixels > start) & (pixels < start + length)
    weights = kernel.weight((pixels - centers).abs() / step.clamp(min=1)) * inside
    return weights / weights.sum(2, keepdim=True)


def shift_flip(images: Tensor, across: Tensor, down: Tensor, flipped: Tensor) -> Tensor:
    """Shift each image by whole pixels, replicating its edge, and mirror it if requested, without interpolation.

    Args:
        images: images [B, C, H, W] of any dtype.
        across: number of pixels to shift to the left, int64 [B].
        down: number of pixels to shift upwards, int64 [B].
        flipped: whether to mirror each image left to right, bool [B].
    """
    height, width = images.shape[2:]
    columns = (torch.arange(width, device=images.device) + across[:, None]).clamp(0, width - 1)
    columns = torch.where(flipped[:, None], columns.flip(1), columns)
    rows = (torch.arange(height, device=images.device) + down[:, None]).clamp(0, height - 1)
    which = torch.arange(len(images), device=images.device)[:, None, None]
    # Advanced indexing moves the channels to the end.
    return images[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


def shift_flip_map(across: Tensor, down: Tensor, flipped: Tensor, width: int) -> Tensor:
    """Return the affine map from the result of :func:`shift_flip` to its source, float32 [B, 3, 3]."""
    x_start = across.float() + torch.where(flipped, float(width), 0.0)
    zero, one = torch.zeros_like(x_start), torch.ones_like(x_start)
    x_scale = torch.where(flipped, -one, one)
    return torch.stack([x_scale, zero, x_start, zero, one, down.float(), zero, zero, one], 1).view(-1, 3, 3)


def affine(*, rotation: Tensor, shear_x: Tensor, shear_y: Tensor, translate_x: Tensor, translate_y: Tensor) -> Tensor:
    """Return affine maps from the result to the source for :func:`warp`, float32 [B, 3, 3].

    Positions are normalized: -1 and 1 are the edges of the image, and 0 is its center.

    Args:
        rotation: angles in radians, [B].
        shear_x: horizontal shifts per unit of height, [B].
        shear_y: vertical shifts per unit of width, [B].
        translate_x: horizontal shifts as fractions of the width, [B].
        translate_y: vertical shifts as fractions of the height, [B].
    """
    one, zero = torch.ones_like(rotation), torch.zeros_like(rotation)
    cos, sin = rotation.cos(), rotation.sin()
    rotated = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], 1)
    other = torch.stack([one, shear_x, 2 * translate_x, shear_y, one, 2 * translate_y, zero, zero, one], 1)
    return rotated.view(-1, 3, 3) @ other.view(-1, 3, 3)


def warp(images: Tensor, maps: Tensor, fill: float) -> Tensor:
    """Apply an affine map to each image with bilinear interpolation, float32 [B, C, H, W].

    Args:
        images: images to warp, float [B, C, H, W].
        maps: affine maps from :func:`affine`, [B, 3, 3].
        fill: value of pixels outside the source.
    """
    grid = functional.affine_grid(maps[:, :2], list(images.shape), align_corners=False)
    return functional.grid_sample(images - fill, grid, padding_mode="zeros", align_corners=False) + fill


def warp_map(maps: Tensor, size: int) -> Tensor:
    """Convert maps for :func:`warp` to pixel coordinates, float32 [B, 3, 3], for square images of side ``size``."""
    half = size / 2
    to_unit = torch.tensor([[1 / half, 0, -1], [0, 1 / half, -1], [0, 0, 1]], device=maps.device)
    to_pixels = torch.tensor([[half, 0, half], [0, half, half], [0, 0, 1]], device=maps.device)
    return to_pixels @ maps @ to_unit
