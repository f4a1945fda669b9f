"""Snow, frost and fog (Hendrycks and Dietterich, 2019)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from auxface.data.corruptions import filtering
from auxface.data.corruptions.filtering import plasma, random_fields, scale_of
from auxface.data.corruptions.registry import register


@register("snow")
def snow(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Add falling flakes and whiten the image."""
    mean, spread, zoom, threshold, radius, sigma, keep = (
        (0.1, 0.3, 3.0, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2.0, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4.0, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    )[level]
    scale = scale_of(images)
    height, width = images.shape[-2:]
    # At the published size, enlarging makes flakes sparse. Below two pixels it would not, so two is the minimum.
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
    """Add a layer of ice.

    The paper uses photographs of ice, which are not included here. This layer consists of pale blue ridges of fractal
    noise that become denser towards the border, added with the published weights of image and ice.
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
    """Add fractal fog: octaves of random grids with the published decay."""
    strength, decay = ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))[level]
    brightest = images.amax((1, 2, 3), keepdim=True)
    cloud = plasma(seeds, (images.shape[-2], images.shape[-1]), decay, images.device)
    return (images + strength * cloud) * brightest / (brightest + strength)
