"""Which pictures are drawn how often, and how much each counts: three ways to help a group that fares badly.

A group's labels come to a model's training here alone, and only where the recipe names their column.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from auxface.errors import InputError
from auxface.objectives import Task
from auxface.recipe import Train
from auxface.training.group_dro import GroupShares, group_shares


@dataclass(frozen=True)
class Balance:
    """What a training split is drawn and weighed by.

    Attributes:
        chances: float64 [N], how often each picture is drawn, with replacement; None: each once an epoch.
        weights: float32 [N], how much it counts for the primary objective, 1 on average; None: all alike.
        shares: of the groups, which follow their losses; None: no group DRO.
    """

    chances: Tensor | None = None
    weights: Tensor | None = None
    shares: GroupShares | None = None


def balance_for(options: Train, table: pd.DataFrame, groups: tuple[str, ...], tasks: tuple[Task, ...]) -> Balance:
    """What the recipe asks for.

    Args:
        options: the recipe's section.
        table: the rows of the training split.
        groups: the manifest's group columns.
        tasks: the tasks; ``class_balanced`` balances the first that has single answers.

    Raises:
        InputError: the named column is no group of the manifest, or no task has classes to balance.
    """
    if options.group is not None and options.group not in groups:
        raise InputError(
            f"train.group: the manifest has no group column '{options.group}'; it has: {', '.join(groups) or 'none'}"
        )
    if options.threshold_per_group and not any(task.kind in ("binary", "multilabel") for task in tasks):
        raise InputError(
            "train.threshold_per_group needs a task of kind binary or multilabel; a choice takes the highest score"
        )
    chances = weights = None
    if options.sampling == "group_balanced":
        chances = inverse_frequency(table[options.group])
    elif options.sampling == "class_balanced":
        single = next((task for task in tasks if task.kind in ("class", "binary")), None)
        if single is None:
            raise InputError("train.sampling class_balanced needs a task of kind class or binary")
        chances = inverse_frequency(table[single.name])
    if options.reweight_group:
        weights = inverse_frequency(table[options.group]).float()
    shares = None
    if options.group is not None and options.group_dro is not None:
        shares = group_shares(table[options.group], options.group, options.group_dro)
    return Balance(chances, weights, shares)


def inverse_frequency(values: pd.Series) -> Tensor:
    """A weight for every row, float64 [N], 1 on average, so that each value has the same sum; unknown ones weigh 1."""
    counts = values.map(values.value_counts())
    weights = (1 / counts).to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    known = ~np.isnan(weights)
    weights[known] *= known.sum() / max(weights[known].sum(), 1e-12)
    weights[~known] = 1
    return torch.from_numpy(weights)
