"""One task of one table: every metric, per level of a division, on the data and on every resample.

Samples without a score: what the figures would be if every one of them were an error.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from auxface.evaluation.groups import Partition
from auxface.evaluation.intervals import Draws, Estimate, Resampling
from auxface.evaluation.metrics.calibration import CALIBRATION_METRICS, SIGNED, are_probabilities, calibration_metrics
from auxface.evaluation.metrics.counts import count_metrics
from auxface.evaluation.metrics.ranking import FALSE_ALARMS, RANK_METRICS, rank_metrics
from auxface.evaluation.predictions import (
    Predictions,
    Samples,
    Task,
    attribute_samples,
    predicted_classes,
    task_samples,
)

MINIMUM_GROUP = 30
CUMULATIVE = (1, 5)
# Simulated, the interval of a hit rate at few false alarms holds the truth from this many false alarms on (of as many
# different videos or persons); with fewer the threshold lands too low, and the interval with it.
ALARMS_FOR_INTERVAL = 5
_MEANS = ("accuracy", "balanced_accuracy", "average_precision", "expected_calibration_error", "brier_score")
_UNBOUNDED = ("mean_absolute_error",)
_BIASED = ("expected_calibration_error",)
_SKEWED = ("auc", "average_precision", "equal_error_rate")

Metrics = dict[str, Draws]


@dataclass(frozen=True)
class Measured:
    """What was measured: level to metric to draws; for a multi-label task also per attribute."""

    levels: dict[str, Metrics]
    attributes: dict[str, dict[str, Metrics]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Level:
    """One level's samples as positions, how many of which kind, and what stands against measuring it.

    ``sizes`` and ``clusters`` are counts by subset: "all", and where there are classes "rarest" (the class with the
    fewest clusters), with two also "positive", "negative" and "chosen" (called positive).
    """

    where: np.ndarray
    sizes: Mapping[str, int]
    clusters: Mapping[str, int]
    why: str | None


def measure(
    predictions: Predictions,
    task: Task,
    partition: Partition,
    cluster: np.ndarray,
    resampling: Resampling,
    without: Collection[str] = (),
) -> Measured:
    """Measure a task per level.

    A level of a group with fewer than :data:`MINIMUM_GROUP` samples, or with one class, has no numbers and says why.

    Args:
        predictions: a checked table.
        task: one of its tasks.
        partition: how the rows are divided.
        cluster: cluster of each row, int64 [rows].
        resampling: the resamples.
        without: metrics that nobody will ask for; those of ranking take most of the time.
    """
    if task.kind != "multilabel":
        return Measured(_single(task, task_samples(predictions, task), partition, cluster, resampling, without))
    attributes = {}
    for name in task.classes:
        samples = attribute_samples(predictions, task, name)
        if samples is not None:
            attributes[name] = _single(task.alone(name), samples, partition, cluster, resampling, without)
    return Measured(_means(attributes, partition.levels), attributes)


def _single(
    task: Task,
    samples: Samples,
    partition: Partition,
    cluster: np.ndarray,
    resampling: Resampling,
    without: Collection[str],
) -> dict[str, Metrics]:
    code, own = partition.code[samples.rows], cluster[samples.rows]
    predicted = None if task.kind == "ordinal" else predicted_classes(task, samples)
    order = np.argsort(code, kind="stable")
    edges = np.searchsorted(code[order], np.arange(len(partition.levels) + 1))
    levels = [
        _level(task, samples, order[start:end], own, predicted, strict=bool(partition.name))
        for start, end in pairwise(edges)
    ]
    if predicted is None:
        values = _distances(samples, code, len(levels), own, resampling)
    else:
        classes = len(task.classes)
        values = count_metrics(samples.true, predicted, classes, code, len(levels), own, resampling)
        if classes == 2 and not set(RANK_METRICS) <= set(without):
            values |= _ranked(samples, levels, own, resampling)
        if are_probabilities(samples.score):
            values |= calibration_metrics(samples.true, samples.score, code, len(levels), own, resampling)
        if task.abstain is not None:
            values |= _answered(task.abstain, samples, predicted, code, len(levels), own, resampling)
    signed = values.pop(SIGNED, None)
    return {
        name: {
            metric: _draws(metric, values[metric][place], level, None if signed is None else signed[place])
            for metric in values
        }
        for place, (name, level) in enumerate(zip(partition.levels, levels))
    }


def _level(
    task: Task, samples: Samples, where: np.ndarray, cluster: np.ndarray, predicted: np.ndarray | None, strict: bool
) -> _Level:
    subsets = {"all": where}
    if predicted is not None:
        true = samples.true[where]
        by_class = {int(value): where[true == value] for value in np.unique(true)}
        if len(task.classes) == 2:
            none = where[:0]
            subsets |= {"positive": by_class.get(1, none), "negative": by_class.get(0, none)}
            subsets["chosen"] = where[predicted[where] == 1]
    else:
        by_class = {}
    sizes = {name: len(rows) for name, rows in subsets.items()}
    clusters = {name: len(np.unique(cluster[rows])) for name, rows in subsets.items()}
    if by_class:
        clusters["rarest"] = min(len(np.unique(cluster[rows])) for rows in by_class.values())
    why = None
    if not len(where):
        why = "no samples"
    elif strict and len(where) < MINIMUM_GROUP:
        why = f"only {len(where)} samples, fewer than {MINIMUM_GROUP}"
    elif strict and len(by_class) == 1:
        why = f"only one class occurs: {task.classes[next(iter(by_class))]}"
    return _Level(where, sizes, clusters, why)


# The samples that a metric is made of, where these are not all of them.
_MADE_OF = {"true_positive_rate": "positive", "false_positive_rate": "negative", "precision": "chosen"}
_SHARES = {"accuracy", "selection_rate", "answered", "accuracy_when_answered"} | {
    f"cumulative_score_{limit}" for limit in CUMULATIVE
}


def _draws(metric: str, values: np.ndarray, level: _Level, signed: np.ndarray | None) -> Draws:
    subset = _MADE_OF.get(metric, "all")
    n, clusters = level.sizes[subset], level.clusters[subset]
    if metric in _UNBOUNDED or metric in CALIBRATION_METRICS:
        units = None
    else:
        units = clusters if metric in _MADE_OF or metric in _SHARES else level.clusters.get("rarest")
    return Draws(
        values,
        n,
        clusters,
        units,
        level.why or _why(metric, level),
        biased=metric in _BIASED,
        logit=metric in _SKEWED,
        spread=float(np.nanstd(signed[1:])) if metric in _BIASED and signed is not None and not level.why else None,
        no_interval=_too_few_alarms(metric, level),
        bounds=(0.0, np.inf) if metric in _UNBOUNDED or metric == "brier_score" else (0.0, 1.0),
    )


def _too_few_alarms(metric: str, level: _Level) -> str | None:
    """Why no interval can be given of a hit rate that a handful of false alarms decides; None where one can."""
    for rate in FALSE_ALARMS:
        if metric == f"tpr_at_fpr_{rate:g}":
            needed, have = round(ALARMS_FOR_INTERVAL / rate), level.clusters.get("negative", 0)
            if have < needed:
                return f"{have:,} independent negatives: fewer than the {needed:,} that an interval needs"
    return None


def _why(metric: str, level: _Level) -> str | None:
    if metric in RANK_METRICS or metric in _MADE_OF:
        positives, negatives = level.sizes["positive"], level.sizes["negative"]
        if positives == 0 and metric not in ("false_positive_rate", "precision"):
            return "no positive sample"
        if negatives == 0 and metric not in ("true_positive_rate", "average_precision", "precision"):
            return "no negative sample"
        if metric == "precision" and level.sizes["chosen"] == 0:
            return "nothing is called positive"
        for rate in FALSE_ALARMS:
            if metric == f"tpr_at_fpr_{rate:g}" and negatives < round(1 / rate):
                return f"{negatives} negative samples; {round(1 / rate):,} are needed"
    return None


def _ranked(
    samples: Samples, levels: list[_Level], cluster: np.ndarray, resampling: Resampling
) -> dict[str, np.ndarray]:
    width = resampling.weights.shape[1]
    found = {name: np.full((len(levels), width), np.nan) for name in RANK_METRICS}
    score = samples.score if samples.score.ndim == 1 else samples.score[:, 1]
    for place, level in enumerate(levels):
        if level.why or not level.sizes["positive"]:
            continue
        part = rank_metrics(samples.true[level.where], score[level.where], cluster[level.where], resampling)
        for name, values in part.items():
            found[name][place] = values
    return found


def _answered(
    band: tuple[float, float],
    samples: Samples,
    predicted: np.ndarray,
    code: np.ndarray,
    levels: int,
    cluster: np.ndarray,
    resampling: Resampling,
) -> dict[str, np.ndarray]:
    """How often a model with an abstain band answers, and how often it is right then."""
    score = samples.score if samples.score.ndim == 1 else samples.score.max(axis=1)
    answered = (score < band[0]) | (score >= band[1])
    right = answered & (predicted == samples.true)
    return _ratios(
        {"answered": (answered, None), "accuracy_when_answered": (right, answered)}, code, levels, cluster, resampling
    )


def _distances(
    samples: Samples, code: np.ndarray, levels: int, cluster: np.ndarray, resampling: Resampling
) -> dict[str, np.ndarray]:
    distance = np.abs(samples.score - samples.true)
    parts: dict[str, tuple[np.ndarray, np.ndarray | None]] = {"mean_absolute_error": (distance, None)}
    parts |= {f"cumulative_score_{limit}": (distance <= limit, None) for limit in CUMULATIVE}
    return _ratios(parts, code, levels, cluster, resampling)


def _ratios(
    parts: Mapping[str, tuple[np.ndarray, np.ndarray | None]],
    code: np.ndarray,
    levels: int,
    cluster: np.ndarray,
    resampling: Resampling,
) -> dict[str, np.ndarray]:
    """Sum of the first [N] over sum of the second (None: over the count), per level and resample."""
    one = np.ones(len(code))
    sums = {
        name: [resampling.sums(code, cluster, levels, (one if part is None else part).astype(float)) for part in pair]
        for name, pair in parts.items()
    }
    found: dict[str, list[np.ndarray]] = {name: [] for name in parts}
    for columns in resampling.chunks(levels):
        weights = resampling.columns(columns)
        with np.errstate(invalid="ignore", divide="ignore"):
            for name, (above, below) in sums.items():
                found[name].append((above @ weights) / (below @ weights))
    return {name: np.concatenate(values, axis=1) for name, values in found.items()}


def _means(attributes: Mapping[str, dict[str, Metrics]], levels: tuple[str, ...]) -> dict[str, Metrics]:
    """Means over the attributes that can be measured in every level that has any, so that levels compare."""
    usable = [
        level for level in levels if any(measured[level]["accuracy"].why is None for measured in attributes.values())
    ]
    found: dict[str, Metrics] = {}
    for level in levels:
        found[level] = {}
        for metric in _MEANS:
            if any(metric not in measured[level] for measured in attributes.values()):
                continue
            kept = [
                measured[level][metric]
                for measured in attributes.values()
                if all(measured[other][metric].why is None for other in usable)
            ]
            every = [measured[level][metric] for measured in attributes.values()]
            n, clusters = max(draws.n for draws in every), max(draws.clusters for draws in every)
            if level in usable and kept:
                values = np.mean([draws.values for draws in kept], axis=0)
                more = {"attributes": len(kept)} if len(kept) < len(attributes) else None
                bounds = kept[0].bounds
                found[level][metric] = Draws(
                    values,
                    n,
                    clusters,
                    kept[0].units,
                    biased=metric in _BIASED,
                    logit=metric in _SKEWED,
                    bounds=bounds,
                    more=more,
                )
            else:
                why = every[0].why or "no attribute can be measured in every level"
                found[level][metric] = Draws(np.full(len(every[0].values), np.nan), n, clusters, why=why)
    return found


_SHARES_OF_SAMPLES = ("accuracy", "cumulative_score_1", "cumulative_score_5")


def counted_as_errors(overall: Mapping[str, Estimate], missing: int) -> dict[str, Estimate]:
    """Shares of samples with ``missing`` more samples, all wrong.

    Only metrics that are a share of all samples have such a figure: a sample that was left out has no score to rank
    and, as a rule, no known class. The number left out is taken as given, so that the interval shrinks with the value.

    Args:
        overall: metric to estimate over the samples that were scored.
        missing: samples that were not.
    """
    if not missing:
        return {}
    found = {}
    for metric in _SHARES_OF_SAMPLES:
        estimate = overall.get(metric)
        if estimate is None or estimate.value is None:
            continue
        share = estimate.n / (estimate.n + missing)
        low, high = (None if end is None else end * share for end in (estimate.low, estimate.high))
        found[metric] = Estimate(
            estimate.value * share, low, high, estimate.n + missing, estimate.clusters, estimate.why
        )
    return found
