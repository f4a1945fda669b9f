"""AdamW with the field's groups, and the learning rate of every step."""

import math

import torch
from torch import nn

from auxface.recipe import Train


def make_optimiser(model: nn.Module, options: Train) -> torch.optim.AdamW:
    """AdamW; biases, norms and other vectors take no weight decay (Dosovitskiy et al., 2021)."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for _, p in named if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for _, p in named if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=options.betas)


def learning_rate(step: int, steps: int, options: Train) -> float:
    """The rate of step 0 .. steps - 1: linear from 0, then a half cosine to ``min_learning_rate``."""
    peak = options.base_learning_rate * options.batch_size / 256
    warmup = options.warmup_fraction * steps
    if step < warmup:
        return peak * step / warmup
    passed = (step - warmup) / max(steps - warmup, 1)
    return options.min_learning_rate + (peak - options.min_learning_rate) * 0.5 * (1 + math.cos(math.pi * passed))
