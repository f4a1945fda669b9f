"""From the manifest's labels and the recipe's wishes to tasks, and from label columns to tensors."""

import difflib
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from auxface.data.manifest import Label, Manifest
from auxface.errors import InputError
from auxface.objectives import Task
from auxface.recipe import Recipe, TaskOptions
from auxface.training.class_weights import class_weights
from auxface.training.ordinal_values import ordinal_values

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
            close = difflib.get_close_matches(name, manifest.labels, n=1)
            hint = f" (did you mean '{close[0]}'?)" if close else ""
            have = ", ".join(manifest.labels) or "none"
            raise InputError(f"tasks: the manifest has no label '{name}'{hint}; its labels: {have}")
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
