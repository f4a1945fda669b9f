"""Tasks of a recipe on a manifest, and the manifest's label columns as tensors.

Example::

    tasks = tasks_for(recipe, manifest)
    labels = label_tensors(manifest.only("train"), tasks)
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from auxface.data.manifest import Label, Manifest
from auxface.errors import InputError
from auxface.objectives import LearnedTask
from auxface.plugins import nearest
from auxface.recipe import Recipe, TaskOptions, Train
from auxface.sample_kind import kind_of

TRAINABLE = ("class", "binary", "multilabel", "ordinal")
_DEFAULT_KINDS = ("class", "binary", "multilabel")
_MAX_INTEGER_VALUES = 128
_DEFAULT_BINS = 20


def tasks_for(recipe: Recipe, manifest: Manifest) -> tuple[LearnedTask, ...]:
    """Return the tasks of a recipe with the manifest's class names.

    If the recipe names no tasks, the tasks are all class, binary and multilabel labels of the manifest; for metric
    learning on a manifest without these labels, the task is the identity label. A recipe for pre-training has no tasks.
    Class weights, the values of an ordinal task and the people of an identity task are taken from the training split.

    Args:
        recipe: recipe whose ``tasks`` section is read.
        manifest: manifest with all splits.

    Raises:
        InputError: the manifest has no label with the name of a task, the kind of a label is not supported, the recipe
            names other classes, an option does not apply to the kind of its label, or a person is in two splits.
    """
    if not recipe.trains_tasks:
        return ()
    defaults = {name: TaskOptions() for name, label in manifest.labels.items() if label.kind in _DEFAULT_KINDS}
    if recipe.primary.kind == "metric_learning" and not defaults:
        defaults = {name: TaskOptions() for name, label in manifest.labels.items() if label.kind == "identity"}
    requested = recipe.tasks or defaults
    if not requested:
        raise InputError("the manifest has no label for training; add one with 'auxface prepare table --label NAME'")
    tasks: list[LearnedTask] = []
    for name, options in requested.items():
        if name not in manifest.labels:
            labels = ", ".join(manifest.labels) or "none"
            hint = nearest(name, manifest.labels)
            raise InputError(f"tasks: the manifest has no label '{name}'{hint}; its labels: {labels}")
        label = manifest.labels[name]
        if label.kind == "identity" and recipe.primary.kind != "metric_learning":
            raise InputError(f"tasks: label '{name}' is an identity label, which requires primary.kind=metric_learning")
        _check_options(name, label, options)
        tasks.append(_task(name, label, options, manifest))
    return tuple(tasks)


def with_selection(recipe: Recipe, tasks: tuple[LearnedTask, ...]) -> Recipe:
    """Return the recipe with a validation metric that its tasks support: ``verification_auc`` for identity labels.

    Raises:
        InputError: the recipe sets a metric that its tasks do not support.
    """
    chosen, identity = recipe.train.select_on, next((task.name for task in tasks if task.identity), None)
    of_embeddings = chosen in ("verification_auc", "recall_at_1")
    if not recipe.trains_tasks or of_embeddings == (identity is not None):
        return recipe
    if identity is None:
        raise InputError(f"train.select_on={chosen} requires an identity label, but no task of the recipe is one")
    if "select_on" in recipe.train.model_fields_set and chosen != Train.model_fields["select_on"].default:
        raise InputError(
            f"train.select_on={chosen}: the values of '{identity}' differ between splits; expected verification_auc or "
            "recall_at_1"
        )
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"select_on": "verification_auc"})})


def _check_options(name: str, label: Label, options: TaskOptions) -> None:
    if label.kind == "identity":
        if options != TaskOptions(weight=options.weight):
            raise InputError(
                f"tasks: '{name}' is an identity label, which supports only the option weight; remove the other options"
            )
        return
    if label.kind not in TRAINABLE:
        raise InputError(f"tasks: label '{name}' is {label.kind}; expected one of {', '.join(TRAINABLE)}")
    if options.classes and options.classes != label.classes:
        raise InputError(
            f"tasks: the recipe has {len(options.classes)} classes for '{name}' ({', '.join(options.classes)}), but "
            f"the manifest has {len(label.classes)} ({', '.join(label.classes)}); remove classes from the recipe"
        )
    if label.kind == "ordinal":
        if options.class_weights or options.focal_gamma:
            raise InputError(f"tasks: '{name}' is ordinal; class_weights and focal_gamma do not apply; remove them")
        return
    if options.bins is not None:
        raise InputError(f"tasks: '{name}' is {label.kind}, but bins apply only to ordinal labels; remove bins")
    if len(label.classes) < (1 if label.kind == "multilabel" else 2):
        raise InputError(f"tasks: label '{name}' has {len(label.classes)} class; expected at least two")


def _task(name: str, label: Label, options: TaskOptions, manifest: Manifest) -> LearnedTask:
    if label.kind == "ordinal":
        known = manifest.only("train").table[name].to_numpy(dtype=np.float64, na_value=np.nan)
        values = _ordinal_values(known, options.bins, name)
        return LearnedTask(name, "ordinal", tuple(f"{value:g}" for value in values), options.weight, values)
    if label.kind == "identity":
        return LearnedTask(name, "class", _people(name, manifest), options.weight, identity=True)
    task = LearnedTask(name, label.kind, label.classes, options.weight, focal_gamma=options.focal_gamma)
    if not options.class_weights:
        return task
    if isinstance(options.class_weights, Mapping):
        return replace(task, class_weights=_given_weights(task, options.class_weights))
    labels = label_tensors(manifest.only("train"), (task,))[name]
    return replace(task, class_weights=_balanced_weights(task, labels))


def _people(name: str, manifest: Manifest) -> tuple[str, ...]:
    """Return the people in the training split, sorted; check that none of them is in another split."""
    table = manifest.table[manifest.table[name].notna()]
    train = set(table.loc[table["split"] == "train", name].astype(str))
    kind = kind_of(manifest.crop)
    if len(train) < 2:
        raise InputError(
            f"tasks: label '{name}' has {len(train)} {kind.identities} in the training split; expected at least two"
        )
    others = table[(table["split"] != "train") & table[name].astype(str).isin(train)]
    if len(others):
        row = others.iloc[0]
        raise InputError(
            f"tasks: '{row[name]}' of label '{name}' is in the splits train and {row['split']}, as are "
            f"{others[name].nunique() - 1} other {kind.identities}; no {kind.identity} may be in two splits; "
            f"prepare the manifest with --source {name}"
        )
    return tuple(sorted(train))


def _ordinal_values(labels: np.ndarray, bins: int | None, name: str) -> tuple[float, ...]:
    """Return evenly spaced values from the smallest to the largest of the labels, float [N]; unknown labels are NaN.

    If ``bins`` is None and all labels are integers with a range of at most 128, there is one value per integer.
    Otherwise, if ``bins`` is None, there are 20 values.
    """
    known = labels[np.isfinite(labels)]
    if not len(known) or known.min() == known.max():
        raise InputError(f"tasks: label '{name}' has fewer than two distinct values in the training split")
    low, high = float(known.min()), float(known.max())
    if bins is None:
        are_integers = bool((known == known.round()).all()) and high - low < _MAX_INTEGER_VALUES
        bins = int(high - low) + 1 if are_integers else _DEFAULT_BINS
    return tuple(float(value) for value in np.linspace(low, high, bins))


def _given_weights(task: LearnedTask, weights: Mapping[str, float]) -> tuple[float, ...]:
    unknown = [name for name in weights if name not in task.classes]
    if unknown:
        raise InputError(
            f"tasks.{task.name}.class_weights: '{unknown[0]}' is not a class{nearest(unknown[0], task.classes)}; "
            f"expected {', '.join(task.classes)}"
        )
    given = tuple(float(weights.get(name, 1.0)) for name in task.classes)
    # The weight of an attribute applies to samples with the attribute; samples without the attribute have weight 1.
    return (1.0,) * len(given) + given if task.kind == "multilabel" else given


def _balanced_weights(task: LearnedTask, labels: Tensor) -> tuple[float, ...]:
    """Return n / (number of classes * class count) for each class, as in scikit-learn; 1 for a class without images."""
    values = labels.numpy().astype(np.float64)
    if task.kind == "class":
        return _inverse_frequencies(np.array([(values == number).sum() for number in range(len(task.classes))]))
    columns = values.reshape(len(values), -1)
    pairs = [_inverse_frequencies(np.array([(column == side).sum() for side in (0, 1)])) for column in columns.T]
    return tuple(pair[0] for pair in pairs) + tuple(pair[1] for pair in pairs)


def _inverse_frequencies(counts: np.ndarray) -> tuple[float, ...]:
    weights = np.where(counts > 0, counts.sum() / (len(counts) * np.maximum(counts, 1)), 1.0)
    return tuple(float(weight) for weight in weights)


def label_tensors(manifest: Manifest, tasks: tuple[LearnedTask, ...]) -> dict[str, Tensor]:
    """Return the labels of every row, by task.

    Args:
        manifest: rows whose labels are returned.
        tasks: tasks whose labels are returned.

    Returns:
        Class labels are int64 [N], -1 if unknown; people who are not in the training split are numbered after the
        people in the training split. Binary and ordinal labels are float32 [N], and multilabel labels are float32
        [N, attributes]; NaN if unknown.
    """
    labels: dict[str, Tensor] = {}
    for task in tasks:
        if task.kind == "class":
            number = {name: place for place, name in enumerate(task.classes)}
            column = manifest.table[task.name]
            if task.identity:
                column = column.astype(str).where(column.notna())
                for person in sorted(set(column.dropna()) - number.keys()):
                    number[person] = len(number)
            values = [number.get(value, -1) for value in column]
            labels[task.name] = torch.tensor(values, dtype=torch.int64)
        else:
            columns = list(task.classes) if task.kind == "multilabel" else task.name
            labels[task.name] = torch.from_numpy(manifest.table[columns].to_numpy(dtype=np.float32, na_value=np.nan))
    return labels
