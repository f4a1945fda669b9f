"""What is chosen on a validation table and measured on the test table: thresholds, operating points, a temperature.

:func:`~auxface.evaluation.audit_tables` calls these for every model that has a table in its argument ``validation``.
"""

from dataclasses import replace

import numpy as np
from scipy.special import expit, logit, softmax

from auxface.evaluation.fairness import gaps
from auxface.evaluation.groups import NOT_STATED, by_group, whole
from auxface.evaluation.intervals import Resampling
from auxface.evaluation.measure import measure
from auxface.evaluation.metrics.calibration import CALIBRATION, fit_temperature
from auxface.evaluation.metrics.classification import DECISIONS
from auxface.evaluation.predictions import (
    ASSUMED,
    LevelThresholds,
    Predictions,
    ScoredTask,
    attribute_samples,
    task_samples,
)
from auxface.evaluation.results import GroupThresholds, OperatingPoint, TaskAudit, estimates
from auxface.evaluation.thresholds import DEFAULT_RULE, choose_level_thresholds, choose_threshold

OPERATING_POINTS = ("balanced_accuracy", "equal_error", "fpr=0.01", "fpr=0.001")
# The metrics that are reported of an operating point, in the order of the page's columns.
RATES = ("true_positive_rate", "false_positive_rate", "precision", "accuracy", "balanced_accuracy")
_TINY = 1e-7


def with_thresholds(task: ScoredTask, validation: Predictions) -> ScoredTask:
    """Return the task with thresholds chosen on a validation table, if it has none or only assumed ones.

    An attribute or task of which the validation table has one class only keeps 0.5.
    """
    if task.kind not in ("binary", "multilabel") or task.threshold_rule not in (None, ASSUMED):
        return task
    names = task.classes[1:] if task.kind == "binary" else task.classes
    thresholds = {}
    for name in names:
        samples = task_samples(validation, task) if task.kind == "binary" else attribute_samples(validation, task, name)
        thresholds[name] = 0.5
        if samples is not None and len(np.unique(samples.true)) == 2:
            thresholds[name] = choose_threshold(samples.true, samples.score, rule=DEFAULT_RULE)
    return ScoredTask(task.name, task.kind, task.classes, thresholds, f"{DEFAULT_RULE} on the validation table")


def measure_operating_points(
    audited: TaskAudit, table: Predictions, validation: Predictions, cluster: np.ndarray, resampling: Resampling
) -> None:
    """Choose a threshold per rule on ``validation``, measure it on ``table`` and add both to ``audited``.

    Only binary tasks have operating points. A rule with a false positive rate of 1 in k needs k negatives in the
    validation table and is excluded if there are fewer.
    """
    task = audited.task
    if task.kind != "binary":
        return
    samples = task_samples(validation, task)
    if len(np.unique(samples.true)) < 2:
        return
    negatives = int((samples.true == 0).sum())
    for rule in OPERATING_POINTS:
        if rule.startswith("fpr=") and negatives * float(rule.removeprefix("fpr=")) < 1:
            continue
        threshold = choose_threshold(samples.true, samples.score, rule=rule)
        chosen = ScoredTask(task.name, task.kind, task.classes, {task.classes[1]: threshold}, rule)
        found = measure(table, chosen, whole(table), cluster, resampling, DECISIONS).levels[""]
        audited.operating_points[rule] = OperatingPoint(threshold, estimates({name: found[name] for name in RATES}))


def measure_calibrated(
    audited: TaskAudit, table: Predictions, validation: Predictions, cluster: np.ndarray, resampling: Resampling
) -> None:
    """Fit a temperature on ``validation`` and add the calibration metrics that it gives on ``table`` to ``audited``."""
    task = audited.task
    if task.kind not in ("binary", "class"):
        return
    samples = task_samples(validation, task)
    if len(np.unique(samples.true)) < 2:
        return
    temperature = fit_temperature(_logits(samples.score), samples.true)
    score = np.stack([table.frame[name].to_numpy(float, na_value=np.nan) for name in task.score_columns()], axis=1)
    scaled = _logits(score if task.kind == "class" else score[:, 0]) / temperature
    scaled = softmax(scaled, axis=1) if task.kind == "class" else expit(scaled)[:, None]
    columns = dict(zip(task.score_columns(), scaled.T))
    other = Predictions(table.frame.assign(**columns), table.tasks)
    audited.calibrated = estimates(measure(other, task, whole(other), cluster, resampling, CALIBRATION).levels[""])
    audited.temperature = temperature


def _logits(score: np.ndarray) -> np.ndarray:
    clipped = np.clip(score, _TINY, 1 - _TINY)
    return logit(clipped) if score.ndim == 1 else np.log(clipped)


def measure_group_thresholds(
    audited: TaskAudit, table: Predictions, validation: Predictions, cluster: np.ndarray, resampling: Resampling
) -> None:
    """Choose a threshold per level on ``validation``, decide ``table`` by them and add the metrics to ``audited``.

    For binary tasks with one threshold, and every group that both tables have. A group in which no level gets a
    threshold is excluded.
    """
    task = audited.task
    if task.kind != "binary" or task.level_thresholds is not None:
        return
    samples = task_samples(validation, task)
    for group in table.groups():
        if group not in validation.groups():
            continue
        stated = validation.frame[f"group.{group}"].iloc[samples.rows]
        thresholds, kept = choose_level_thresholds(samples.true, samples.score, stated)
        partition = by_group(table, group)
        kept |= {
            level: "not in the validation table"
            for level in partition.levels
            if level != NOT_STATED and level not in thresholds and level not in kept
        }
        if not thresholds:
            continue
        own = replace(task, level_thresholds=LevelThresholds(group, {task.classes[1]: thresholds}), abstain=None)
        overall = measure(table, own, whole(table), cluster, resampling, DECISIONS).levels[""]
        levels = measure(table, own, partition, cluster, resampling, DECISIONS).levels
        audited.group_thresholds[group] = GroupThresholds(
            DEFAULT_RULE, thresholds, kept, estimates(overall), estimates(gaps(levels, overall))
        )
