"""Choosing the score from which to say yes, on the validation split.

A threshold for each level of a group, in place of one for everybody: a mitigation that must know whom it judges.

The scores at which a model should rather not answer, chosen on the validation split.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.metrics import roc_curve

from auxface.evaluation.fairness import gaps
from auxface.evaluation.groups import NOT_STATED, by_column, by_group, whole
from auxface.evaluation.intervals import Resampling
from auxface.evaluation.measure import MINIMUM_GROUP, Metrics, measure
from auxface.evaluation.metrics.counts import COUNT_METRICS, RATE_METRICS
from auxface.evaluation.metrics.ranking import RANK_METRICS
from auxface.evaluation.predictions import LevelThresholds, Predictions, task_samples
from auxface.evaluation.results import GroupThresholds, TaskAudit
from auxface.evaluation.robustness import estimates

RULES = ("balanced_accuracy", "equal_error", "fpr=RATE")


def choose_threshold(y: np.ndarray, score: np.ndarray, *, rule: str = "balanced_accuracy") -> float:
    """The threshold at a named operating point; predict positive where ``score >= threshold``.

    Args:
        y: truth, 0 or 1, [N], both present.
        score: scores in [0, 1], [N].
        rule: ``balanced_accuracy`` (the best mean of hit rate and correct rejection rate; Youden, 1950),
            ``equal_error`` (false alarms as frequent as misses) or ``fpr=RATE`` (the most hits with at most that share
            of false alarms).

    Returns:
        A number in [0, 1], midway between the scores it separates, so that rounding does not move samples across it;
        the next number above 1 where even a score of 1 must not count as positive.

    Raises:
        ValueError: one class only, lengths that differ, scores that are not finite, an unknown rule.
    """
    y, score = np.asarray(y).astype(int), np.asarray(score, dtype=float)
    if y.shape != score.shape or y.ndim != 1 or not np.isin(y, (0, 1)).all() or len(np.unique(y)) != 2:
        raise ValueError("a threshold needs truths of both 0 and 1, and as many scores")
    if not np.isfinite(score).all():
        raise ValueError("a threshold needs finite scores")
    alarm, hit, edge = roc_curve(y, score, drop_intermediate=False)
    if rule == "balanced_accuracy":
        place = int(np.argmax(hit - alarm))
    elif rule == "equal_error":
        place = int(np.argmin(np.abs(alarm + hit - 1)))
    elif rule.startswith("fpr="):
        place = int(np.flatnonzero(alarm <= _rate(rule) + 1e-12)[-1])
    else:
        raise ValueError(f"no threshold rule '{rule}'; one of {', '.join(RULES)}")
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


RULE = "balanced_accuracy"
_KEPT = (*COUNT_METRICS, *RATE_METRICS)


def choose_level_thresholds(
    y: np.ndarray, score: np.ndarray, levels: pd.Series, *, rule: str = RULE
) -> tuple[dict[str, float], dict[str, str]]:
    """A threshold for every level of a group (Hardt et al., 2016, choose them so for equal odds).

    Args:
        y: truth, 0 or 1, [N].
        score: scores in [0, 1], [N].
        levels: of each sample, [N]; missing where it is not stated.
        rule: see :func:`~auxface.evaluation.thresholds.choose_threshold`.

    Returns:
        Level to threshold; and for the levels without one why: fewer than
        :data:`~auxface.evaluation.measure.MINIMUM_GROUP` samples, or one class.
    """
    partition = by_column("", levels)
    thresholds: dict[str, float] = {}
    kept: dict[str, str] = {}
    for place, level in enumerate(partition.levels):
        if level == NOT_STATED:
            continue
        here = partition.code == place
        if here.sum() < MINIMUM_GROUP:
            kept[level] = f"{here.sum()} validation samples, fewer than {MINIMUM_GROUP}"
        elif len(np.unique(y[here])) < 2:
            kept[level] = "one class in the validation table"
        else:
            thresholds[level] = choose_threshold(y[here], score[here], rule=rule)
    return thresholds, kept


def measure_group_thresholds(
    audited: TaskAudit, table: Predictions, validation: Predictions, cluster: np.ndarray, resampling: Resampling
) -> None:
    """Choose a threshold per level on ``validation``, decide ``table`` by them, add what comes of it to ``audited``.

    For binary tasks that decide by one threshold, and every group that both tables have. A group without any level of
    its own threshold is left out.
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
        overall = measure(table, own, whole(table), cluster, resampling, RANK_METRICS).levels[""]
        levels = measure(table, own, partition, cluster, resampling, RANK_METRICS).levels
        found = gaps({level: _only(each) for level, each in levels.items()}, _only(overall))
        audited.group_thresholds[group] = GroupThresholds(
            RULE, thresholds, kept, estimates(_only(overall)), estimates(found)
        )


def _only(found: Metrics) -> Metrics:
    """What rests on decisions alone."""
    return {name: draws for name, draws in found.items() if name in _KEPT}


_ALL = float("inf")
_NEVER = float(np.nextafter(1.0, 2.0))


def choose_abstain_band(
    y: np.ndarray, score: np.ndarray, *, threshold: float, accuracy: float = 0.95
) -> tuple[float, float]:
    """The narrowest band about a threshold outside of which each answer is right often enough.

    The upper end is the lowest score from which upwards at least ``accuracy`` of the validation samples are positive;
    the lower end the highest one below which at least ``accuracy`` are negative (the reject option of Chow, 1970, with
    the two answers kept apart). Abstain where ``low <= score < high``.

    Args:
        y: truth, 0 or 1, [N].
        score: scores in [0, 1], [N].
        threshold: from which a score counts as positive; lies in the band.
        accuracy: the share of answers that must be right, in (0, 1].

    Returns:
        (low, high) with ``low <= threshold <= high``; low = high = threshold where no band is needed; the number after
        1, or 0, as an end where no score answers well enough on that side.

    Raises:
        ValueError: no samples, lengths that differ, scores that are not finite, an accuracy outside (0, 1].
    """
    y, score = _checked(y, score, accuracy)
    up, down = score >= threshold, score < threshold
    upper = _last_good(-score[up], y[up] == 1, accuracy)
    lower = _last_good(score[down], y[down] == 0, accuracy)
    high = threshold if upper == _ALL else _NEVER if upper is None else -upper
    low = threshold if lower == _ALL else 0.0 if lower is None else float(np.nextafter(lower, 2.0))
    return low, high


def choose_abstain_confidence(right: np.ndarray, confidence: np.ndarray, *, accuracy: float = 0.95) -> float:
    """The lowest confidence from which upwards at least ``accuracy`` of the answers are right.

    Args:
        right: whether the top class is the true one, [N].
        confidence: score of the top class in [0, 1], [N].
        accuracy: the share of answers that must be right, in (0, 1].

    Returns:
        A confidence; 0 where no answer need be held back, the number after 1 where none is good enough.

    Raises:
        ValueError: as :func:`choose_abstain_band`.
    """
    right, confidence = _checked(right, confidence, accuracy)
    edge = _last_good(-confidence, right == 1, accuracy)
    return 0.0 if edge == _ALL else _NEVER if edge is None else -edge


def _last_good(value: np.ndarray, right: np.ndarray, accuracy: float) -> float | None:
    """The largest of ``value`` up to which answers are right often enough; infinity for all of them, None for none."""
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
        raise ValueError("abstaining needs truths of 0 and 1, and as many scores")
    if not np.isfinite(score).all():
        raise ValueError("abstaining needs finite scores")
    if not 0 < accuracy <= 1:
        raise ValueError(f"accuracy must lie in (0, 1], not {accuracy:g}")
    return y, score
