"""A threshold for each level of a group, in place of one for everybody: a mitigation that must know whom it judges."""

import numpy as np

from auxface.evaluation.bootstrap import Resampling
from auxface.evaluation.counting import COUNT_METRICS, RATE_METRICS
from auxface.evaluation.fairness import gaps
from auxface.evaluation.measuring import MINIMUM_GROUP, Metrics, measure
from auxface.evaluation.partition import NOT_STATED, Partition, by_group, whole
from auxface.evaluation.ranking import RANK_METRICS
from auxface.evaluation.results import GroupThresholds, TaskAudit
from auxface.evaluation.robustness import estimates
from auxface.evaluation.samples import Samples, task_samples
from auxface.evaluation.table import Predictions, Task
from auxface.evaluation.thresholds import choose_threshold

RULE = "balanced_accuracy"
_KEPT = (*COUNT_METRICS, *RATE_METRICS)


def measure_group_thresholds(
    audited: TaskAudit, table: Predictions, validation: Predictions, cluster: np.ndarray, resampling: Resampling
) -> None:
    """Choose a threshold per level on ``validation``, decide ``table`` by them, add what comes of it to ``audited``.

    For binary tasks, and every group that both tables have. A level with fewer than
    :data:`~auxface.evaluation.measuring.MINIMUM_GROUP` validation samples, or with one class, keeps the one threshold;
    a group without any level of its own is left out.
    """
    task = audited.task
    if task.kind != "binary":
        return
    samples = task_samples(validation, task)
    for group in table.groups():
        if group not in validation.groups():
            continue
        thresholds, kept = _choose(task, samples, by_group(validation, group))
        partition = by_group(table, group)
        kept |= {
            level: "not in the validation table"
            for level in partition.levels
            if level != NOT_STATED and level not in thresholds and level not in kept
        }
        if not thresholds:
            continue
        decided, own = _decided(task, table, partition, thresholds)
        overall = measure(decided, own, whole(decided), cluster, resampling, RANK_METRICS).levels[""]
        levels = measure(decided, own, partition, cluster, resampling, RANK_METRICS).levels
        levels = {level: _only(found) for level, found in levels.items()}
        found = gaps(levels, _only(overall))
        audited.group_thresholds[group] = GroupThresholds(
            RULE, thresholds, kept, estimates(_only(overall)), estimates(found)
        )


def _choose(task: Task, samples: Samples, partition: Partition) -> tuple[dict[str, float], dict[str, str]]:
    code = partition.code[samples.rows]
    thresholds: dict[str, float] = {}
    kept: dict[str, str] = {}
    for place, level in enumerate(partition.levels):
        if level == NOT_STATED:
            continue
        true, score = samples.true[code == place], samples.score[code == place]
        if len(true) < MINIMUM_GROUP:
            kept[level] = f"{len(true)} validation samples, fewer than {MINIMUM_GROUP}"
        elif len(np.unique(true)) < 2:
            kept[level] = "one class in the validation table"
        else:
            thresholds[level] = choose_threshold(true, score, rule=RULE)
    return thresholds, kept


def _decided(
    task: Task, table: Predictions, partition: Partition, thresholds: dict[str, float]
) -> tuple[Predictions, Task]:
    """The table with decisions 0 and 1 for scores, which any threshold between them repeats."""
    column = task.score_columns()[0]
    score = table.frame[column].to_numpy(float, na_value=np.nan)
    common = task.threshold(task.classes[1])
    by_level = np.array([thresholds.get(level, common) for level in partition.levels])
    decision = np.where(np.isnan(score), np.nan, score >= by_level[partition.code])
    own = Task(task.name, task.kind, task.classes, {task.classes[1]: 0.5}, RULE)
    return Predictions(table.frame.assign(**{column: decision}), (own,)), own


def _only(found: Metrics) -> Metrics:
    """What rests on decisions alone."""
    return {name: draws for name, draws in found.items() if name in _KEPT}
