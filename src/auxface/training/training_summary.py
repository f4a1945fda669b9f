"""The summary printed after training: metrics, simple baselines, effects of the auxiliaries, and next steps.

All metrics are computed on the validation split, on which the weights were selected, so they are optimistic. Groups are
compared by balanced accuracy; only levels with at least 30 images are compared.

Example:
    >>> figures = {"smile": {"balanced_accuracy": 0.9, "n": 80, "baselines": {"hog": 0.81}, "worst_group": None}}
    >>> conclusions(figures, 3, 10)[0]
    'smile: validation balanced accuracy 0.900 (n 80); HOG + logistic regression 0.810.'

The gradient ratio shows how strongly an auxiliary affected the encoder, and the skill on validation images shows
whether the auxiliary learned its target. The two are defined in :mod:`auxface.model.balance` and
:mod:`auxface.objectives.reconstruction.masked_autoencoder`.

Example:
    >>> entries = [{"reconstruction.gradient_ratio": 0.31, "val.reconstruction.skill.rgb": 0.62}]
    >>> describe_effect(entries).split(":")[0]
    'The auxiliary affected the encoder'
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from torch import Tensor

from auxface.data.manifest import Manifest
from auxface.model.config import LEARNED_FROM, TaskRecord, VerificationRecord
from auxface.objectives import LearnedTask
from auxface.objectives.validation_figures import classification_figure
from auxface.recipe import Recipe
from auxface.sample_kind import SampleKind
from auxface.training.baselines import NAMES

_FEWEST_IMAGES = 30
_METRIC = "balanced_accuracy"


def task_figures(
    tasks: tuple[LearnedTask, ...],
    logits: Mapping[str, np.ndarray],
    labels: Mapping[str, Tensor],
    rows: Manifest,
    baselines: Mapping[str, Mapping[str, float]],
) -> dict[str, dict[str, Any]]:
    """Return, for each task, the balanced accuracy, the number of images, the baselines and the worst group.

    Ordinal tasks and metrics that cannot be computed are absent.

    Args:
        tasks: tasks of the model.
        logits: logits of the validation split by task, [N, outputs].
        labels: labels of the validation split by task, of length N.
        rows: the N rows of the validation split.
        baselines: balanced accuracy of simple baselines, by task.
    """
    figures: dict[str, dict[str, Any]] = {}
    for task in tasks:
        if task.kind == "ordinal":
            continue
        own, target = logits[task.name], labels[task.name]
        value = classification_figure(_METRIC, (task,), {task.name: own}, {task.name: target})
        if value is None:
            continue
        figures[task.name] = {
            _METRIC: round(value, 4),
            "n": _count_known(target),
            "baselines": dict(baselines.get(task.name, {})),
            "worst_group": _worst_group(task, own, target, rows),
        }
    return figures


def conclusions(
    figures: Mapping[str, Mapping[str, Any]], best_epoch: int, epochs: int, records: Sequence[TaskRecord] = ()
) -> list[str]:
    """Return the conclusions of a training run as sentences: metric and worst group of each task, and next steps.

    Args:
        figures: result of :func:`task_figures`.
        best_epoch: epoch of the selected weights, counted from 1.
        epochs: number of epochs in the recipe.
        records: records of the tasks, with the evidence for their classes.
    """
    sentences: list[str] = []
    behind: list[str] = []
    for task, each in figures.items():
        beside = "".join(f"; {NAMES[name]} {value:.3f}" for name, value in each["baselines"].items())
        sentences.append(f"{task}: validation balanced accuracy {each[_METRIC]:.3f} (n {each['n']}){beside}.")
        worst = each["worst_group"]
        if worst is not None:
            sentences.append(
                f"{task}: the lowest balanced accuracy of a group is {worst[_METRIC]:.3f} ({worst['group']} "
                f"{worst['level']}, n {worst['n']})."
            )
        if each["baselines"] and each[_METRIC] <= max(each["baselines"].values()):
            behind.append(task)
    for record in records:
        unknown = record.not_learned()
        if unknown:
            sentences.append(
                f"{record.name}: {len(unknown)} of {len(record.evidence)} classes were not learned (the interval of "
                f"the validation AUC begins below {LEARNED_FROM:g}), so the model never predicts them: "
                f"{', '.join(unknown)}."
            )
    if behind:
        sentences.append(
            f"Next: the model is no better than the simple baselines on {', '.join(behind)}; train longer, start from "
            "pretrained weights, or check the labels."
        )
    elif figures and best_epoch == epochs:
        sentences.append("Next: the last epoch was the best, so more epochs may help; then run auxface evaluate.")
    elif figures:
        sentences.append("Next: evaluate the test split by group and under corruption with auxface evaluate.")
    return sentences


def describe_same_person(
    found: VerificationRecord | None, value: float | None, recipe: Recipe, kind: SampleKind
) -> list[str]:
    """Return sentences that describe the embedding and the verification threshold."""
    if found is None:
        return []
    figure = "" if value is None else f"validation {recipe.selection_metric.replace('_', ' ')} {value:.3f}, "
    return [
        f"{found.label}: {figure}{found.pairs} pairs of {found.people} {kind.identities}; two {kind.images} are "
        f"considered the same {kind.identity} if their similarity is at least {found.threshold:.3f}; on these pairs, "
        f"the false match rate is {found.false_match_rate:.1%} and the false non-match rate is "
        f"{found.false_non_match_rate:.1%}.",
        f"Next: evaluate pairs of other {kind.identities} with auxface evaluate --pairs.",
    ]


def describe_time(recipe: Recipe, *, epochs: int, seconds: float) -> list[str]:
    """Return sentences that describe how ``train.max_seconds`` affected a run, given its epochs and its duration."""
    limit = recipe.train.max_seconds
    if limit is None:
        return []
    sentences: list[str] = []
    if epochs < recipe.train.epochs:
        sentences.append(
            f"Time: steps were slower than planned, so training stopped after {epochs} of {recipe.train.epochs} epochs."
        )
    if seconds > 1.1 * limit:
        sentences.append(
            f"Time: training took {seconds / 60:.1f} minutes, more than the limit of {limit / 60:.1f} minutes; an "
            "epoch that has begun is always finished."
        )
    return sentences


def _worst_group(task: LearnedTask, logits: np.ndarray, labels: Tensor, rows: Manifest) -> dict[str, Any] | None:
    found: list[dict[str, Any]] = []
    for group in rows.groups:
        # A group column that equals the task has only one class per level.
        if group == task.name or (task.kind == "multilabel" and group in task.classes):
            continue
        column = rows.table[group]
        for level in column.dropna().unique():
            chosen = (column == level).to_numpy(copy=True)
            count = _count_known(labels[chosen])
            if count < _FEWEST_IMAGES:
                continue
            value = classification_figure(_METRIC, (task,), {task.name: logits[chosen]}, {task.name: labels[chosen]})
            if value is not None:
                found.append({"group": group, "level": str(level), _METRIC: round(value, 4), "n": count})
    return min(found, key=lambda each: each[_METRIC], default=None)


def _count_known(labels: Tensor) -> int:
    known = labels >= 0 if not labels.is_floating_point() else ~labels.isnan()
    return int(known.view(len(known), -1).any(1).sum())


LEAST_RATIO = 0.05
LEAST_SKILL = 0.02
_RATIO, _SKILL = ".gradient_ratio", ".skill."
_FIGURES = ("loss", "weight", "weighted", "gradient_ratio", "set_ratio", "cosine")

Entries = Sequence[Mapping[str, Any]]
"""Entries of ``log.jsonl``, one per epoch."""


@dataclass(frozen=True)
class AuxiliaryEffect:
    """The effect of one auxiliary in a run.

    Attributes:
        name: name of the auxiliary.
        ratio: mean gradient ratio over the second half of the epochs; None if it was not measured.
        skills: last skill on validation images, by target; empty if it was not measured.
    """

    name: str
    ratio: float | None
    skills: Mapping[str, float]

    @property
    def is_negligible(self) -> bool:
        """Whether the gradient ratio is below 0.05."""
        return self.ratio is not None and self.ratio < LEAST_RATIO

    @property
    def is_unlearned(self) -> bool:
        """Whether the skill of every target is below 0.02."""
        return bool(self.skills) and max(self.skills.values()) < LEAST_SKILL


def auxiliary_effects(entries: Entries) -> list[AuxiliaryEffect]:
    """Return the effect of each auxiliary whose gradient ratio or skill was measured."""
    names: dict[str, None] = {}
    for key in dict.fromkeys(key for entry in entries for key in entry):
        if key.endswith(_RATIO):
            names[key.removesuffix(_RATIO)] = None
        elif key.startswith("val.") and _SKILL in key:
            names[key.removeprefix("val.").partition(_SKILL)[0]] = None
    late = entries[len(entries) // 2 :]
    effects = []
    for name in names:
        ratios = [entry[f"{name}{_RATIO}"] for entry in late if f"{name}{_RATIO}" in entry]
        skills = _last(entries, f"val.{name}{_SKILL}")
        if ratios or skills:
            effects.append(AuxiliaryEffect(name, fmean(ratios) if ratios else None, skills))
    return effects


def describe_effect(entries: Entries) -> str | None:
    """Describe the effect of each auxiliary of a run in one sentence.

    Returns:
        The description, or None if neither ratio nor skill was measured, as in a supervised run. It begins with "The
        auxiliary had almost no effect on the encoder" if the mean gradient ratio over the second half of the epochs is
        below 0.05, with "The auxiliary did not learn its target" if the last skill on validation images is below 0.02
        for every target, with "The auxiliary learned its target" if the ratio was not measured, and with "The auxiliary
        affected the encoder" otherwise.
    """
    effects = auxiliary_effects(entries)
    return " ".join(_sentence(effect, alone=len(effects) == 1) for effect in effects) or None


def _sentence(effect: AuxiliaryEffect, *, alone: bool) -> str:
    parts: list[str] = []
    if effect.ratio is not None:
        parts.append(
            "in the second half of the epochs, the norm of its gradient on the last stage of the encoder was "
            f"{effect.ratio:.2g} times that of the task's gradient"
        )
    if effect.skills:
        named = ", ".join(f"{value:.2f} ({target.replace('_', ' ')})" for target, value in effect.skills.items())
        parts.append(f"its last skill on validation images was {named}")
    if effect.is_negligible:
        verb, limit = "had almost no effect on the encoder", f"; a ratio below {LEAST_RATIO} is negligible"
    elif effect.is_unlearned:
        verb, limit = "did not learn its target", "; 0 is the skill of the best constant prediction"
    else:
        verb, limit = "learned its target" if effect.ratio is None else "affected the encoder", ""
    subject = "The auxiliary" if alone else f"The auxiliary {effect.name.replace('_', ' ')}"
    return f"{subject} {verb}: {', and '.join(parts)}{limit}."


def effect_warnings(entries: Entries) -> list[str]:
    """Return a warning and advice for each auxiliary that had almost no effect or did not learn its target."""
    warnings: list[str] = []
    for effect in auxiliary_effects(entries):
        if effect.is_negligible:
            warnings.append(
                f"{effect.name}: the gradient ratio was {effect.ratio:.2g}, below {LEAST_RATIO}, so this run does not "
                "test the auxiliary; set balance=gradient"
            )
        if effect.is_unlearned:
            warnings.append(
                f"{effect.name}: the skill on validation images was {max(effect.skills.values()):.3f}, below "
                f"{LEAST_SKILL}; train longer, or choose a target that can be predicted from visible patches"
            )
    return warnings


def last_figures(entries: Entries) -> dict[str, dict[str, float]]:
    """Return the last logged metrics of each auxiliary: losses, weight, gradient ratio, cosine, skills."""
    return {
        effect.name: {
            **{key: value for key, value in _last(entries, f"{effect.name}.").items() if key in _FIGURES},
            **{f"skill.{key}": value for key, value in _last(entries, f"{effect.name}{_SKILL}").items()},
            **{f"val.skill.{key}": value for key, value in effect.skills.items()},
        }
        for effect in auxiliary_effects(entries)
    }


def _last(entries: Entries, prefix: str) -> dict[str, float]:
    """Return the last value of each key with the prefix; the keys of the result do not have the prefix."""
    merged = {key: value for entry in entries for key, value in entry.items() if key.startswith(prefix)}
    return {key.removeprefix(prefix): float(value) for key, value in merged.items()}
