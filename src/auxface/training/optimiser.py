"""AdamW with the field's groups, and the learning rate of every step."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from timm.models import group_parameters
from torch import nn

from auxface.recipe import Train


def make_optimiser(model: nn.Module, options: Train) -> torch.optim.AdamW:
    """AdamW; biases, norms and other vectors take no weight decay (Dosovitskiy et al., 2021).

    With ``layer_decay`` below 1 the layers of the encoder learn the slower the nearer they are to the pixels (Clark et
    al., 2020; Bao et al., 2022); each group's ``scale`` multiplies the step's rate.
    """
    scales = dict(_layer_scales(model, options.layer_decay))
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        scale, decayed = scales.get(name, 1.0), parameter.ndim > 1
        decay = options.weight_decay if decayed else 0.0
        group = groups.setdefault((scale, decayed), {"params": [], "weight_decay": decay, "scale": scale})
        group["params"].append(parameter)
    ordered = [groups[key] for key in sorted(groups, key=lambda key: (-key[0], not key[1]))]
    # The fused step reads and writes each tensor once; MPS has one only in newer versions of torch.
    fused = all(p.device.type in ("cpu", "cuda") for p in model.parameters())
    return torch.optim.AdamW(ordered, lr=0.0, betas=options.betas, fused=fused)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every group the step's rate times its own scale."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["scale"]


def learning_rate(step: int, steps: int, options: Train) -> float:
    """The rate of step 0 .. steps - 1: linear from 0, then a half cosine to ``min_learning_rate``."""
    peak = options.base_learning_rate * options.pictures_per_step / 256
    warmup = options.warmup_fraction * steps
    if step < warmup:
        return peak * step / warmup
    passed = (step - warmup) / max(steps - warmup, 1)
    return options.min_learning_rate + (peak - options.min_learning_rate) * 0.5 * (1 + math.cos(math.pi * passed))


def _layer_scales(model: nn.Module, layer_decay: float) -> Iterator[tuple[str, float]]:
    if layer_decay == 1:
        return
    for prefix, module in model.named_modules():
        matcher = getattr(module, "group_matcher", None)
        if matcher is None:
            continue
        found: Any = group_parameters(module, matcher(coarse=False), reverse=True)
        layers = {name: int(layer) for name, layer in found.items()}
        last = max(layers.values())
        yield from ((f"{prefix}.{name}", layer_decay ** (last - layer)) for name, layer in layers.items())
