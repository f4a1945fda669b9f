"""Weights of the objectives during training, and norms of their gradients with respect to the encoder.

Gradients are taken with respect to the last block or stage that the pass over complete images and the pass over masked
images share (:meth:`auxface.encoders.MaskableEncoder.shared_parameters`). The **gradient ratio** of an auxiliary is the
norm of its weighted gradient divided by the norm of the primary objective's weighted gradient; the **cosine** is the
cosine similarity of the two gradients. Both are measured in the first steps and in every 25th step, on the batch of the
step, over all micro-batches and processes.

Balance ``gradient`` sets each auxiliary's weight from the running geometric means of the measured norms, so that the
ratio stays at the value in the recipe. The idea of weighting tasks by gradient norms comes from GradNorm (Chen et al.,
2018); here, the ratio is prescribed, not learned.

Example:
    >>> meter = GradientMeter(("primary", "reconstruction"))
    >>> shared = torch.nn.Parameter(torch.ones(2))
    >>> meter.accumulate({"primary": 4 * shared.sum(), "reconstruction": shared.sum()}, [shared])
    >>> logs = meter.finish({"primary": 1.0, "reconstruction": 2.0})
    >>> logs["reconstruction.gradient_ratio"], round(logs["reconstruction.cosine"], 6)
    (0.5, 1.0)
    >>> meter.weight("reconstruction", ratio=0.3)
    1.2
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from auxface.objectives import TrainProgress
from auxface.recipe import AuxiliaryOptions, Recipe

MEASURED_EVERY = 25
"""Number of steps between measurements of the gradients; steps 0, 1, 2, 4, 8 and 16 are also measured."""
MEAN_DECAY = 0.7
"""Weight of the previous running mean at each measurement."""
PRIMARY = "primary"
"""Name of the primary objective in mappings whose other keys are the names of auxiliaries."""
_LARGEST_RATIO = 1e4


class ObjectiveSchedule:
    """The weights of a recipe's objectives at every step.

    Args:
        recipe: the recipe.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe, self._scheme, self._balance = recipe, recipe.scheme, recipe.balance
        self._pretraining = recipe.scheme.pretraining
        self._auxiliaries = recipe.all_auxiliaries
        self._trains_auxiliaries = recipe.trains_auxiliaries

    def weights(self, progress: TrainProgress) -> dict[str, float]:
        """Return the weight of each objective at a step; an objective with weight 0 is not run.

        The balances ``learned`` and ``gradient`` multiply these weights by their own weights.
        """
        primary = self.primary_weight(progress)
        free = self._scheme.kind == "joint" and self._balance.kind in ("learned", "gradient")
        rest = 1.0 if free else 1 - primary
        weights = {PRIMARY: 1.0 if free else primary}
        for name, options in self._auxiliaries.items():
            weights[name] = rest * auxiliary_weight_at(options, progress)
        if not any(weights.values()):
            # During a warm-up, weights start at 0. If no other objective is trained, the weights without warm-up are
            # used.
            weights |= {name: rest * options.weight for name, options in self._auxiliaries.items()}
        return weights

    def primary_weight(self, progress: TrainProgress) -> float:
        """Return the primary weight with a fixed or scheduled balance; the auxiliaries get 1 minus this weight.

        With a scheme other than ``joint``, the result is 0 or 1, because one objective is trained at a time. The
        balances ``learned`` and ``gradient`` determine the weights themselves; the result is then 0.5, because the
        primary objective and the auxiliaries are both trained. If every auxiliary has weight 0, the result is 1, so
        that the steps are the same as in supervised training.
        """
        if self._scheme.kind == "alternating":
            return float(progress.step % 2)
        if self._scheme.kind in ("sequential", "frozen"):
            return 0.0 if progress.fraction < self._pretraining else 1.0
        if not self._trains_auxiliaries:
            return 1.0
        balance = self._balance
        if balance.kind == "schedule":
            assert balance.start is not None
            assert balance.end is not None
            done = progress.fraction
            done = done if balance.shape == "linear" else 0.5 * (1 - math.cos(math.pi * done))
            return balance.start + (balance.end - balance.start) * done
        return self._recipe.primary_weight if balance.kind == "fixed" else 0.5

    def trains_primary(self, progress: TrainProgress) -> bool:
        """Return whether a step trains the heads, whose predictions are random before the first such step."""
        return self.primary_weight(progress) > 0

    def ever_runs(self, auxiliary: str) -> bool:
        """Return whether any training step runs an auxiliary; otherwise, it needs neither views nor tables."""
        weight = self._auxiliaries[auxiliary].weight
        if self._scheme.kind == "alternating":
            return weight > 0
        if self._scheme.kind in ("sequential", "frozen"):
            trained = self._pretraining > 0
        else:
            trained = self._balance.kind != "fixed" or self._recipe.primary_weight != 1
        return trained and weight > 0

    def freezes_encoder(self, progress: TrainProgress) -> bool:
        """Return whether the primary objective leaves the encoder unchanged (as a probe or by ``primary.freeze``)."""
        is_probe = self._scheme.kind == "frozen" and progress.fraction >= self._pretraining
        return self._recipe.primary.freeze or is_probe


def auxiliary_weight_at(options: AuxiliaryOptions, progress: TrainProgress) -> float:
    """Return the weight of an auxiliary relative to the other auxiliaries; it increases linearly during the warm-up."""
    if progress.fraction >= options.warmup:
        return options.weight
    return options.weight * progress.fraction / options.warmup


