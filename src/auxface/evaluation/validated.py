"""What a validation table decides, measured on the test table: thresholds at operating points and a temperature."""

import numpy as np
from scipy.special import expit, logit, softmax

from auxface.evaluation.bootstrap import Resampling
from auxface.evaluation.calibration import fit_temperature
from auxface.evaluation.measuring import measure
from auxface.evaluation.partition import whole
from auxface.evaluation.results import OperatingPoint, TaskAudit
from auxface.evaluation.robustness import estimates
from auxface.evaluation.samples import attribute_samples, task_samples
from auxface.evaluation.table import ASSUMED, Predictions, Task
from auxface.evaluation.thresholds import choose_threshold

OPERATING_POINTS = ("balanced_accuracy", "equal_error", "fpr=0.01", "fpr=0.001")
RATES = ("true_positive_rate", "false_positive_rate", "precision", "accuracy", "balanced_accuracy")
DEFAULT_RULE = "balanced_accuracy"
_TINY = 1e-7


def with_thresholds(task: Task, validation: Predictions) -> Task:
    """The task with thresholds chosen on a validation table, where it had none but assumed ones.

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
    return Task(task.name, task.kind, task.classes, thresholds, f"{DEFAULT_RULE} on the validation table")


def measure_operating_points(
    audited: TaskAudit, table: Predictions, validation: Predictions, cluster: np.ndarray, resampling: Resampling
) -> None:
    """Choose a threshold per named rule on ``validation``, measure it on ``table``, add both to ``audited``.

    Only binary tasks have operating points; a rule that allows one false alarm in so many needs as many negatives in
    the validation table, and is left out where these are fewer.
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
        chosen = Task(task.name, task.kind, task.classes, {task.classes[1]: threshold}, rule)
        found = measure(table, chosen, whole(table), cluster, resampling).levels[""]
        audited.operating_points[rule] = OperatingPoint(threshold, estimates({name: found[name] for name in RATES}))


def measure_calibrated(
    audited: TaskAudit, table: Predictions, validation: Predictions, cluster: np.ndarray, resampling: Resampling
) -> None:
    """Fit a temperature on ``validation`` and add the calibration that it gives on ``table`` to ``audited``."""
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
    found = measure(other, task, whole(other), cluster, resampling).levels[""]
    kept = {name: found[name] for name in ("expected_calibration_error", "brier_score") if name in found}
    audited.calibrated = estimates(kept)
    audited.temperature = temperature


def _logits(score: np.ndarray) -> np.ndarray:
    clipped = np.clip(score, _TINY, 1 - _TINY)
    return logit(clipped) if score.ndim == 1 else np.log(clipped)
