"""The summary printed after training: figures beside plain baselines, the worst group, what to do next.

All figures are from the validation split, on which the weights were selected, so they are optimistic. Groups are
compared by balanced accuracy, on levels with at least 30 images.

Example:
    >>> figures = {"smile": {"balanced_accuracy": 0.9, "n": 80, "baselines": {"hog": 0.81}, "worst_group": None}}
    >>> conclusions(figures, 3, 10)[0]
    'smile: validation balanced accuracy 0.900 (n 80); HOG + logistic regression 0.810.'
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from auxface.data.manifest import Manifest
from auxface.model.config import LEARNED_FROM, TaskRecord
from auxface.objectives import LearnedTask
from auxface.objectives.validation_figures import classification_figure
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
    """Return, per task, the balanced accuracy, its number of images, the baselines and the worst group.

    Ordinal tasks and figures that cannot be measured are absent.

    Args:
        tasks: the tasks.
        logits: logits of the validation split per task, [N, outputs].
        labels: labels of the validation split per task, of length N.
        rows: the validation split, of length N.
        baselines: balanced accuracy of plain baselines per task.
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
    """Return sentences on a training: a figure per task, its worst group, and what to do next.

    Args:
        figures: see :func:`task_figures`.
        best_epoch: epoch of the selected weights, counted from 1.
        epochs: epochs of the recipe.
        records: the tasks with the evidence for their classes.
    """
    sentences: list[str] = []
    behind: list[str] = []
    for task, each in figures.items():
        beside = "".join(f"; {NAMES[name]} {value:.3f}" for name, value in each["baselines"].items())
        sentences.append(f"{task}: validation balanced accuracy {each[_METRIC]:.3f} (n {each['n']}){beside}.")
        worst = each["worst_group"]
        if worst is not None:
            sentences.append(
                f"{task}: the lowest figure of a group is {worst[_METRIC]:.3f} ({worst['group']} {worst['level']}, "
                f"n {worst['n']})."
            )
        if each["baselines"] and each[_METRIC] <= max(each["baselines"].values()):
            behind.append(task)
    for record in records:
        unknown = record.not_learned()
        if unknown:
            sentences.append(
                f"{record.name}: {len(unknown)} of {len(record.evidence)} not learned (the interval of the validation "
                f"AUC begins under {LEARNED_FROM:g}), so predictions do not answer: {', '.join(unknown)}."
            )
    if behind:
        sentences.append(
            f"Next: {', '.join(behind)} is not above its plain baselines; train longer, start from pretrained weights, "
            "or check the labels."
        )
    elif figures and best_epoch == epochs:
        sentences.append("Next: the last epoch was the best, so more epochs may help; then run auxface evaluate.")
    elif figures:
        sentences.append("Next: measure the test split by group and under corruption with auxface evaluate.")
    return sentences


def _worst_group(task: LearnedTask, logits: np.ndarray, labels: Tensor, rows: Manifest) -> dict[str, Any] | None:
    found: list[dict[str, Any]] = []
    for group in rows.groups:
        # A group that is the task itself has one class per level.
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
