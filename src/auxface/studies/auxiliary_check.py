"""Check whether the runs of a method applied its auxiliary as intended; otherwise its differences are "not tested".

An auxiliary whose gradient is a tenth of the set value, or whose target the model did not learn, cannot answer whether
the auxiliary helps. A control with shuffled targets must not learn its target.

Example::

    check = check_auxiliary(records.values(), learnable=0.4)
    check.why  # "" if the method counts as tested
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, geometric_mean
from typing import Any

from auxface.training.training_summary import LEAST_RATIO, LEAST_SKILL, auxiliary_effects

RATIO_LIMITS = (0.3, 3.0)
"""Smallest and largest gradient ratio of a tested auxiliary, as a multiple of the value set by ``balance``."""
LEARNABLE_FRACTION = 0.5
"""A tested auxiliary reaches at least this fraction of the skill that ``auxface texture learnable`` reports."""


@dataclass(frozen=True)
class AuxiliaryCheck:
    """How strongly the auxiliaries of a method acted, over all seeds.

    Attributes:
        ratio: gradient ratio, the geometric mean over seeds of the second half of the epochs; None if not measured.
            With several auxiliaries, the one that is furthest from its set value.
        set_ratio: gradient ratio set by ``balance: gradient``; None for other balances.
        skill: last skill on validation images, averaged over targets and seeds; None if not measured.
        needed: skill that the method needs to count as tested; for a control, the highest skill that is allowed.
        is_control: whether the method is a control, whose auxiliary must not learn its target.
        why: reason why the method does not count as tested; "" if it does.
    """

    ratio: float | None
    set_ratio: float | None
    skill: float | None
    needed: float
    is_control: bool
    why: str

    def to_dict(self) -> dict[str, object]:
        """Return the check as plain data for the JSON document."""
        return dict(vars(self))


def check_auxiliary(
    records: Iterable[Mapping[str, Any]], *, learnable: float | None = None, is_control: bool = False
) -> AuxiliaryCheck | None:
    """Check the logged gradient ratios and skills of the runs of one method on one data set.

    Args:
        records: records of the finished runs, one per seed, each with its learning curve.
        learnable: skill that ``auxface texture learnable`` reports for the target; None if it was not measured, in
            which case any skill of 0.02 is enough.
        is_control: whether the method is a control.

    Returns:
        The check, or None if no gradient ratio and no skill was logged.
    """
    found = [(record["curve"], auxiliary_effects(record["curve"])) for record in records]
    ratios: dict[str, list[float]] = {}
    skills: list[float] = []
    set_ratios: dict[str, float] = {}
    for curve, effects in found:
        for effect in effects:
            if effect.ratio is not None:
                ratios.setdefault(effect.name, []).append(effect.ratio)
                known = [entry[key] for entry in curve if entry.get(key := f"{effect.name}.set_ratio")]
                set_ratios |= {effect.name: known[-1]} if known else {}
        values = [value for effect in effects for value in effect.skills.values()]
        skills += [fmean(values)] if values else []
    if not ratios and not skills:
        return None
    means = {name: geometric_mean(values) if min(values) > 0 else 0.0 for name, values in ratios.items()}
    worst = max(means, key=lambda name: _distance(means[name], set_ratios.get(name)), default=None)
    ratio, set_ratio = (None, None) if worst is None else (means[worst], set_ratios.get(worst))
    skill = fmean(skills) if skills else None
    needed = LEAST_SKILL if is_control or learnable is None else LEARNABLE_FRACTION * learnable
    why = " ".join(filter(None, (_ratio_problem(ratio, set_ratio), _skill_problem(skill, needed, is_control))))
    return AuxiliaryCheck(ratio, set_ratio, skill, needed, is_control, why)


def _distance(ratio: float, set_ratio: float | None) -> float:
    """Return by which factor a gradient ratio differs from the set value, or from 1."""
    relative = ratio / (set_ratio or 1)
    return max(relative, 1 / relative) if relative else float("inf")


def _ratio_problem(ratio: float | None, set_ratio: float | None) -> str:
    if ratio is None:
        return ""
    low, high = (LEAST_RATIO, None) if set_ratio is None else (limit * set_ratio for limit in RATIO_LIMITS)
    if ratio >= low and (high is None or ratio <= high):
        return ""
    needed = f"at least {low:.2g}" if high is None else f"{low:.2g} to {high:.2g}"
    return (
        f"The gradient norm of its auxiliary was {ratio:.2g} times that of the task, averaged over seeds; {needed} is "
        "required."
    )


def _skill_problem(skill: float | None, needed: float, is_control: bool) -> str:
    if skill is None or (skill <= needed if is_control else skill >= needed):
        return ""
    limit = f"at most {needed:.2f} is allowed in a control" if is_control else f"at least {needed:.2f} is required"
    return f"The skill of its auxiliary on validation images was {skill:.2f}, averaged over seeds; {limit}."
