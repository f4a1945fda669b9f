"""Noise of the sensor (Hendrycks and Dietterich, 2019)."""

import torch
from torch import Tensor

from auxface.data.corruptions.filtering import random_fields
from auxface.data.corruptions.registry import register


@register("gaussian_noise")
def gaussian_noise(pictures: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Normal noise of deviation .08 to .38."""
    deviation = (0.08, 0.12, 0.18, 0.26, 0.38)[level]
    shape = pictures.shape[1:]
    return pictures + deviation * random_fields(seeds, lambda g: torch.randn(shape, generator=g), pictures.device)


@register("shot_noise")
def shot_noise(pictures: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Poisson noise of 60 down to 3 photons for white."""
    photons = (60.0, 25.0, 12.0, 5.0, 3.0)[level]
    rates = iter((pictures * photons).cpu())
    return random_fields(seeds, lambda g: torch.poisson(next(rates), generator=g), pictures.device) / photons


@register("impulse_noise")
def impulse_noise(pictures: Tensor, level: int, seeds: Tensor) -> Tensor:
    """Salt and pepper on 3% to 27% of the values."""
    amount = (0.03, 0.06, 0.09, 0.17, 0.27)[level]
    shape = (2, *pictures.shape[1:])
    drawn = random_fields(seeds, lambda g: torch.rand(shape, generator=g), pictures.device)
    return torch.where(drawn[:, 0] < amount, (drawn[:, 1] < 0.5).to(pictures.dtype), pictures)
