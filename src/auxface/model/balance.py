"""How much each objective counts at a moment of the training: by the recipe's numbers, or learned."""

import math

import torch
from torch import Tensor, nn

from auxface.objectives import Moment
from auxface.recipe import AuxiliaryOptions, Recipe, WeightSchedule


def primary_weight_at(recipe: Recipe, moment: Moment) -> float:
    """Weight of the primary objective; the auxiliaries together have the rest.

    Under a scheme that is not joint it is 1 or 0: one side learns at a time. A learned balance gives 0.5 here, for it
    weighs both sides itself.
    """
    scheme = recipe.scheme
    if scheme.kind == "alternating":
        return float(moment.step % 2)
    if scheme.kind in ("sequential", "frozen"):
        return 0.0 if moment.progress < scheme.pretraining else 1.0
    weight = recipe.primary_weight
    if isinstance(weight, WeightSchedule):
        done = moment.progress
        passed = done if weight.shape == "linear" else 0.5 * (1 - math.cos(math.pi * done))
        return weight.start + (weight.end - weight.start) * passed
    return 0.5 if isinstance(weight, str) else weight


def auxiliary_weight_at(options: AuxiliaryOptions, moment: Moment) -> float:
    """Weight of one auxiliary among the auxiliaries, rising over its warm-up."""
    if moment.progress >= options.warmup:
        return options.weight
    return options.weight * moment.progress / options.warmup


def primary_is_taught(recipe: Recipe, moment: Moment) -> bool:
    """Whether a step teaches the heads; before the first one that does, they answer at random."""
    return primary_weight_at(recipe, moment) > 0


def auxiliary_ever_runs(recipe: Recipe, options: AuxiliaryOptions) -> bool:
    """Whether any step of a training runs an auxiliary; one that none does needs no views and no tables."""
    scheme = recipe.scheme
    if scheme.kind == "alternating":
        return options.weight > 0
    left = scheme.pretraining > 0 if scheme.kind in ("sequential", "frozen") else recipe.primary_weight != 1
    return left and options.weight > 0


def encoder_is_frozen(recipe: Recipe, moment: Moment) -> bool:
    """Whether the encoder learns nothing any more, because only a probe on it is trained."""
    return recipe.scheme.kind == "frozen" and moment.progress >= recipe.scheme.pretraining


class LearnedBalance(nn.Module):
    """Objectives weighed by their learned uncertainty (Kendall, Gal and Cipolla, 2018).

    Each objective has a log variance s; its loss L becomes exp(-s) L + s / 2, which is least at exp(s) = 2 L, so
    that an objective counts the less the larger its loss stays. All start alike at s = 0.

    Args:
        objectives: their names, the primary included.
    """

    def __init__(self, objectives: tuple[str, ...]) -> None:
        super().__init__()
        self.objectives = objectives
        self.log_variances = nn.Parameter(torch.zeros(len(objectives)))

    def forward(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The balanced sum of the losses by name, and the weight of each."""
        places = [self.objectives.index(name) for name in losses]
        log_variance = self.log_variances[torch.tensor(places, device=self.log_variances.device)]
        raw = torch.stack([loss.float() for loss in losses.values()])
        total = ((-log_variance).exp() * raw + log_variance / 2).sum()
        weights = (-log_variance.detach()).exp()
        return total, dict(zip(losses, weights, strict=True))
