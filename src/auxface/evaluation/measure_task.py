"""Measure one task of a table, on all rows and by group, and write notes on the results.

See :func:`~auxface.evaluation.audit_tables`, which calls :func:`measure_task` for every task and model.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from auxface.evaluation.fairness import differences_to_reference, gaps
from auxface.evaluation.groups import CROSS, crossed_partitions, single_partitions, whole
from auxface.evaluation.intervals import Draws
from auxface.evaluation.label_noise import add_label_noise
from auxface.evaluation.measure import LevelDraws, measure
from auxface.evaluation.metrics.calibration import are_probabilities, reliability_bins
from auxface.evaluation.metrics.classification import confusion
from auxface.evaluation.predictions import Predictions, ScoredTask, attribute_samples, predicted_classes, task_samples
from auxface.evaluation.resampling import Resampling
from auxface.evaluation.results import TaskAudit, estimates

# Confusion matrices with more classes than this are not kept.
MOST_CONFUSED = 200
# With an AUC below this, the scores probably refer to the other class.
_INVERTED = 0.3


def measure_task(
    table: Predictions,
    task: ScoredTask,
    cluster: np.ndarray,
    draw: Resampling,
    advance: Callable[[], None] = lambda: None,
    references: Mapping[str, str] | None = None,
) -> tuple[TaskAudit, LevelDraws, dict[str, LevelDraws]]:
    """Measure a task on all rows and by group.

    Args:
        table: predictions of one model.
        task: task of the table to measure.
        cluster: cluster number of each row.
        draw: resamples of the clusters.
        advance: callback, called after the whole table and after every partition.
        references: reference level of each group, with which its other levels are compared.

    Returns:
        The results of the task, and the draws of its metrics and of its gaps by group, which are used to compare
        models.
    """
    on_all = measure(table, task, whole(table), cluster, draw)
    overall = on_all.levels[""]
    result = TaskAudit(task, estimates(overall))
    for name, levels in on_all.attributes.items():
        result.attributes[name] = TaskAudit(task.alone(name), estimates(levels[""]))
    _add_counts(result, table, task)
    advance()
    by_group: dict[str, LevelDraws] = {}
    for partition in [*single_partitions(table), *crossed_partitions(table)]:
        measured = measure(table, task, partition, cluster, draw)
        by_group[partition.name] = _add_group(result, partition.name, measured.levels, overall)
        if CROSS not in partition.name:
            if "weight" not in table.frame.columns and task.kind != "multilabel":
                add_label_noise(result.gaps[partition.name], result.groups[partition.name])
            differences = differences_to_reference(
                result.decision_metric, measured.levels, (references or {}).get(partition.name)
            )
            result.to_reference[partition.name] = estimates(differences)
        for name, levels in measured.attributes.items():
            _add_group(result.attributes[name], partition.name, levels, on_all.attributes[name][""])
        advance()
    return result, overall, by_group


def _add_counts(result: TaskAudit, table: Predictions, task: ScoredTask) -> None:
    """Add the results that need no resampling: counts, the confusion matrix and the reliability diagram."""
    if task.kind == "multilabel":
        parts = [attribute_samples(table, task, name) for name in task.classes]
        result.unscored = max((part.unscored for part in parts if part is not None), default=0)
        result.unlabeled = min((part.unlabeled for part in parts if part is not None), default=0)
        return
    samples = task_samples(table, task)
    result.unlabeled, result.unscored = samples.unlabeled, samples.unscored
    if task.kind == "ordinal" or not len(samples.rows):
        return
    if len(task.classes) <= MOST_CONFUSED:
        result.confusion = confusion(samples.true, predicted_classes(task, samples), len(task.classes))
    if samples.scored and are_probabilities(samples.score):
        result.reliability = reliability_bins(samples.true, samples.score)


def _add_group(
    result: TaskAudit, group: str, levels: Mapping[str, LevelDraws], overall: LevelDraws
) -> dict[str, Draws]:
    found = gaps(levels, overall)
    result.groups[group] = {level: estimates(metrics) for level, metrics in levels.items()}
    result.gaps[group] = estimates(found)
    return found


def task_notes(name: str, tasks: Iterable[TaskAudit], rows: int) -> list[str]:
    """Return notes on tasks without any metric, and on tasks whose scores probably refer to the other class.

    Args:
        name: name of the model.
        tasks: results of the tasks of the model.
        rows: number of rows in the table of the model.
    """
    tasks = list(tasks)
    notes = [_empty_note(name, found, rows) for found in tasks] + [_inverted_note(name, found) for found in tasks]
    return list(filter(None, notes))


def _empty_note(name: str, found: TaskAudit, rows: int) -> str:
    if rows and found.unlabeled >= rows:
        return f"{name}: nothing was measured for {found.task.name}: none of {rows:,} rows has a true label."
    if rows and found.unlabeled + found.unscored >= rows:
        return f"{name}: nothing was measured for {found.task.name}: no row with a true label has a score."
    return ""


def _inverted_note(name: str, found: TaskAudit) -> str:
    auc = found.overall.get("auc")
    if auc is None or auc.value is None or not auc.value < _INVERTED:
        return ""
    negative, positive = found.task.classes
    return (
        f"{name}: the AUC of {found.task.name} is {auc.value:.3f}, so a high score stands for "
        f"{negative}, not for {positive}. If this is wrong, name the class for which scores are high with "
        "--positive, or pass 1 minus the score."
    )
