"""The learning rate of every step: linear warmup, then half a cosine (Loshchilov and Hutter, 2017).

Example:
    set_learning_rate(optimizer, learning_rate(step, total_steps, recipe.train))
"""

import math

import torch

from auxface.recipe import Train


def learning_rate(step: int, total_steps: int, options: Train) -> float:
    """Return the learning rate of a step.

    The peak is ``base_learning_rate`` times the images per step, divided by 256 (Goyal et al., 2017).

    Args:
        step: Step, from 0 to ``total_steps - 1``.
        total_steps: Steps of the whole run.
        options: Section ``train`` of the recipe.
    """
    peak = options.base_learning_rate * options.images_per_step / 256
    warmup_steps = options.warmup_fraction * total_steps
    if step < warmup_steps:
        return peak * step / warmup_steps
    progress = (step - warmup_steps) / max(total_steps - warmup_steps, 1)
    return options.min_learning_rate + (peak - options.min_learning_rate) * 0.5 * (1 + math.cos(math.pi * progress))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group to ``rate`` times the group's ``scale``."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
