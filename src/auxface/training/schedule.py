"""The learning rate of every step: linear warmup, then half a cosine (Loshchilov and Hutter, 2017).

Under the schemes ``sequential`` and ``frozen`` each phase has its own warmup and half cosine.

Example:
    >>> rates = learning_rates(10, Train(batch_size=256, base_learning_rate=0.1, warmup_fraction=0.2))
    >>> rates[0], rates[1], rates[2]
    (0.0, 0.05, 0.1)
"""

import math

from auxface.recipe import Train


def learning_rates(total_steps: int, options: Train, *, pretraining: float = 0.0) -> list[float]:
    """Return the learning rate of each step of a run.

    The peak is ``base_learning_rate`` times the images per step, divided by 256 (Goyal et al., 2017).

    Args:
        total_steps: steps of the whole run.
        options: section ``train`` of the recipe.
        pretraining: fraction of the steps in a separate first phase; 0: there is one phase.
    """
    first = _steps_of_pretraining(total_steps, pretraining)
    return [_rate_in_phase(step, steps, options) for steps in (first, total_steps - first) for step in range(steps)]


def _steps_of_pretraining(total_steps: int, pretraining: float) -> int:
    """Return the first step whose fraction of the run is at least ``pretraining``, as the objectives change there."""
    first = int(pretraining * total_steps)
    return first if first / total_steps >= pretraining else first + 1


def _rate_in_phase(step: int, steps: int, options: Train) -> float:
    peak = options.base_learning_rate * options.images_per_step / 256
    warmup_steps = options.warmup_fraction * steps
    if step < warmup_steps:
        return peak * step / warmup_steps
    progress = (step - warmup_steps) / max(steps - warmup_steps, 1)
    return options.min_learning_rate + (peak - options.min_learning_rate) * 0.5 * (1 + math.cos(math.pi * progress))
