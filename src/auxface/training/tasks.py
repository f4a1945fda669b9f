"""From the manifest's labels and the recipe's wishes to tasks, and from label columns to tensors."""

import difflib

import numpy as np
import torch
from torch import Tensor

from auxface.data.manifest import Manifest
from auxface.errors import InputError
from auxface.objectives import Task
from auxface.recipe import Recipe, TaskOptions

TRAINABLE = ("class", "binary", "multilabel")


def tasks_for(recipe: Recipe, manifest: Manifest) -> tuple[Task, ...]:
    """The tasks that a recipe asks for, with the manifest's class names.

    Raises:
        InputError: a task that the manifest has no label for, a label of a kind that no head learns, or other classes
            than the recipe states.
    """
    wanted = recipe.tasks or {name: TaskOptions() for name, label in manifest.labels.items() if label.kind in TRAINABLE}
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
        if options.classes and options.classes != label.classes:
            raise InputError(
                f"tasks: the recipe says that '{name}' has {len(options.classes)} classes "
                f"({', '.join(options.classes)}), the manifest has {len(label.classes)} ({', '.join(label.classes)})"
            )
        if len(label.classes) < (1 if label.kind == "multilabel" else 2):
            raise InputError(f"tasks: label '{name}' has {len(label.classes)} class; nothing can be learned from it")
        tasks.append(Task(name, label.kind, label.classes, options.weight))
    return tuple(tasks)


def label_tensors(manifest: Manifest, tasks: tuple[Task, ...]) -> dict[str, Tensor]:
    """Labels of every row: class int64 [N], -1 unknown; binary float32 [N]; multilabel float32 [N, A]; NaN unknown."""
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
