"""Weather and digital corruptions (Hendrycks and Dietterich, 2019), and occlusion of parts of a face.

Occlusion assumes that the eyes are at 45% and the mouth at 75% of the height of a face crop.
"""

import io
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from auxface.data.corruptions import filtering
from auxface.data.corruptions.filtering import plasma, random_fields, scale_of
from auxface.data.corruptions.registry import register


@register("snow")
def snow(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Add falling snowflakes and whiten the image."""
    mean, spread, zoom, threshold, radius, sigma, keep = (
        (0.1, 0.3, 3.0, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2.0, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4.0, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    )[level]
    scale = scale_of(images)
    height, width = images.shape[-2:]
    # Enlarging the noise makes the flakes sparse. In small images, flakes are still at least two pixels wide, since
    # smaller flakes would not be sparse.
    flake = max(zoom * scale, 2.0)
    grid = [max(round(side / flake), 2) for side in (height, width)]

    def draw(generator: torch.Generator) -> Tensor:
        return mean + spread * torch.randn((1, *grid), generator=generator)

    layer = F.interpolate(
        random_fields(seeds, draw, images.device), size=(height, width), mode="bilinear", align_corners=True
    )
    layer = torch.where(layer < threshold, torch.zeros_like(layer), layer).clamp(0.0, 1.0)
    degrees = random_fields(seeds ^ 0x2545F491, lambda g: torch.rand((), generator=g) * 90 + 45, images.device)
    layer = filtering.motion_blur(layer, radius * scale, sigma * scale, degrees)
    weights = torch.tensor([0.299, 0.587, 0.114], device=images.device).reshape(1, 3, 1, 1)
    gray = (images * weights).sum(1, keepdim=True)
    whitened = keep * images + (1 - keep) * torch.maximum(images, 1.5 * gray + 0.5)
    return whitened + layer + torch.rot90(layer, 2, (2, 3))


@register("frost")
def frost(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Add a layer of frost.

    The paper uses photographs of frost, which are not included here. This layer consists of pale blue ridges of fractal
    noise that become denser toward the border. Image and layer are added with the published weights.
    """
    keep, ice = ((1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))[level]
    size = (images.shape[-2], images.shape[-1])
    needles = 1.0 - (2.0 * plasma(seeds, size, 1.45, images.device) - 1.0).abs()
    veins = 1.0 - (2.0 * plasma(seeds ^ 0x1B873593, size, 1.25, images.device) - 1.0).abs()
    cover = plasma(seeds ^ 0x6C62272E, size, 2.2, images.device)
    rows = torch.linspace(-1, 1, size[0], device=images.device).abs()[:, None]
    columns = torch.linspace(-1, 1, size[1], device=images.device).abs()[None, :]
    border = torch.maximum(rows, columns) ** 2
    layer = (0.25 + 0.75 * needles**4 + 0.5 * veins**8) * (0.35 * border + 0.9 * cover)
    tint = torch.tensor([0.88, 0.95, 1.0], device=images.device).reshape(1, 3, 1, 1)
    return keep * images + ice * layer.clamp(0, 1) * tint


@register("fog")
def fog(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Add fractal fog, which consists of octaves of random grids with the published decay."""
    strength, decay = ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))[level]
    brightest = images.amax((1, 2, 3), keepdim=True)
    cloud = plasma(seeds, (images.shape[-2], images.shape[-1]), decay, images.device)
    return (images + strength * cloud) * brightest / (brightest + strength)


_GROWTH = (0.3, 0.5, 0.7, 0.85, 1.0)


@register("brightness")
def brightness(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Increase the HSV value channel by 0.1 to 0.5."""
    value = images.amax(1, keepdim=True)
    raised = (value + (0.1, 0.2, 0.3, 0.4, 0.5)[level]).clamp(max=1.0)
    return torch.where(value > 0, images * (raised / value.clamp(min=1e-6)), raised)


@register("contrast")
def contrast(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Multiply the difference from the mean of each channel by a factor of 0.4 (severity 1) to 0.05 (severity 5)."""
    # Double precision makes the result independent of the order of summation.
    mean = images.double().mean((2, 3), keepdim=True).to(images.dtype)
    return (images - mean) * (0.4, 0.3, 0.2, 0.1, 0.05)[level] + mean


@register("elastic_transform")
def elastic_transform(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Apply a random affine map and a smooth random displacement to every pixel.

    The published parameters change from coarse displacements (severities 1 and 2) to fine ones (3 to 5), so a higher
    severity is not always a stronger corruption.
    """
    side = 244.0 * scale_of(images)
    strength, smooth, shear = (
        (2, 0.7, 0.1),
        (2, 0.08, 0.2),
        (0.05, 0.01, 0.02),
        (0.07, 0.01, 0.02),
        (0.12, 0.01, 0.02),
    )[level]
    height, width = images.shape[-2:]
    third = min(height, width) // 3
    middle = torch.tensor([width / 2, height / 2])
    corners = middle + third * torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])

    def draw_map(generator: torch.Generator) -> Tensor:
        moved = corners + (torch.rand((3, 2), generator=generator) * 2 - 1) * (shear * side)
        ones = torch.ones(3, 1, dtype=torch.float64)
        return torch.linalg.solve(torch.cat((moved.double(), ones), 1), corners.double()).float()

    back = random_fields(seeds, draw_map, images.device)
    other = seeds ^ 0x5DEECE66D
    field = random_fields(other, lambda g: torch.rand((2, height, width), generator=g) * 2 - 1, images.device)
    field = filtering.gaussian_blur(field.double(), smooth * side).float() * (strength * side)
    rows = torch.arange(height, device=images.device, dtype=images.dtype)[None, :, None]
    columns = torch.arange(width, device=images.device, dtype=images.dtype)[None, None, :]
    a = back[:, :, :, None, None]
    x = columns + field[:, 0]
    y = rows + field[:, 1]
    from_x = a[:, 0, 0] * x + a[:, 1, 0] * y + a[:, 2, 0]
    from_y = a[:, 0, 1] * x + a[:, 1, 1] * y + a[:, 2, 1]
    return filtering.shifted(images, from_x - columns, from_y - rows)


@register("pixelate")
def pixelate(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Downscale the image to between 60% and 25% of its size by averaging, and enlarge it by repeating pixels."""
    factor = (0.6, 0.5, 0.4, 0.3, 0.25)[level]
    height, width = images.shape[-2:]
    small = (int(width * factor), int(height * factor))
    box = Image.Resampling.BOX
    return _apply_pillow(images, lambda image: image.resize(small, box).resize((width, height), box))


@register("jpeg_compression")
def jpeg_compression(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Compress as JPEG with a quality from 25 down to 7."""
    return through_jpeg(images, (25, 18, 15, 10, 7)[level])


@register("jpeg_quality")
def jpeg_quality(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Compress as JPEG with a quality of 90, 75, 60, 45 or 30, as social networks do (not a published corruption)."""
    return through_jpeg(images, (90, 75, 60, 45, 30)[level])


@register("resize")
def resize(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Downscale to 80, 60, 40, 30 or 20% of the size with antialiasing, and enlarge (not a published corruption)."""
    factor = (0.8, 0.6, 0.4, 0.3, 0.2)[level]
    size = images.shape[-2:]
    small = F.interpolate(images, size=[max(round(side * factor), 1) for side in size], mode="bilinear", antialias=True)
    return F.interpolate(small, size=size, mode="bilinear")


def through_jpeg(images: Tensor, quality: int) -> Tensor:
    """Compress images, float [B, 3, H, W] in 0..1, as JPEG with a quality of 1 to 100, and decompress them."""

    def compress(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer)

    return _apply_pillow(images, compress)


def _apply_pillow(images: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    """Apply a function of a Pillow image to each image and return float [B, 3, H, W] in 0..1 on the input device."""
    whole = (images.clamp(0, 1) * 255.0).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    changed = np.stack([np.asarray(change(Image.fromarray(image))) for image in whole])
    return torch.from_numpy(changed).permute(0, 3, 1, 2).to(images.device, images.dtype) / 255.0


@register("occlusion_eyes")
def occlusion_eyes(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Cover the eyes with a bar of up to 78% of the width and 26% of the height."""
    return _cover(images, seeds, (0.5, 0.45), 0.78 * _GROWTH[level], 0.26 * _GROWTH[level])


@register("occlusion_mouth")
def occlusion_mouth(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Cover the mouth with a patch of up to 60% of the width and 32% of the height."""
    return _cover(images, seeds, (0.5, 0.75), 0.60 * _GROWTH[level], 0.32 * _GROWTH[level])


@register("occlusion_random")
def occlusion_random(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Cover a randomly placed square with an area of 5%, 10%, 20%, 30% or 40% of the image."""
    side = (0.05, 0.10, 0.20, 0.30, 0.40)[level] ** 0.5
    place = random_fields(seeds ^ 0x3C6EF372, lambda g: torch.rand(2, generator=g), images.device)
    center = side / 2 + place * (1 - side)
    return _cover(images, seeds, (center[:, 0].reshape(-1, 1, 1), center[:, 1].reshape(-1, 1, 1)), side, side)


def _cover(
    images: Tensor, seeds: Tensor, center: tuple[float | Tensor, float | Tensor], width: float, height: float
) -> Tensor:
    """Cover a box, given by center and sides as fractions of the image, with a random color for each image."""
    color = random_fields(seeds, lambda g: torch.rand((3, 1, 1), generator=g), images.device)
    rows = (torch.arange(images.shape[-2], device=images.device) + 0.5) / images.shape[-2]
    columns = (torch.arange(images.shape[-1], device=images.device) + 0.5) / images.shape[-1]
    inside = ((columns[None, None, :] - center[0]).abs() <= width / 2) & (
        (rows[None, :, None] - center[1]).abs() <= height / 2
    )
    return torch.where(inside[:, None], color, images)
