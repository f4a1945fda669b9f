"""Decisions at a different prevalence: precision by Bayes' rule, expected cost, and the threshold of lowest cost.

The true and the false positive rate do not depend on the fraction of positives, but precision and cost do. Test sets
often have as many positives as negatives, whereas in practice one image in a thousand may be positive:

>>> round(precision_at(0.001, 0.9, 0.01), 3)
0.083

In the expected cost per sample, a false positive costs 1 and a false negative (miss) costs ``miss_cost``. The threshold
that minimizes this cost is a vertex of the convex hull of the ROC curve (Provost and Fawcett, 2001), so only the
vertices of the hull need to be considered. The threshold is chosen on the validation table and measured on the test
table.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from sklearn.metrics import roc_curve

from auxface.evaluation.intervals import Draws
from auxface.evaluation.measure import LevelDraws
from auxface.evaluation.predictions import Predictions, task_samples
from auxface.evaluation.results import AtPrevalence, CostPoint, TaskAudit

PREVALENCES = (0.001, 0.01, 0.1, 0.5)
MISS_COSTS = (1.0, 10.0, 100.0)
Rate = TypeVar("Rate", float, np.ndarray)


def precision_at(prevalence: float, true_positive_rate: Rate, false_positive_rate: Rate) -> Rate:
    """Return the precision at the given fraction of positives, by Bayes' rule."""
    hits = prevalence * true_positive_rate
    return hits / (hits + (1 - prevalence) * false_positive_rate)


def expected_cost(prevalence: float, miss_cost: float, true_positive_rate: Rate, false_positive_rate: Rate) -> Rate:
    """Return the expected cost per sample, in units of the cost of a false positive."""
    return prevalence * miss_cost * (1 - true_positive_rate) + (1 - prevalence) * false_positive_rate


def measure_prevalence(
    audited: TaskAudit, overall: LevelDraws, table: Predictions, validation: Predictions | None
) -> None:
    """Add precision and cost at :data:`PREVALENCES` to the results of a binary task without sample weights.

    Args:
        audited: results of the task, modified in place.
        overall: draws of the metrics of the task.
        table: test table.
        validation: table on which thresholds are chosen; if None, only the stored threshold is measured.
    """
    task = audited.task
    if task.kind != "binary" or "weight" in table.frame.columns:
        return
    hits, alarms = overall["true_positive_rate"], overall["false_positive_rate"]
    if hits.why or alarms.why:
        return
    known = validation is not None and task.name in {one.name for one in validation.tasks}
    audited.cost_curve = _cost_curve(table, validation, audited) if validation is not None and known else []
    n, clusters = hits.n + alarms.n, min(hits.clusters, alarms.clusters)
    for prevalence in PREVALENCES:
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = precision_at(prevalence, hits.values, alarms.values)
        why = "no sample is predicted positive" if np.isnan(precision[0]) else None
        costs = {miss: expected_cost(prevalence, miss, hits.values, alarms.values) for miss in MISS_COSTS}
        audited.prevalence[prevalence] = AtPrevalence(
            Draws(precision, n, clusters, why=why, bounds=(0.0, 1.0)).estimate(),
            {miss: Draws(cost, n, clusters, bounds=(0.0, np.inf)).estimate() for miss, cost in costs.items()},
            {miss: cheapest(audited.cost_curve, prevalence, miss) for miss in MISS_COSTS if audited.cost_curve},
        )


def cheapest(curve: Sequence[CostPoint], prevalence: float, miss_cost: float) -> CostPoint:
    """Return the point with the lowest expected cost on the validation table; ties go to the highest threshold."""
    return min(
        curve,
        key=lambda point: (
            round(expected_cost(prevalence, miss_cost, point.chosen_hits, point.chosen_alarms), 12),
            -point.threshold,
        ),
    )


def _cost_curve(table: Predictions, validation: Predictions, audited: TaskAudit) -> list[CostPoint]:
    """Return the vertices of the ROC convex hull on the validation table, with their rates on both tables."""
    samples, tested = task_samples(validation, audited.task), task_samples(table, audited.task)
    if not samples.scored or not tested.scored or len(np.unique(samples.true)) < 2:
        return []
    alarm, hit, edge = roc_curve(samples.true, samples.score)
    hull: list[int] = []
    for place in range(len(edge)):
        while len(hull) > 1 and _is_below(hull[-2], hull[-1], place, alarm, hit):
            hull.pop()
        hull.append(place)
    ordered = np.sort(samples.score)
    positive, negative = (np.sort(tested.score[tested.true == value]) for value in (1, 0))
    points = []
    for place in hull:
        before = np.searchsorted(ordered, edge[place])
        lower = float(ordered[before - 1]) if before else 0.0
        upper = float(edge[place]) if np.isfinite(edge[place]) else float(np.nextafter(max(1.0, lower), np.inf))
        threshold = (lower + upper) / 2 if lower < (lower + upper) / 2 else upper
        rates = [float(1 - np.searchsorted(scores, threshold) / len(scores)) for scores in (positive, negative)]
        points.append(CostPoint(threshold, rates[0], rates[1], float(hit[place]), float(alarm[place])))
    return points


def _is_below(first: int, middle: int, last: int, alarm: np.ndarray, hit: np.ndarray) -> bool:
    run, rise = alarm[last] - alarm[first], hit[last] - hit[first]
    return bool(rise * (alarm[middle] - alarm[first]) >= run * (hit[middle] - hit[first]))
