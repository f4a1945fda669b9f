"""Thresholds and abstain bands, chosen on validation data and evaluated on test data.

>>> choose_threshold(np.array([0, 0, 1, 1]), np.array([0.1, 0.3, 0.7, 0.9]))
0.5

:func:`~auxface.evaluation.audit_tables` chooses thresholds, operating points and a temperature for every model that has
a table in its argument ``validation``.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import expit, logit, softmax
from sklearn.metrics import roc_curve

from auxface.evaluation.fairness import gaps
from auxface.evaluation.groups import NOT_STATED, by_column, by_group, whole
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
    without_decisions,
)
from auxface.evaluation.resampling import Resampling
from auxface.evaluation.results import GroupThresholds, OperatingPoint, TaskAudit, estimates

# A level with fewer validation samples than this keeps the common threshold.
MINIMUM_SAMPLES = 30
RULES = ("balanced_accuracy", "equal_error", "fpr=RATE")
DEFAULT_RULE = "balanced_accuracy"
# Special values: infinity if predictions are accurate enough at every score; and, as an end of an abstain band, the
# next number above 1 if they are accurate enough at no score.
_ALL = float("inf")
_NEVER = float(np.nextafter(1.0, 2.0))


def choose_threshold(y: np.ndarray, score: np.ndarray, *, rule: str = DEFAULT_RULE) -> float:
    """Return the threshold at a named operating point; predict positive where ``score >= threshold``.

    Args:
        y: true labels, 0 or 1, [N]; both classes must occur.
        score: scores in [0, 1], [N].
        rule: ``balanced_accuracy`` (highest balanced accuracy; Youden, 1950), ``equal_error`` (equal false positive and
            false negative rates) or ``fpr=RATE`` (highest true positive rate at a false positive rate of at most
            ``RATE``).

    Returns:
        The threshold in [0, 1], midway between the scores that it separates, so that rounding does not move samples
        across it; or the next floating-point number above 1 if even a score of 1 must not count as positive.

    Raises:
        ValueError: only one class occurs, the lengths differ, a score is not finite, or the rule is unknown.
    """
    y, score = np.asarray(y).astype(int), np.asarray(score, dtype=float)
    if y.shape != score.shape or y.ndim != 1 or not np.isin(y, (0, 1)).all() or len(np.unique(y)) != 2:
        raise ValueError("y must hold both 0 and 1, and score must have the length of y")
    if not np.isfinite(score).all():
        raise ValueError("scores must be finite")
    alarm, hit, edge = roc_curve(y, score, drop_intermediate=False)
    if rule == "balanced_accuracy":
        place = int(np.argmax(hit - alarm))
    elif rule == "equal_error":
        place = int(np.argmin(np.abs(alarm + hit - 1)))
    elif rule.startswith("fpr="):
        place = int(np.flatnonzero(alarm <= _rate(rule) + 1e-12)[-1])
    else:
        raise ValueError(f"unknown threshold rule '{rule}'; use one of {', '.join(RULES)}")
    below = score[score < edge[place]]
    lower = below.max() if len(below) else 0.0
    upper = edge[place] if np.isfinite(edge[place]) else np.nextafter(max(1.0, lower), np.inf)
    middle = (lower + upper) / 2
    return float(middle if lower < middle else upper)


def _rate(rule: str) -> float:
    try:
        rate = float(rule.removeprefix("fpr="))
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= 1:
        raise ValueError(f"threshold rule '{rule}': the rate must be a number in [0, 1], as in fpr=0.01")
    return rate


def choose_level_thresholds(
    y: np.ndarray, score: np.ndarray, levels: pd.Series, *, rule: str = DEFAULT_RULE
) -> tuple[dict[str, float], dict[str, str]]:
    """Return a threshold for each level of a group, to reduce gaps between levels (see Hardt et al., 2016).

    Args:
        y: true labels, 0 or 1, [N].
        score: scores in [0, 1], [N].
        levels: level of each sample, [N]; may have missing values.
        rule: see :func:`choose_threshold`.

    Returns:
        The thresholds by level and, for each level without a threshold, the reason: fewer than :data:`MINIMUM_SAMPLES`
        samples, or only one class.
    """
    partition = by_column("", levels)
    thresholds: dict[str, float] = {}
    kept: dict[str, str] = {}
    for place, level in enumerate(partition.levels):
        if level == NOT_STATED:
            continue
        here = partition.code == place
        if here.sum() < MINIMUM_SAMPLES:
            kept[level] = f"{here.sum()} validation samples, fewer than {MINIMUM_SAMPLES}"
        elif len(np.unique(y[here])) < 2:
            kept[level] = "one class in the validation table"
        else:
            thresholds[level] = choose_threshold(y[here], score[here], rule=rule)
    return thresholds, kept


def choose_abstain_band(
    y: np.ndarray, score: np.ndarray, *, threshold: float, accuracy: float = 0.95
) -> tuple[float, float]:
    """Return the narrowest band around a threshold such that predictions of each class outside it reach ``accuracy``.

    The upper end is the lowest score at and above which at least ``accuracy`` of the samples are positive; the lower
    end is the highest score below which at least ``accuracy`` are negative (the reject option of Chow, 1970, applied to
    each predicted class separately). Abstain where ``low <= score < high``.

    Args:
        y: true labels, 0 or 1, [N].
        score: scores in [0, 1], [N].
        threshold: lowest score at which a sample counts as positive; it lies within the band.
        accuracy: fraction of predictions that must be correct, in (0, 1].

    Returns:
        The band (low, high) with ``low <= threshold <= high``. Both ends equal the threshold if no band is needed. If
        no score on one side of the threshold reaches the accuracy, ``high`` is the next floating-point number above 1,
        or ``low`` is 0.

    Raises:
        ValueError: there are no samples, the lengths differ, a score is not finite, or ``accuracy`` is outside (0, 1].
    """
    y, score = _checked(y, score, accuracy)
    up, down = score >= threshold, score < threshold
    upper = _last_good(-score[up], y[up] == 1, accuracy)
    lower = _last_good(score[down], y[down] == 0, accuracy)
    high = threshold if upper == _ALL else _NEVER if upper is None else -upper
    low = threshold if lower == _ALL else 0.0 if lower is None else float(np.nextafter(lower, 2.0))
    return low, high


def choose_abstain_confidence(right: np.ndarray, confidence: np.ndarray, *, accuracy: float = 0.95) -> float:
    """Return the lowest confidence at and above which at least ``accuracy`` of the predictions are correct.

    Args:
        right: whether the top class is the true class, [N].
        confidence: score of the top class in [0, 1], [N].
        accuracy: fraction of predictions that must be correct, in (0, 1].

    Returns:
        The lowest such confidence; 0 if the model never needs to abstain, and the next floating-point number above 1 if
        no confidence is high enough.

    Raises:
        ValueError: as in :func:`choose_abstain_band`.
    """
    right, confidence = _checked(right, confidence, accuracy)
    edge = _last_good(-confidence, right == 1, accuracy)
    return 0.0 if edge == _ALL else _NEVER if edge is None else -edge


def _last_good(value: np.ndarray, right: np.ndarray, accuracy: float) -> float | None:
    """Return the largest value up to which predictions reach the accuracy; infinity if all do, None if none do."""
    order = np.argsort(value, kind="stable")
    ordered, hits = value[order], np.cumsum(right[order])
    last_of_ties = np.append(ordered[1:] != ordered[:-1], True) if len(ordered) else np.zeros(0, dtype=bool)
    good = np.flatnonzero(last_of_ties & (hits / np.arange(1, len(value) + 1) >= accuracy - 1e-12))
    if len(good) and good[-1] < len(value) - 1:
        return float(ordered[good[-1]])
    return _ALL if len(good) or not len(value) else None


def _checked(y: np.ndarray, score: np.ndarray, accuracy: float) -> tuple[np.ndarray, np.ndarray]:
    y, score = np.asarray(y).astype(int), np.asarray(score, dtype=float)
    if y.ndim != 1 or not len(y) or y.shape != score.shape or not np.isin(y, (0, 1)).all():
        raise ValueError("expected labels [N] of 0 and 1, and scores [N]")
    if not np.isfinite(score).all():
        raise ValueError("scores must be finite")
    if not 0 < accuracy <= 1:
        raise ValueError(f"accuracy must lie in (0, 1], not {accuracy:g}")
    return y, score


OPERATING_POINTS = ("balanced_accuracy", "equal_error", "fpr=0.01", "fpr=0.001")
# Metrics reported for an operating point, in the order of the columns on the report page.
RATES = ("true_positive_rate", "false_positive_rate", "precision", "accuracy", "balanced_accuracy")
_TINY = 1e-7


def with_thresholds(task: ScoredTask, validation: Predictions) -> ScoredTask:
    """Return the task with thresholds chosen on a validation table, unless it already has chosen thresholds.

    An attribute or task with only one class in the validation table keeps the threshold 0.5.
    """
    if task.kind not in ("binary", "multilabel") or task.threshold_rule not in (None, ASSUMED):
        return task
    names = task.classes[1:] if task.kind == "binary" else task.classes
    thresholds = {}
    for name in names:
        samples = task_samples(validation, task) if task.kind == "binary" else attribute_samples(validation, task, name)
        thresholds[name] = 0.5
        if samples is not None and samples.scored and len(np.unique(samples.true)) == 2:
            thresholds[name] = choose_threshold(samples.true, samples.score, rule=DEFAULT_RULE)
    return ScoredTask(task.name, task.kind, task.classes, thresholds, f"{DEFAULT_RULE} on the validation table")


def measure_operating_points(
    audited: TaskAudit, table: Predictions, validation: Predictions, cluster: np.ndarray, resampling: Resampling
) -> None:
    """Choose a threshold for each rule on ``validation``, measure it on ``table``, and add both to ``audited``.

    Only binary tasks have operating points. A rule with a false positive rate of 1 in k needs k negatives in the
    validation table and is excluded if there are fewer.
    """
    task = audited.task
    if task.kind != "binary":
        return
    samples = task_samples(validation, task)
    table = without_decisions(table, task)
    if len(np.unique(samples.true)) < 2 or not samples.scored or not _has_scores(table, task):
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
    """Fit a temperature on ``validation`` and add it, with the calibration metrics on ``table``, to ``audited``."""
    task = audited.task
    if task.kind not in ("binary", "class"):
        return
    samples = task_samples(validation, task)
    if len(np.unique(samples.true)) < 2 or not samples.scored or not _has_scores(table, task):
        return
    temperature = fit_temperature(_logits(samples.score), samples.true)
    score = np.stack([table.frame[name].to_numpy(float, na_value=np.nan) for name in task.score_columns()], axis=1)
    scaled = _logits(score if task.kind == "class" else score[:, 0]) / temperature
    scaled = softmax(scaled, axis=1) if task.kind == "class" else expit(scaled)[:, None]
    columns = dict(zip(task.score_columns(), scaled.T))
    other = Predictions(table.frame.assign(**columns), table.tasks)
    audited.calibrated = estimates(measure(other, task, whole(other), cluster, resampling, CALIBRATION).levels[""])
    audited.temperature = temperature


def _has_scores(table: Predictions, task: ScoredTask) -> bool:
    return all(name in table.frame.columns for name in task.score_columns())


def _logits(score: np.ndarray) -> np.ndarray:
    clipped = np.clip(score, _TINY, 1 - _TINY)
    return logit(clipped) if score.ndim == 1 else np.log(clipped)


def measure_group_thresholds(
    audited: TaskAudit, table: Predictions, validation: Predictions, cluster: np.ndarray, resampling: Resampling
) -> None:
    """Apply one threshold per level, chosen on ``validation``, to ``table``, and add the metrics to ``audited``.

    This applies to binary tasks with one threshold, and to every group that both tables have. A group in which no level
    gets a threshold is excluded.
    """
    task = audited.task
    if task.kind != "binary" or task.level_thresholds is not None:
        return
    samples = task_samples(validation, task)
    table = without_decisions(table, task)
    if not samples.scored or not _has_scores(table, task):
        return
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
