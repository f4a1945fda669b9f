"""Weights of classes in the loss: given, or such that rare and common classes count alike in the training split."""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from auxface.errors import InputError
from auxface.objectives import Task


def class_weights(task: Task, wanted: str | Mapping[str, float], labels: Tensor) -> tuple[float, ...]:
    """The weights of a task's classes, as :class:`auxface.objectives.Task` holds them.

    Balanced weights are n / (classes * count of the class), as scikit-learn has them; a class without pictures has 1.

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
