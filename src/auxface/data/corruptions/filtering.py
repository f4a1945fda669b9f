"""Filters and random fields; the result for an image does not depend on the other images of the batch."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from auxface.data.corruptions.registry import PUBLISHED_SIZE


def scale_of(images: Tensor) -> float:
    """Return the shorter side divided by 224, the factor by which published lengths are scaled."""
    return min(images.shape[-2:]) / PUBLISHED_SIZE


def random_fields(seeds: Tensor, draw: Callable[[torch.Generator], Tensor], device: torch.device) -> Tensor:
    """Draw one tensor per seed on the CPU, so that the result is the same on every device, and stack the tensors."""
    drawn = []
    for seed in seeds.tolist():
        generator = torch.Generator()
        generator.manual_seed(seed % 2**63)
        drawn.append(draw(generator))
    return torch.stack(drawn).to(device)


def gaussian_blur(images: Tensor, sigma: float) -> Tensor:
    """Blur images [B, C, H, W] of any float dtype with a Gaussian truncated at 4 sigma, mirroring the borders."""
    if sigma < 0.05:
        return images
    radius = min(max(math.ceil(4 * sigma), 1), min(images.shape[-2:]) - 1)
    weights = [math.exp(-0.5 * (offset / sigma) ** 2) for offset in range(-radius, radius + 1)]
    total = sum(weights)
    padded = F.pad(images, (radius, radius, 0, 0), mode="reflect")
    width, height = images.shape[-1], images.shape[-2]
    rows = torch.zeros_like(images)
    for offset, weight in enumerate(weights):
        rows += padded[..., offset : offset + width] * (weight / total)
    padded = F.pad(rows, (0, 0, radius, radius), mode="reflect")
    out = torch.zeros_like(images)
    for offset, weight in enumerate(weights):
        out += padded[..., offset : offset + height, :] * (weight / total)
    return out


def disk_blur(images: Tensor, radius: float, edge: float) -> Tensor:
    """Average over a disk of ``radius`` pixels with an edge softened over ``edge`` pixels, as in defocus."""
    reach = min(math.ceil(radius + 0.5 + 2 * edge), min(images.shape[-2:]) - 1)
    offsets = [(dy, dx) for dy in range(-reach, reach + 1) for dx in range(-reach, reach + 1)]
    soft = 0.5 + edge
    weights = [min(max((radius + soft - math.hypot(dy, dx)) / (2 * soft), 0.0), 1.0) for dy, dx in offsets]
    total = sum(weights)
    padded = F.pad(images, (reach, reach, reach, reach), mode="reflect")
    height, width = images.shape[-2:]
    out = torch.zeros_like(images)
    for (dy, dx), weight in zip(offsets, weights):
        if weight > 0:
            out += padded[..., reach + dy : reach + dy + height, reach + dx : reach + dx + width] * (weight / total)
    return out


def shifted(images: Tensor, dx: Tensor, dy: Tensor) -> Tensor:
    """Sample images [B, C, H, W] bilinearly at positions shifted by (dx, dy) pixels, each [B] or [B, H, W]."""
    batch, _, height, width = images.shape
    rows = torch.arange(height, device=images.device, dtype=images.dtype)
    columns = torch.arange(width, device=images.device, dtype=images.dtype)
    dx = dx.reshape(batch, -1, width) if dx.ndim == 3 else dx.reshape(batch, 1, 1)
    dy = dy.reshape(batch, -1, width) if dy.ndim == 3 else dy.reshape(batch, 1, 1)
    x = (columns[None, None, :] + dx).expand(batch, height, width)
    y = (rows[None, :, None] + dy).expand(batch, height, width)
    grid = torch.stack((2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1), dim=-1)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=True)


def zoomed(images: Tensor, factor: float) -> Tensor:
    """Enlarge the center of images by ``factor`` with bilinear interpolation."""
    if factor == 1.0:
        return images
    batch, _, height, width = images.shape
    rows = torch.linspace(-1 / factor, 1 / factor, height, device=images.device, dtype=images.dtype)
    columns = torch.linspace(-1 / factor, 1 / factor, width, device=images.device, dtype=images.dtype)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    grid = torch.stack((x, y), dim=-1).expand(batch, height, width, 2)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=True)


def motion_blur(images: Tensor, radius: float, sigma: float, degrees: Tensor) -> Tensor:
    """Blur each image along the angle ``degrees`` [B] with a one-sided Gaussian of ``radius`` pixels."""
    taps = max(math.ceil(radius) + 1, 2)
    step = radius / (taps - 1)
    weights = [math.exp(-0.5 * (tap * step / sigma) ** 2) for tap in range(taps)]
    total = sum(weights)
    angle = torch.deg2rad(degrees.to(images.dtype))
    out = torch.zeros_like(images)
    for tap, weight in enumerate(weights):
        reach = tap * step
        out += shifted(images, reach * torch.cos(angle), reach * torch.sin(angle)) * (weight / total)
    return out


def plasma(seeds: Tensor, size: tuple[int, int], decay: float, device: torch.device) -> Tensor:
    """Return fractal noise [B, 1, H, W] in 0..1; each octave is 2 times finer and ``decay`` times weaker."""
    octaves = max(math.ceil(math.log2(max(size))), 2)

    def draw(generator: torch.Generator) -> Tensor:
        cloud = torch.zeros(1, 1, *size)
        for octave in range(1, octaves + 1):
            grid = torch.rand(1, 1, 2**octave + 1, 2**octave + 1, generator=generator) * 2 - 1
            cloud += F.interpolate(grid, size=size, mode="bilinear", align_corners=True) / decay**octave
        cloud -= cloud.min()
        return (cloud / cloud.max())[0]

    return random_fields(seeds, draw, device)
