"""From rows and logits to the predictions table."""

import numpy as np
import pandas as pd
import torch

from auxface import evaluation
from auxface.data.manifest import KEY, Manifest
from auxface.model.config import ModelConfig, TaskRecord
from auxface.objectives import expected_value, probabilities


def predictions_for(
    config: ModelConfig,
    manifest: Manifest,
    logits: dict[str, np.ndarray],
    *,
    left_out: dict[str, int] | None = None,
    provenance: dict | None = None,
) -> evaluation.Predictions:
    """The table of a model's calibrated scores for a manifest's rows.

    Args:
        config: of the model.
        manifest: rows in the order of the logits; a task whose label the manifest lacks has no true column, a row of a
            class that the model does not know no truth.
        logits: per task, [N, outputs].
        left_out: counts of rows that have no score, by reason.
        provenance: where the scores came from.
    """
    columns: dict[str, object] = {name: manifest.table[name] for name in (*KEY, "split")}
    columns |= {f"group.{name}": manifest.table[name] for name in manifest.groups}
    for task in config.tasks:
        columns |= _true(task, manifest.table) | _scores(task, logits[task.name])
    tasks = tuple(
        evaluation.Task(
            task.name,
            task.kind,
            _named(task),
            task.thresholds,
            task.threshold_rule,
            task.abstain,
            _level_thresholds(task),
        )
        for task in config.tasks
    )
    return evaluation.Predictions(pd.DataFrame(columns), tasks, left_out or {}, provenance or {})


def calibrated(task: TaskRecord, logits: np.ndarray) -> np.ndarray:
    """Logits [N, outputs] to probabilities at the stored temperature, float32 [N, outputs]."""
    return probabilities(task.task(), torch.as_tensor(logits), task.temperature).numpy()


def predicted_number(task: TaskRecord, logits: np.ndarray) -> np.ndarray:
    """What an ordinal task predicts, float32 [N], from its logits [N, outputs] at the stored temperature."""
    return expected_value(task.task(), torch.as_tensor(logits), task.temperature).numpy()


def _level_thresholds(task: TaskRecord) -> evaluation.LevelThresholds | None:
    own = task.level_thresholds
    return None if own is None else evaluation.LevelThresholds(own.group, own.thresholds)


def _named(task: TaskRecord) -> tuple[str, ...]:
    """Classes with a score column of their own; an ordinal task has one predicted number instead."""
    return () if task.kind == "ordinal" else task.classes


def _true(task: TaskRecord, table: pd.DataFrame) -> dict[str, object]:
    if task.kind == "multilabel":
        return {f"true.{task.name}.{name}": table[name] for name in task.classes if name in table.columns}
    if task.name not in table.columns:
        return {}
    truth = table[task.name]
    # Of a class that the model does not know it can say nothing, right or wrong.
    return {f"true.{task.name}": truth.where(truth.isin(task.classes)) if task.kind == "class" else truth}


def _scores(task: TaskRecord, logits: np.ndarray) -> dict[str, object]:
    if task.kind == "ordinal":
        return {f"predicted.{task.name}": predicted_number(task, logits)}
    scores = calibrated(task, logits)
    names = task.classes[1:] if task.kind == "binary" else task.classes
    return {f"score.{task.name}.{name}": scores[:, place] for place, name in enumerate(names)}
