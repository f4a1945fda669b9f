"""AdamW with the field's groups, and the learning rate of every step.

A moving average of the weights (Polyak and Juditsky, 1992), which generalizes better than the last step's.
"""

import math
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import torch
from timm.models import group_parameters
from torch import Tensor, nn

from auxface.model import JointModel
from auxface.recipe import Train
from auxface.training.distributed import own_part


def make_optimizer(model: nn.Module, options: Train) -> torch.optim.AdamW:
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


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group the step's rate times its own scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def learning_rate(step: int, steps: int, options: Train) -> float:
    """The rate of step 0 .. steps - 1: linear from 0, then a half cosine to ``min_learning_rate``."""
    peak = options.base_learning_rate * options.images_per_step / 256
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


class WeightAverage:
    """A second model whose weights follow those of the first.

    The decay begins small, min(decay, (1 + step) / (10 + step)), so that a short run forgets its random start too.

    Args:
        model: the model that is trained.
        decay: share of the average that a step keeps, in (0, 1).

    Attributes:
        model: the average, for validation and for saving.
    """

    def __init__(self, model: JointModel, decay: float) -> None:
        self.decay = decay
        self.model = deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: JointModel, step: int) -> None:
        """Follow an optimizer step, numbered from 0; nothing is read back from the device."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averages: list[Tensor] = []
        values: list[Tensor] = []
        now = model.state_dict()
        for name, average in self.model.state_dict().items():
            if average.is_floating_point():
                averages.append(own_part(average))
                values.append(own_part(now[name]))
            else:
                average.copy_(now[name])
        torch._foreach_lerp_(averages, values, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]