class LearnedBalance(nn.Module):
    """Weights of the objectives from their learned uncertainty (Kendall, Gal and Cipolla, 2018).

    Each objective has a log variance s, initially 0. The loss L of the objective is replaced by exp(-s) L + s / 2,
    which is smallest at exp(s) = 2 L, so that an objective with a larger loss gets a smaller weight. The whole term of
    an auxiliary is multiplied by its own weight and its warm-up factor.

    Args:
        objectives: names of the objectives, including the primary objective.
    """

    def __init__(self, objectives: tuple[str, ...]) -> None:
        super().__init__()
        self.objectives = objectives
        self.log_variances = nn.Parameter(torch.zeros(len(objectives)))

    def forward(self, losses: dict[str, Tensor], factors: dict[str, float]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of the losses, and the weight of each loss by name.

        Args:
            losses: scalar losses by name.
            factors: weight in the recipe times the warm-up factor, by name; 1 for the primary objective.
        """
        positions = [self.objectives.index(name) for name in losses]
        log_variance = self.log_variances[torch.tensor(positions, device=self.log_variances.device)]
        raw = torch.stack([loss.float() for loss in losses.values()])
        factor = torch.tensor([factors[name] for name in losses], device=raw.device)
        total = (factor * ((-log_variance).exp() * raw + log_variance / 2)).sum()
        weights = factor * (-log_variance.detach()).exp()
        return total, dict(zip(losses, weights, strict=True))


def is_measured(step: int) -> bool:
    """Return whether gradients are measured at a step, counted from 0."""
    return step % MEASURED_EVERY == 0 or (step < MEASURED_EVERY and step & (step - 1) == 0)


class GradientMeter:
    """Running norms of the objectives' gradients.

    Args:
        objectives: names of the objectives; the first one is the primary objective.
    """

    def __init__(self, objectives: Sequence[str]) -> None:
        self.objectives = tuple(objectives)
        # For each objective: exponential moving average of the log norms, and the total weight of the measurements in
        # this average. A norm can decrease by two orders of magnitude in the first epoch, which an arithmetic mean
        # would follow only epochs later.
        self._means = torch.zeros(len(self.objectives), 2, dtype=torch.float64)
        self._gradients: dict[str, Tensor] = {}
        self._micro_batches = 0

    def accumulate(self, losses: Mapping[str, Tensor], parameters: Sequence[nn.Parameter]) -> None:
        """Add the gradients of one micro-batch, before its backward pass; the graph is retained."""
        self._micro_batches += 1
        for name, loss in losses.items():
            parts = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            flat = torch.cat(
                [
                    (torch.zeros_like(parameter) if part is None else part).detach().float().flatten()
                    for part, parameter in zip(parts, parameters, strict=True)
                ]
            )
            self._gradients[name] = flat if name not in self._gradients else self._gradients[name] + flat

    @property
    def is_accumulating(self) -> bool:
        """Whether gradients have been accumulated since the last call to :meth:`finish`."""
        return bool(self._gradients)

    def finish(
        self, weights: Mapping[str, float], reduce: Callable[[Tensor], Tensor] | None = None
    ) -> dict[str, float]:
        """Update the running means with the accumulated gradients and return the measurements of the step.

        Args:
            weights: weights of the objectives in the step.
            reduce: callable that averages a tensor over processes; if it is given, all processes must call this method
                in the same steps.

        Returns:
            ``NAME.gradient_ratio`` and ``NAME.cosine`` of each auxiliary; empty if no gradient was accumulated. The
            ratio is absent if the weight is zero, as in the first step of balance ``gradient``, and the cosine is
            absent if one of the gradients is zero.
        """
        if not self._gradients:
            return {}
        means = {name: flat / self._micro_batches for name, flat in self._gradients.items()}
        gradients = {name: (mean if reduce is None else reduce(mean)).double() for name, mean in means.items()}
        self._gradients, self._micro_batches = {}, 0
        norms = {name: float(gradient.norm()) for name, gradient in gradients.items()}
        if not all(torch.isfinite(torch.tensor(list(norms.values())))):
            # The loss is checked elsewhere; a single fp16 overflow must not invalidate the running mean.
            return {}
        for name, norm in norms.items():
            row = self._means[self.objectives.index(name)]
            if norm:
                row.mul_(MEAN_DECAY).add_(
                    torch.tensor([math.log(norm), 1.0], dtype=torch.float64), alpha=1 - MEAN_DECAY
                )
        primary = self.objectives[0]
        logs: dict[str, float] = {}
        for name in norms:
            if name == primary or not norms.get(primary):
                continue
            if weights[name]:
                logs[f"{name}.gradient_ratio"] = weights[name] * norms[name] / (weights[primary] * norms[primary])
            if norms[name]:
                dot = float(gradients[name] @ gradients[primary])
                logs[f"{name}.cosine"] = dot / (norms[name] * norms[primary])
        return logs

    def weight(self, name: str, *, ratio: float) -> float:
        """Return the weight at which the norm of an auxiliary's gradient is ``ratio`` times the primary gradient norm.

        The weight is at most 10,000. It is 0 before the first measurement, which is made in the first step. As long as
        all measured norms of the auxiliary are 0, for example before the first update of a last layer that is
        initialized with zeros, the weight is ``ratio``.
        """
        primary, own = self._means[0], self._means[self.objectives.index(name)]
        if not float(primary[1]):
            return 0.0
        if not float(own[1]):
            return ratio
        return min(_LARGEST_RATIO, ratio * math.exp(min(float(primary[0] / primary[1] - own[0] / own[1]), 100.0)))

    def state(self) -> Tensor:
        """Return the running means, float64 [objectives, 2], which are needed to resume a run."""
        return self._means.clone()

    def load_state(self, state: Tensor) -> None:
        """Restore the running means that :meth:`state` returned."""
        self._means.copy_(state)
