"""AdamW with parameter groups, the learning rate of every step, and the moving average of weights.

Example::

    optimizer = make_optimizer(model, recipe.train)
    average = WeightAverage(model, decay=0.999)
    average.update(model, step)                     # after every optimizer step

The learning rate follows a linear warmup and then a half cosine (Loshchilov and Hutter, 2017). With the schemes
``sequential`` and ``frozen``, each phase has its own warmup and half cosine.

Example:
    >>> rates = learning_rates(10, Train(batch_size=256, base_learning_rate=0.1, warmup_fraction=0.2))
    >>> rates[0], rates[1], rates[2]
    (0.0, 0.05, 0.1)
"""

import fnmatch
import math
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import torch
from timm.models import group_parameters
from torch import Tensor, nn

from auxface.encoders.hierarchical import HierarchicalEncoder
from auxface.model import JointModel
from auxface.recipe import Train
from auxface.training.fsdp import local_shard


def make_optimizer(model: nn.Module, options: Train) -> torch.optim.AdamW:
    """Return AdamW for the trainable parameters of a model, with a learning rate of 0 until it is set.

    Weight decay is not applied to biases, norms and other vectors (Dosovitskiy et al., 2021), nor to the parameters
    that a timm model names in ``no_weight_decay()``, such as learned position embeddings and class tokens. With
    ``layer_decay`` below 1, the learning rate of an encoder layer decreases with its distance from the output (Clark et
    al., 2020; Bao et al., 2022). The learning rate of the step is multiplied by the ``scale`` of each parameter group.
    """
    scales, undecayed = _layer_scales(model, options.layer_decay), set(_without_weight_decay(model))
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        scale, is_decayed = scales.get(name, 1.0), parameter.ndim > 1 and name not in undecayed
        decay = options.weight_decay if is_decayed else 0.0
        group = groups.setdefault((scale, is_decayed), {"params": [], "weight_decay": decay, "scale": scale})
        group["params"].append(parameter)
    ordered = [groups[key] for key in sorted(groups, key=lambda key: (-key[0], not key[1]))]
    # The fused step reads and writes each tensor once; only newer versions of torch support the fused step on MPS.
    fused = all(p.device.type in ("cpu", "cuda") for p in model.parameters())
    return torch.optim.AdamW(ordered, lr=0.0, betas=options.betas, fused=fused)


def _without_weight_decay(model: nn.Module) -> Iterator[str]:
    for prefix, module in model.named_modules():
        patterns: Any = getattr(module, "no_weight_decay", tuple)()
        names = [name for name, _ in module.named_parameters()] if patterns else []
        for pattern in patterns:
            yield from (f"{prefix}.{name}".removeprefix(".") for name in fnmatch.filter(names, pattern))


def _layer_scales(model: nn.Module, layer_decay: float) -> dict[str, float]:
    """Return the learning-rate factor of each parameter that belongs to a layer."""
    scales: dict[str, float] = {}
    if layer_decay == 1:
        return scales
    for prefix, module in model.named_modules():
        matcher = getattr(module, "group_matcher", None)
        if matcher is None:
            continue
        layer_of: Any = group_parameters(module, matcher(coarse=False), reverse=True)
        layers = {name: int(layer) for name, layer in layer_of.items()}
        last = max(layers.values())
        scales |= {f"{prefix}.{name}": layer_decay ** (last - layer) for name, layer in layers.items()}
    for prefix, module in model.named_modules():
        if isinstance(module, HierarchicalEncoder):
            # The learned patch is part of the image and thus below the first layer that timm lists.
            inside = [scale for name, scale in scales.items() if name.startswith(f"{prefix}.")]
            scales[f"{prefix}.mask_patch"] = min(inside, default=1.0)
    return scales


class WeightAverage:
    """Exponential moving average (EMA) of a model's weights (Polyak and Juditsky, 1992).

    The decay of a step is min(decay, (1 + step) / (10 + step)), so that the average of a short run does not keep its
    random initial weights.

    Args:
        model: model being trained.
        decay: weight of the previous average in an update, in (0, 1).

    Attributes:
        model: copy of the model with the averaged weights, for validation and saving.
    """

    def __init__(self, model: JointModel, decay: float) -> None:
        self.decay = decay
        self.model = deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: JointModel, step: int) -> None:
        """Update the average after an optimizer step, counted from 0; the device is not synchronized."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averages: list[Tensor] = []
        values: list[Tensor] = []
        weights = model.state_dict()
        for name, average in self.model.state_dict().items():
            if average.is_floating_point():
                averages.append(local_shard(average))
                values.append(local_shard(weights[name]))
            else:
                average.copy_(weights[name])
        torch._foreach_lerp_(averages, values, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]


def learning_rates(total_steps: int, options: Train, *, pretraining: float = 0.0) -> list[float]:
    """Return the learning rate of each step of a run.

    The peak is ``base_learning_rate`` times the number of images per step, divided by 256 (Goyal et al., 2017).

    Args:
        total_steps: number of steps of the whole run.
        options: the recipe's ``train`` section.
        pretraining: fraction of the steps in a separate first phase; 0 for a single phase.
    """
    first = _steps_of_pretraining(total_steps, pretraining)
    return [_rate_in_phase(step, steps, options) for steps in (first, total_steps - first) for step in range(steps)]


def _steps_of_pretraining(total_steps: int, pretraining: float) -> int:
    """Return the first step after the fraction ``pretraining`` of the run, at which the objectives change."""
    first = int(pretraining * total_steps)
    return first if first / total_steps >= pretraining else first + 1


def _rate_in_phase(step: int, steps: int, options: Train) -> float:
    peak = options.base_learning_rate * options.images_per_step / 256
    warmup_steps = options.warmup_fraction * steps
    if step < warmup_steps:
        return peak * step / warmup_steps
    progress = (step - warmup_steps) / max(steps - warmup_steps, 1)
    return options.min_learning_rate + (peak - options.min_learning_rate) * 0.5 * (1 + math.cos(math.pi * progress))
