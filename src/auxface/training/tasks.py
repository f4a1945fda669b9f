"""From the manifest's labels and the recipe's wishes to tasks, and from label columns to tensors.

The scale of an ordinal label: the values that an answer can be, read off the training split.

Weights of classes in the loss: given, or such that rare and common classes count alike in the training split.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from auxface.data.manifest import Label, Manifest
from auxface.errors import InputError
from auxface.objectives import Task
from auxface.plugins import nearest
from auxface.recipe import Recipe, TaskOptions

_MOST_WHOLE = 128
_BINS = 20


def ordinal_values(labels: np.ndarray, bins: int | None, name: str) -> tuple[float, ...]:
    """Evenly spaced values from the smallest to the largest label.

    Args:
        labels: float [N], NaN unknown, of the training split.
        bins: how many values; None: one per whole number where all labels are whole and span at most 128, else 20.
        name: of the label, for the error.

    Raises:
        InputError: fewer than two different labels.
    """
    known = labels[np.isfinite(labels)]
    if not len(known) or known.min() == known.max():
        raise InputError(f"tasks: label '{name}' has fewer than two different values in the training split")
    low, high = float(known.min()), float(known.max())
    if bins is None:
        whole = bool((known == known.round()).all()) and high - low < _MOST_WHOLE
        bins = int(high - low) + 1 if whole else _BINS
    return tuple(float(value) for value in np.linspace(low, high, bins))


def class_weights(task: Task, wanted: str | Mapping[str, float], labels: Tensor) -> tuple[float, ...]:
    """The weights of a task's classes, as :class:`auxface.objectives.Task` holds them.

    Balanced weights are n / (classes * count of the class), as scikit-learn has them; a class without images has 1.

    Args:
        task: a class, binary or multilabel task.
        wanted: ``balanced``, or weights by class or attribute name (of an attribute: of its presence).
        labels: of the training split, see :func:`auxface.training.tasks.label_tensors`.

    Raises:
        InputError: a name that is no class of the task.
    """
    if isinstance(wanted, Mapping):
        unknown = [name for name in wanted if name not in task.classes]
        if unknown:
            raise InputError(
                f"tasks.{task.name}.class_weights: '{unknown[0]}' is no class; expected {', '.join(task.classes)}"
            )
        given = tuple(float(wanted.get(name, 1.0)) for name in task.classes)
        return (1.0,) * len(given) + given if task.kind == "multilabel" else given
    values = labels.numpy().astype(np.float64)
    if task.kind == "class":
        return _balanced(np.array([(values == place).sum() for place in range(len(task.classes))]))
    columns = values.reshape(len(values), -1)
    pairs = [_balanced(np.array([(column == side).sum() for side in (0, 1)])) for column in columns.T]
    return tuple(pair[0] for pair in pairs) + tuple(pair[1] for pair in pairs)


def _balanced(counts: np.ndarray) -> tuple[float, ...]:
    weights = np.where(counts > 0, counts.sum() / (len(counts) * np.maximum(counts, 1)), 1.0)
    return tuple(float(weight) for weight in weights)


TRAINABLE = ("class", "binary", "multilabel", "ordinal")
_BY_DEFAULT = ("class", "binary", "multilabel")


def tasks_for(recipe: Recipe, manifest: Manifest) -> tuple[Task, ...]:
    """The tasks that a recipe asks for, with the manifest's class names.

    Class weights and the values of an ordinal task are read off the training split. A recipe that names no tasks gets
    every label with classes.

    Raises:
        InputError: a task that the manifest has no label for, a label of a kind that no head learns, other classes than
            the recipe states, or an option that the kind of label does not take.
    """
    by_default = {name: TaskOptions() for name, label in manifest.labels.items() if label.kind in _BY_DEFAULT}
    wanted = recipe.tasks or by_default
    if not wanted:
        raise InputError("the manifest has no label to learn; add one with 'auxface prepare table --label NAME'")
    tasks: list[Task] = []
    for name, options in wanted.items():
        if name not in manifest.labels:
            have = ", ".join(manifest.labels) or "none"
            raise InputError(
                f"tasks: the manifest has no label '{name}'{nearest(name, manifest.labels)}; its labels: {have}"
            )
        label = manifest.labels[name]
        if label.kind not in TRAINABLE:
            raise InputError(f"tasks: label '{name}' is {label.kind}; expected one of {', '.join(TRAINABLE)}")
        _check_options(name, label, options)
        tasks.append(_task(name, label, options, manifest))
    return tuple(tasks)


def label_tensors(manifest: Manifest, tasks: tuple[Task, ...]) -> dict[str, Tensor]:
    """Labels of every row: class int64 [N], -1 unknown; the others NaN unknown.

    Binary and ordinal are float32 [N], multilabel is float32 [N, A].
    """
    labels: dict[str, Tensor] = {}
    for task in tasks:
        if task.kind == "class":
            number = {name: place for place, name in enumerate(task.classes)}
            values = [number.get(value, -1) for value in manifest.table[task.name]]
            labels[task.name] = torch.tensor(values, dtype=torch.int64)
        else:
            columns = list(task.classes) if task.kind == "multilabel" else task.name
            labels[task.name] = torch.from_numpy(manifest.table[columns].to_numpy(dtype=np.float32, na_value=np.nan))
    return labels


def _check_options(name: str, label: Label, options: TaskOptions) -> None:
    if options.classes and options.classes != label.classes:
        raise InputError(
            f"tasks: the recipe says that '{name}' has {len(options.classes)} classes "
            f"({', '.join(options.classes)}), the manifest has {len(label.classes)} ({', '.join(label.classes)})"
        )
    if label.kind == "ordinal":
        if options.class_weights or options.focal_gamma:
            raise InputError(f"tasks: '{name}' is ordinal, which has no class_weights and no focal_gamma")
        return
    if options.bins is not None:
        raise InputError(f"tasks: '{name}' is {label.kind}; bins are for ordinal labels")
    if len(label.classes) < (1 if label.kind == "multilabel" else 2):
        raise InputError(f"tasks: label '{name}' has {len(label.classes)} class; nothing can be learned from it")


def _task(name: str, label: Label, options: TaskOptions, manifest: Manifest) -> Task:
    rows = manifest.only("train") if label.kind == "ordinal" or options.class_weights == "balanced" else manifest
    if label.kind == "ordinal":
        values = ordinal_values(rows.table[name].to_numpy(dtype=np.float64, na_value=np.nan), options.bins, name)
        return Task(name, "ordinal", tuple(f"{value:g}" for value in values), options.weight, values)
    task = Task(name, label.kind, label.classes, options.weight, focal_gamma=options.focal_gamma)
    if not options.class_weights:
        return task
    return replace(task, class_weights=class_weights(task, options.class_weights, label_tensors(rows, (task,))[name]))
