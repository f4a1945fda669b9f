"""One task of one table: every metric, per level of a division, on the data and on every resample."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from auxface.evaluation.bootstrap import Draws, Resampling
from auxface.evaluation.counting import COUNT_METRICS, RATE_METRICS, count_metrics
from auxface.evaluation.partition import Partition
from auxface.evaluation.ranking import FALSE_ALARMS, RANK_METRICS, rank_metrics
from auxface.evaluation.samples import Samples, attribute_samples, predicted_classes, task_samples
from auxface.evaluation.table import Predictions, Task

MINIMUM_GROUP = 30
CUMULATIVE = (1, 5)
_SHARES = {"accuracy", "true_positive_rate", "false_positive_rate", "precision", "selection_rate"} | {
    f"cumulative_score_{limit}" for limit in CUMULATIVE
}
_MEANS = ("accuracy", "balanced_accuracy", "average_precision")

Metrics = dict[str, Draws]


@dataclass(frozen=True)
class Measured:
    """What was measured: level to metric to draws; for a multi-label task also per attribute."""

    levels: dict[str, Metrics]
    attributes: dict[str, dict[str, Metrics]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Level:
    """One level's samples as positions, with what stands against measuring it."""

    where: np.ndarray
    clusters: int
    why: str | None


def measure(
    predictions: Predictions, task: Task, partition: Partition, cluster: np.ndarray, resampling: Resampling
) -> Measured:
    """Measure a task per level.

    A level of a group with fewer than :data:`MINIMUM_GROUP` samples, or with one class, has no numbers and says why.

    Args:
        predictions: a checked table.
        task: one of its tasks.
        partition: how the rows are divided.
        cluster: cluster of each row, int64 [rows].
        resampling: the resamples.
    """
    if task.kind != "multilabel":
        return Measured(_single(task, task_samples(predictions, task), partition, cluster, resampling))
    attributes = {}
    for name in task.classes:
        samples = attribute_samples(predictions, task, name)
        if samples is not None:
            alone = Task(name, "binary", (f"not {name}", name), {name: task.threshold(name)}, task.threshold_rule)
            attributes[name] = _single(alone, samples, partition, cluster, resampling)
    return Measured(_means(attributes, partition.levels), attributes)


def _single(
    task: Task, samples: Samples, partition: Partition, cluster: np.ndarray, resampling: Resampling
) -> dict[str, Metrics]:
    code, own = partition.code[samples.rows], cluster[samples.rows]
    levels = [
        _level(task, samples, np.flatnonzero(code == place), own, strict=bool(partition.name))
        for place in range(len(partition.levels))
    ]
    if task.kind == "ordinal":
        values = _distances(samples, code, len(levels), own, resampling)
    else:
        classes = len(task.classes)
        values = count_metrics(
            samples.true, predicted_classes(task, samples), classes, code, len(levels), own, resampling
        )
        if classes == 2:
            values |= _ranked(samples, levels, own, resampling)
    return {
        name: {
            metric: Draws(
                values[metric][place],
                len(level.where),
                level.clusters,
                metric in _SHARES,
                level.why or _why(metric, samples, level),
            )
            for metric in values
        }
        for place, (name, level) in enumerate(zip(partition.levels, levels))
    }


def _level(task: Task, samples: Samples, where: np.ndarray, cluster: np.ndarray, strict: bool) -> _Level:
    clusters = len(np.unique(cluster[where]))
    why = None
    if not len(where):
        why = "no samples"
    elif strict and len(where) < MINIMUM_GROUP:
        why = f"only {len(where)} samples, fewer than {MINIMUM_GROUP}"
    elif strict and task.kind != "ordinal":
        occurring = np.unique(samples.true[where])
        if len(occurring) == 1:
            why = f"only one class occurs: {task.classes[occurring[0]]}"
    return _Level(where, clusters, why)


def _why(metric: str, samples: Samples, level: _Level) -> str | None:
    if metric in RANK_METRICS or metric in ("true_positive_rate", "false_positive_rate"):
        positives = int(samples.true[level.where].sum())
        negatives = len(level.where) - positives
        needs_negatives = metric not in ("true_positive_rate", "average_precision")
        if positives == 0 and metric != "false_positive_rate":
            return "no positive sample"
        if negatives == 0 and needs_negatives:
            return "no negative sample"
        for rate in FALSE_ALARMS:
            if metric == f"tpr_at_fpr_{rate:g}" and negatives < round(1 / rate):
                return (
                    f"{negatives} negative samples: a false alarm rate of {rate:.1%} needs at least {round(1 / rate)}"
                )
    return None


def _ranked(
    samples: Samples, levels: list[_Level], cluster: np.ndarray, resampling: Resampling
) -> dict[str, np.ndarray]:
    width = resampling.weights.shape[1]
    found = {name: np.full((len(levels), width), np.nan) for name in RANK_METRICS}
    score = samples.score if samples.score.ndim == 1 else samples.score[:, 1]
    for place, level in enumerate(levels):
        if level.why or len(np.unique(samples.true[level.where])) < 2:
            continue
        part = rank_metrics(samples.true[level.where], score[level.where], cluster[level.where], resampling)
        for name, values in part.items():
            found[name][place] = values
    return found


def _distances(
    samples: Samples, code: np.ndarray, levels: int, cluster: np.ndarray, resampling: Resampling
) -> dict[str, np.ndarray]:
    distance = np.abs(samples.score - samples.true)
    parts = {"mean_absolute_error": distance}
    parts |= {f"cumulative_score_{limit}": (distance <= limit).astype(float) for limit in CUMULATIVE}
    found = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        weights = resampling.columns(slice(None))
        count = resampling.sums(code, cluster, levels) @ weights
        for name, value in parts.items():
            found[name] = (resampling.sums(code, cluster, levels, value) @ weights) / count
    return found


def _means(attributes: Mapping[str, dict[str, Metrics]], levels: tuple[str, ...]) -> dict[str, Metrics]:
    """Means over the attributes that can be measured in every level that has any, so that levels compare."""
    usable = [
        level for level in levels if any(measured[level]["accuracy"].why is None for measured in attributes.values())
    ]
    found: dict[str, Metrics] = {}
    for level in levels:
        found[level] = {}
        for metric in _MEANS:
            kept = [
                measured[level][metric]
                for measured in attributes.values()
                if all(measured[other][metric].why is None for other in usable)
            ]
            every = [measured[level][metric] for measured in attributes.values()]
            n, clusters = max(draws.n for draws in every), max(draws.clusters for draws in every)
            if level in usable and kept:
                values = np.mean([draws.values for draws in kept], axis=0)
                found[level][metric] = Draws(values, n, clusters)
            else:
                why = every[0].why or "no attribute can be measured in every level"
                found[level][metric] = Draws(np.full(len(every[0].values), np.nan), n, clusters, why=why)
    return found


__all__ = ["COUNT_METRICS", "MINIMUM_GROUP", "RATE_METRICS", "Measured", "Metrics", "measure"]
