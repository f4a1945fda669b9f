"""Blur of lens, glass and motion (Hendrycks and Dietterich, 2019); lengths scaled to the picture's size."""

import numpy as np
import torch
from torch import Tensor

from auxface.data.corruptions import filtering
from auxface.data.corruptions.filtering import random_fields, scale_of
from auxface.data.corruptions.registry import register


@register("gaussian_blur")
def gaussian_blur(pictures: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Deviation 1 to 6 pixels at 224 (one of the paper's extra corruptions)."""
    return filtering.gaussian_blur(pictures, (1.0, 2.0, 3.0, 4.0, 6.0)[level] * scale_of(pictures))


@register("defocus_blur")
def defocus_blur(pictures: Tensor, level: int, seeds: Tensor) -> Tensor:
    """A disk of radius 3 to 10 pixels at 224."""
    radius, edge = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))[level]
    scale = scale_of(pictures)
    return filtering.disk_blur(pictures, radius * scale, edge * scale)


@register("glass_blur")
def glass_blur(pictures: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Every pixel read from a random place near by, again and again, between two blurs.

    The published code swaps neighbouring pixels one after another; reading from places drawn within the same distance
    does all at once, and works for distances below one pixel.
    """
    sigma, reach, times = ((0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2))[level]
    scale = scale_of(pictures)
    height, width = pictures.shape[-2:]
    drawn = random_fields(seeds, lambda g: torch.rand((times, 2, height, width), generator=g) * 2 - 1, pictures.device)
    out = filtering.gaussian_blur(pictures, sigma * scale)
    for time in range(times):
        out = filtering.shifted(out, drawn[:, time, 0] * (reach * scale), drawn[:, time, 1] * (reach * scale))
    return filtering.gaussian_blur(out, sigma * scale)


@register("motion_blur")
def motion_blur(pictures: Tensor, level: int, seeds: Tensor) -> Tensor:
    """A smear of 10 to 20 pixels at 224, within 45 degrees of level."""
    radius, sigma = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))[level]
    scale = scale_of(pictures)
    degrees = random_fields(seeds, lambda g: torch.rand((), generator=g) * 90 - 45, pictures.device)
    return filtering.motion_blur(pictures, radius * scale, sigma * scale, degrees)


@register("zoom_blur")
def zoom_blur(pictures: Tensor, level: int, seeds: Tensor) -> Tensor:
    """The mean of the picture at many zooms, up to 1.1 to 1.3."""
    stop, step = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))[level]
    factors = np.arange(1.0, stop, step)
    out = pictures.clone()
    for factor in factors:
        out += filtering.zoomed(pictures, float(factor))
    return out / (len(factors) + 1)
