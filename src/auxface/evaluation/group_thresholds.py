"""A threshold for each level of a group, in place of one for everybody: a mitigation that must know whom it judges."""

from dataclasses import replace

import numpy as np
import pandas as pd

from auxface.evaluation.bootstrap import Resampling
from auxface.evaluation.counting import COUNT_METRICS, RATE_METRICS
from auxface.evaluation.fairness import gaps
from auxface.evaluation.measuring import MINIMUM_GROUP, Metrics, measure
from auxface.evaluation.partition import NOT_STATED, by_column, by_group, whole
from auxface.evaluation.ranking import RANK_METRICS
from auxface.evaluation.results import GroupThresholds, TaskAudit
from auxface.evaluation.robustness import estimates
from auxface.evaluation.samples import task_samples
from auxface.evaluation.table import LevelThresholds, Predictions
from auxface.evaluation.thresholds import choose_threshold

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
        :data:`~auxface.evaluation.measuring.MINIMUM_GROUP` samples, or one class.
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
