"""Sensor noise, and Gaussian, defocus, glass, motion and zoom blur (Hendrycks and Dietterich, 2019)."""

import numpy as np
import torch
from torch import Tensor

from auxface.data.corruptions import filtering
from auxface.data.corruptions.filtering import random_fields, scale_of
from auxface.data.corruptions.registry import register


@register("gaussian_noise")
def gaussian_noise(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Add Gaussian noise with a standard deviation of 0.08 to 0.38."""
    deviation = (0.08, 0.12, 0.18, 0.26, 0.38)[level]
    shape = images.shape[1:]
    return images + deviation * random_fields(seeds, lambda g: torch.randn(shape, generator=g), images.device)


@register("shot_noise")
def shot_noise(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Apply Poisson noise with a mean of 60 (severity 1) to 3 photons (severity 5) for a white pixel."""
    photons = (60.0, 25.0, 12.0, 5.0, 3.0)[level]
    rates = iter((images * photons).cpu())
    return random_fields(seeds, lambda g: torch.poisson(next(rates), generator=g), images.device) / photons


@register("impulse_noise")
def impulse_noise(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Set 3% to 27% of the values to 0 or 1."""
    amount = (0.03, 0.06, 0.09, 0.17, 0.27)[level]
    shape = (2, *images.shape[1:])
    drawn = random_fields(seeds, lambda g: torch.rand(shape, generator=g), images.device)
    return torch.where(drawn[:, 0] < amount, (drawn[:, 1] < 0.5).to(images.dtype), images)


@register("gaussian_blur")
def gaussian_blur(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Blur with a Gaussian, sigma 1 to 6 pixels for 224 x 224 images (an extra corruption of the paper)."""
    return filtering.gaussian_blur(images, (1.0, 2.0, 3.0, 4.0, 6.0)[level] * scale_of(images))


@register("defocus_blur")
def defocus_blur(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Blur with a disk, radius 3 to 10 pixels for 224 x 224 images."""
    radius, edge = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))[level]
    scale = scale_of(images)
    return filtering.disk_blur(images, radius * scale, edge * scale)


@register("glass_blur")
def glass_blur(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Replace every pixel with a random nearby pixel, several times, between two Gaussian blurs.

    The published code swaps neighboring pixels one after another. Here, sampling at random positions within the same
    distance processes all pixels at once and works for distances below one pixel.
    """
    sigma, reach, times = ((0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2))[level]
    scale = scale_of(images)
    height, width = images.shape[-2:]
    drawn = random_fields(seeds, lambda g: torch.rand((times, 2, height, width), generator=g) * 2 - 1, images.device)
    out = filtering.gaussian_blur(images, sigma * scale)
    for time in range(times):
        out = filtering.shifted(out, drawn[:, time, 0] * (reach * scale), drawn[:, time, 1] * (reach * scale))
    return filtering.gaussian_blur(out, sigma * scale)


@register("motion_blur")
def motion_blur(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Blur over 10 to 20 pixels for 224 x 224 images, in a random direction from -45 to 45 degrees."""
    radius, sigma = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))[level]
    scale = scale_of(images)
    degrees = random_fields(seeds, lambda g: torch.rand((), generator=g) * 90 - 45, images.device)
    return filtering.motion_blur(images, radius * scale, sigma * scale, degrees)


@register("zoom_blur")
def zoom_blur(images: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Average the image over zoom factors from 1 to at most 1.1 (severity 1) or 1.3 (severity 5)."""
    stop, step = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))[level]
    factors = np.arange(1.0, stop, step)
    out = images.clone()
    for factor in factors:
        out += filtering.zoomed(images, float(factor))
    return out / (len(factors) + 1)
