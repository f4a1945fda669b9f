"""All metrics of one task of one table, per level of a group, on the data and on every resample.

>>> import pandas as pd
>>> from auxface.evaluation.groups import whole
>>> from auxface.evaluation.resampling import draw_resamples
>>> frame = pd.DataFrame({"true.t": [0, 1] * 50, "score.t.yes": np.linspace(0, 1, 100)})
>>> table = Predictions(frame, (ScoredTask("t", "binary", ("no", "yes")),))
>>> draws = measure(table, table.tasks[0], whole(table), np.arange(100), draw_resamples(100, 200, seed=0)).levels[""]
>>> draws["accuracy"].estimate().value
0.5
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from auxface.evaluation.groups import Partition
from auxface.evaluation.intervals import Draws, Estimate
from auxface.evaluation.metrics import METRICS
from auxface.evaluation.metrics.metric import Metric, MetricInput, Resampled
from auxface.evaluation.predictions import (
    Predictions,
    Samples,
    ScoredTask,
    attribute_samples,
    predicted_classes,
    task_samples,
)
from auxface.evaluation.resampling import Resampling

ONE_CLASS = "only one class occurs"
"""The beginning of the reason why a metric that compares classes has no value."""
# A metric has a value at a level of a group only with this many clusters (of every class that it compares).
MINIMUM_CLUSTERS = 3

LevelDraws = dict[str, Draws]


@dataclass(frozen=True)
class Measured:
    """The metrics on the data and on every resample, by level; for a multi-label task also by attribute."""

    levels: dict[str, LevelDraws]
    attributes: dict[str, dict[str, LevelDraws]] = field(default_factory=dict)


def measure(
    predictions: Predictions,
    task: ScoredTask,
    partition: Partition,
    cluster: np.ndarray,
    resampling: Resampling,
    metrics: Iterable[Metric] | None = None,
) -> Measured:
    """Measure a task at each level of a partition.

    At a level of a group, a metric needs :data:`MINIMUM_CLUSTERS` clusters of the samples from which it is computed,
    and of each class if it compares classes; otherwise it has a reason instead of a value. A level with one class has
    only the metrics that need a single class, such as the accuracy.

    Args:
        predictions: a validated table.
        task: a task of the table.
        partition: partition of the rows into levels.
        cluster: cluster of each row, int64 [rows].
        resampling: resamples of the clusters.
        metrics: metrics to compute; by default all of them. Ranking metrics take most of the time.
    """
    chosen = list(METRICS.values() if metrics is None else metrics)
    if task.kind != "multilabel":
        samples = task_samples(predictions, task)
        return Measured(_measure_single(task, samples, partition, cluster, resampling, chosen))
    attributes = {}
    for name in task.classes:
        samples = attribute_samples(predictions, task, name)
        if samples is not None:
            attributes[name] = _measure_single(task.alone(name), samples, partition, cluster, resampling, chosen)
    return Measured(_attribute_means(attributes, partition.levels, chosen), attributes)


@dataclass(frozen=True)
class _Level:
    """The numbers of samples and clusters of one level by subset; for a level that is not measured, the reason.

    ``equal_weight`` is the number of independent units of a mean over classes of equal weight.

    The subsets are "all"; for tasks with classes, "rarest class" (only its number of clusters, for the class with the
    fewest); and for two classes, also "positive", "negative" and "predicted positive". If only one class occurs,
    ``only_class`` names it.
    """

    sizes: Mapping[str, int]
    clusters: Mapping[str, int]
    why: str | None
    only_class: str | None = None
    equal_weight: float = 0.0
    is_group: bool = False


def _measure_single(
    task: ScoredTask,
    samples: Samples,
    partition: Partition,
    cluster: np.ndarray,
    resampling: Resampling,
    metrics: Sequence[Metric],
) -> dict[str, LevelDraws]:
    code, own = partition.code[samples.rows], cluster[samples.rows]
    predicted = None if task.kind == "ordinal" else predicted_classes(task, samples)
    order = np.argsort(code, kind="stable")
    edges = np.searchsorted(code[order], np.arange(len(partition.levels) + 1))
    levels = [
        _describe(task, samples, order[start:end], own, predicted, is_group=bool(partition.name))
        for start, end in pairwise(edges)
    ]
    data = MetricInput(
        true=samples.true,
        predicted=predicted,
        score=samples.score,
        classes=len(task.classes),
        level=code,
        levels=len(levels),
        cluster=own,
        resampling=resampling,
        skip=np.array([level.why is not None for level in levels], dtype=bool),
        abstain=task.abstain,
        weight=samples.weight,
    )
    applicable = [
        metric
        for metric in metrics
        if metric.applies(task.kind, len(task.classes)) and (samples.scored or not metric.needs_scores)
    ]
    values: dict[str, Resampled] = {}
    for family in dict.fromkeys(metric.family for metric in applicable):
        values |= family([metric for metric in applicable if metric.family is family], data)
    return {
        name: {
            metric.name: _draws(metric, values[metric.name], place, level)
            for metric in applicable
            if metric.name in values
        }
        for place, (name, level) in enumerate(zip(partition.levels, levels))
    }


def _describe(
    task: ScoredTask,
    samples: Samples,
    where: np.ndarray,
    cluster: np.ndarray,
    predicted: np.ndarray | None,
    *,
    is_group: bool,
) -> _Level:
    subsets = {"all": where}
    by_class: dict[int, np.ndarray] = {}
    if predicted is not None:
        true = samples.true[where]
        by_class = {int(value): where[true == value] for value in np.unique(true)}
        if len(task.classes) == 2:
            none = where[:0]
            subsets |= {"positive": by_class.get(1, none), "negative": by_class.get(0, none)}
            subsets["predicted positive"] = where[predicted[where] == 1]
    sizes = {name: len(rows) for name, rows in subsets.items()}
    clusters = {name: len(np.unique(cluster[rows])) for name, rows in subsets.items()}
    equal_weight = 0.0
    if by_class:
        counts = [len(np.unique(cluster[rows])) for rows in by_class.values()]
        clusters["rarest class"] = min(counts)
        equal_weight = len(counts) ** 2 / sum(1 / count for count in counts)
    why = None
    if not len(where):
        why = "no samples"
    elif is_group and clusters["all"] < MINIMUM_CLUSTERS:
        why = f"only {_counted(clusters['all'], 'cluster')}, fewer than {MINIMUM_CLUSTERS}"
    only = task.classes[next(iter(by_class))] if len(by_class) == 1 else None
    return _Level(sizes, clusters, why, only, equal_weight, is_group)


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}" if count == 1 else f"{count:,} {name}s"


def _draws(metric: Metric, resampled: Resampled, place: int, level: _Level) -> Draws:
    units = metric.samples if metric.units == "samples" else metric.units
    return Draws(
        resampled.values[place],
        level.sizes[metric.samples],
        level.clusters[metric.samples],
        None if units is None else level.clusters.get(units),
        level.equal_weight if metric.units == "rarest class" and metric.equal_classes else None,
        why=level.why or _one_class(metric, level) or _too_few_samples(metric, level) or resampled.why.get(place),
        no_interval=_too_few_clusters(metric, level),
        rule=metric.rule,
        unfolded=None if resampled.unfolded is None or level.why else resampled.unfolded[place],
        bounds=metric.bounds,
    )


def _one_class(metric: Metric, level: _Level) -> str | None:
    if level.only_class is None or metric.units != "rarest class":
        return None
    return f"{ONE_CLASS}: {level.only_class}"


def _too_few_samples(metric: Metric, level: _Level) -> str | None:
    for subset, needed in metric.minimum.items():
        have = level.sizes.get(subset, 0)
        if have == 0:
            return "no sample is predicted positive" if subset == "predicted positive" else f"no {subset} sample"
        if have < needed:
            return f"{have} {subset} samples; {needed:,} are needed"
    subset = "rarest class" if metric.units == "rarest class" else metric.samples
    have = level.clusters.get(subset, MINIMUM_CLUSTERS)
    if level.is_group and have < MINIMUM_CLUSTERS:
        of = "of the rarest class" if subset == "rarest class" else f"with {subset} samples"
        return f"{_counted(have, 'cluster')} {of}; {MINIMUM_CLUSTERS} are needed"
    return None


def _too_few_clusters(metric: Metric, level: _Level) -> str | None:
    for subset, needed in metric.minimum_clusters.items():
        have = level.clusters.get(subset, 0)
        if have < needed:
            return f"{have:,} clusters with {subset} samples; an interval needs {needed:,}"
    return None


def _attribute_means(
    attributes: Mapping[str, dict[str, LevelDraws]], levels: tuple[str, ...], metrics: Sequence[Metric]
) -> dict[str, LevelDraws]:
    """Return means over the attributes with a value at every measurable level, so that the levels are comparable."""
    found: dict[str, LevelDraws] = {}
    for level in levels:
        found[level] = {}
        for metric in metrics:
            if not metric.applies("multilabel", 2) or any(
                metric.name not in measured[level] for measured in attributes.values()
            ):
                continue
            usable = [
                one for one in levels if any(measured[one][metric.name].why is None for measured in attributes.values())
            ]
            kept = [
                measured[level][metric.name]
                for measured in attributes.values()
                if all(measured[other][metric.name].why is None for other in usable)
            ]
            every = [measured[level][metric.name] for measured in attributes.values()]
            n, clusters = max(draws.n for draws in every), max(draws.clusters for draws in every)
            if level in usable and kept:
                found[level][metric.name] = Draws(
                    np.mean([draws.values for draws in kept], axis=0),
                    n,
                    clusters,
                    _mean_units(kept),
                    rule=metric.rule,
                    bounds=metric.bounds,
                    more={"attributes": len(kept)} if len(kept) < len(attributes) else None,
                )
            else:
                why = every[0].why or "no attribute can be measured in every level"
                found[level][metric.name] = Draws(np.full(len(every[0].values), np.nan), n, clusters, why=why)
    return found


def _mean_units(attributes: Sequence[Draws]) -> int | None:
    """Return the number of units of an equally weighted mean over attributes: the harmonic mean of their units.

    The variance of a mean is at most the mean of the variances, whatever the dependence between attributes.
    """
    units = [one.units for one in attributes if one.units is not None]
    return int(len(units) / sum(1 / max(one, 1) for one in units)) if units else None


def count_missing_as_errors(overall: Mapping[str, Estimate], missing: int) -> dict[str, Estimate]:
    """Return the metrics that would result if ``missing`` additional samples were all counted as errors.

    Only metrics that are a fraction of all samples are returned: a sample without a score has no rank, and its class is
    usually unknown. The number of missing samples is treated as exact, so the interval shrinks with the value.

    Args:
        overall: estimate of each metric over the samples that have a score.
        missing: number of samples without a score.
    """
    found = {}
    for metric, estimate in overall.items():
        if not missing or not METRICS[metric].counts_missing or estimate.value is None:
            continue
        share = estimate.n / (estimate.n + missing)
        low, high = (None if end is None else end * share for end in (estimate.low, estimate.high))
        found[metric] = Estimate(
            estimate.value * share, low, high, estimate.n + missing, estimate.clusters, estimate.why
        )
    return found
