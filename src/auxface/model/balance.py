"""Weights of the objectives during training: from the recipe, or learned.

Weights from the ratio of gradients are in :mod:`auxface.model.gradient_meter`.
"""

import math

import torch
from torch import Tensor, nn

from auxface.objectives import TrainProgress
from auxface.recipe import AuxiliaryOptions, Recipe


def primary_weight_at(recipe: Recipe, progress: TrainProgress) -> float:
    """Return the weight of the primary objective under a fixed or scheduled balance; the auxiliaries have the rest.

    Under a scheme other than ``joint`` it is 0 or 1, since one side is trained at a time. Balances ``learned`` and
    ``gradient`` find their own weights; here they have 0.5, since both sides are trained.
    """
    scheme = recipe.scheme
    if scheme.kind == "alternating":
        return float(progress.step % 2)
    if scheme.kind in ("sequential", "frozen"):
        return 0.0 if progress.fraction < scheme.pretraining else 1.0
    balance = recipe.balance
    if balance.kind == "schedule":
        assert balance.start is not None
        assert balance.end is not None
        done = progress.fraction
        done = done if balance.shape == "linear" else 0.5 * (1 - math.cos(math.pi * done))
        return balance.start + (balance.end - balance.start) * done
    return recipe.primary_weight if balance.kind == "fixed" else 0.5


def auxiliary_weight_at(options: AuxiliaryOptions, progress: TrainProgress) -> float:
    """Return the weight of one auxiliary among the auxiliaries, rising over its warm-up."""
    if progress.fraction >= options.warmup:
        return options.weight
    return options.weight * progress.fraction / options.warmup


def primary_is_trained(recipe: Recipe, progress: TrainProgress) -> bool:
    """Return whether a step trains the heads; before the first such step their predictions are random."""
    return primary_weight_at(recipe, progress) > 0


def auxiliary_ever_runs(recipe: Recipe, options: AuxiliaryOptions) -> bool:
    """Return whether any step of a training runs an auxiliary; one that never runs needs no views and no tables."""
    scheme = recipe.scheme
    if scheme.kind == "alternating":
        return options.weight > 0
    if scheme.kind in ("sequential", "frozen"):
        trained = scheme.pretraining > 0
    else:
        trained = recipe.balance.kind != "fixed" or recipe.primary_weight != 1
    return trained and options.weight > 0


def encoder_is_frozen(recipe: Recipe, progress: TrainProgress) -> bool:
    """Return whether the encoder is frozen at a step, because a probe on it is trained."""
    return recipe.scheme.kind == "frozen" and progress.fraction >= recipe.scheme.pretraining


class LearnedBalance(nn.Module):
    """Weight the objectives by their learned uncertainty (Kendall, Gal and Cipolla, 2018).

    Each objective has a log variance s, initially 0. Its loss L becomes exp(-s) L + s / 2, which is smallest at
    exp(s) = 2 L, so that an objective with a larger loss gets a smaller weight. An auxiliary's own weight and warm-up
    multiply the whole term.

    Args:
        objectives: names of the objectives, including the primary.
    """

    def __init__(self, objectives: tuple[str, ...]) -> None:
        super().__init__()
        self.objectives = objectives
        self.log_variances = nn.Parameter(torch.zeros(len(objectives)))

    def forward(self, losses: dict[str, Tensor], factors: dict[str, float]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of the losses by name, and the weight of each.

        Args:
            losses: scalars.
            factors: of each loss, the recipe's weight and warm-up; 1 for the primary.
        """
        positions = [self.objectives.index(name) for name in losses]
        log_variance = self.log_variances[torch.tensor(positions, device=self.log_variances.device)]
        raw = torch.stack([loss.float() for loss in losses.values()])
        factor = torch.tensor([factors[name] for name in losses], device=raw.device)
        total = (factor * ((-log_variance).exp() * raw + log_variance / 2)).sum()
        weights = factor * (-log_variance.detach()).exp()
        return total, dict(zip(losses, weights, strict=True))
