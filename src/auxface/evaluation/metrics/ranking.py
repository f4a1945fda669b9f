"""Ranking metrics: AUC, average precision, equal error rate, and TPR at a small FPR.

The definitions are those of scikit-learn: ties count one half in the AUC, and average precision is a step-wise sum. The
equal error rate is taken where the linearly interpolated ROC curve crosses FNR = FPR. ``tpr_at_fpr_0.01`` is the
highest true positive rate of any threshold whose false positive rate is at most 1%.

>>> curve = RocCurve(new_hits=np.array([[1.0, 1.0]]), new_alarms=np.array([[0.0, 2.0]]))
>>> float(_auc(curve)[0])
0.75
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from auxface.evaluation.intervals import logit_student, shrunk_wilson
from auxface.evaluation.metrics.metric import Metric, MetricInput, Resampled

# On the resamples of longer tables, scores are grouped into this many steps of equal count. Values are always exact,
# and intervals need only the spread of the resamples: ranks are off by at most 1/4,000.
STEPS = 4_000
# The highest scores, on which the TPR at a small FPR depends, are grouped more finely: up to a false positive rate of
# 2%, into steps of at most 1/20,000 of the negatives.
_FINE_RATE, _FINE_STEPS = 0.02, 20_000
# Maximum size of one curve over several resamples: a few such arrays fit into a second-level cache.
_CACHED_NUMBERS = 50_000
# In simulations, the interval of a TPR at a small FPR covers the true value if the threshold leaves at least this many
# false positives (of as many different videos or people); with fewer, the threshold and the interval are too low.
_FALSE_POSITIVES_FOR_INTERVAL = 5


@dataclass(frozen=True)
class RocCurve:
    """The ROC curves of several resamples, in order of decreasing score.

    Attributes:
        new_hits: number of positives at each score step, float64 [r, steps].
        new_alarms: number of negatives at each score step, float64 [r, steps].
    """

    new_hits: np.ndarray
    new_alarms: np.ndarray

    @cached_property
    def hits(self) -> np.ndarray:
        """Number of positives at or above each score step, float64 [r, steps]."""
        return np.cumsum(self.new_hits, axis=1)

    @cached_property
    def alarms(self) -> np.ndarray:
        """Number of negatives at or above each score step, float64 [r, steps]."""
        return np.cumsum(self.new_alarms, axis=1)

    @property
    def positives(self) -> np.ndarray:
        """Number of positives, float64 [r]."""
        return self.hits[:, -1]

    @property
    def negatives(self) -> np.ndarray:
        """Number of negatives, float64 [r]."""
        return self.alarms[:, -1]


def from_roc(metrics: Sequence[Metric], data: MetricInput) -> dict[str, Resampled]:
    """Compute the metrics that are functions of a :class:`RocCurve`; their ``compute`` returns float64 [r].

    A level without positives has no values.
    """
    width = data.resampling.weights.shape[1]
    found = {metric.name: np.full((data.levels, width), np.nan) for metric in metrics}
    score = data.score if data.score.ndim == 1 else data.score[:, 1]
    order = np.argsort(data.level, kind="stable")
    edges = np.searchsorted(data.level[order], np.arange(data.levels + 1))
    for place in data.measured_levels():
        rows = order[edges[place] : edges[place + 1]]
        positive = data.true[rows] == 1
        if positive.any():
            for name, values in _one_level(metrics, data, rows, positive, score[rows]).items():
                found[name][place] = values
    return {name: Resampled(values) for name, values in found.items()}


def _one_level(
    metrics: Sequence[Metric], data: MetricInput, rows: np.ndarray, positive: np.ndarray, score: np.ndarray
) -> dict[str, np.ndarray]:
    cluster, resampling = data.cluster[rows], data.resampling
    weight = np.ones(len(rows)) if data.weight is None else data.weight[rows]
    _, step = np.unique(-score, return_inverse=True)
    steps = int(step.max(initial=0)) + 1
    sides = (positive, ~positive)
    counts = (np.bincount(step, weights=weight * chosen, minlength=steps)[None] for chosen in sides)
    exact = _compute(metrics, RocCurve(*counts))
    step = _join_negatives(step, steps, positive)
    steps = int(step.max(initial=0)) + 1
    if steps > STEPS:
        step = _coarse(step, steps, weight * ~positive)
        steps = int(step.max()) + 1
    tables = [resampling.sums(step[chosen], cluster[chosen], steps, weight[chosen]) for chosen in sides]
    parts = []
    for part in resampling.chunks(steps, budget=_CACHED_NUMBERS):
        weights = resampling.columns(part)
        # Sums over contiguous numbers are several times faster than sums over rows.
        parts.append(_compute(metrics, RocCurve(*(np.ascontiguousarray((table @ weights).T) for table in tables))))
    found = {metric.name: np.concatenate([part[metric.name] for part in parts]) for metric in metrics}
    for name, values in found.items():
        values[0] = exact[name][0]
    return found


def _compute(metrics: Sequence[Metric], curve: RocCurve) -> dict[str, np.ndarray]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return {metric.name: metric.compute(curve) for metric in metrics}


def _join_negatives(step: np.ndarray, steps: int, positive: np.ndarray) -> np.ndarray:
    """Merge neighboring steps without positives, which lie on one straight segment of the ROC curve.

    No metric of the curve changes: the hits are the same at all of these steps, and the precision is not used there.
    """
    alone = np.bincount(step, weights=positive, minlength=steps) == 0
    starts = np.ones(steps, dtype=bool)
    starts[1:] = ~(alone[1:] & alone[:-1])
    return (np.cumsum(starts) - 1)[step]


def _coarse(step: np.ndarray, steps: int, negatives: np.ndarray) -> np.ndarray:
    """Merge neighboring steps into about :data:`STEPS` steps of nearly equal count; equal scores stay together."""
    count = np.bincount(step, minlength=steps)
    begin = np.cumsum(count) - count
    joined = begin * STEPS // len(step)
    alarms = np.cumsum(np.bincount(step, weights=negatives, minlength=steps))
    rate = alarms / max(alarms[-1], 1e-12)
    joined += np.minimum(rate * _FINE_STEPS, _FINE_RATE * _FINE_STEPS).astype(np.int64)
    return np.unique(joined, return_inverse=True)[1][step]


def _auc(curve: RocCurve) -> np.ndarray:
    wins = np.einsum("rs,rs->r", curve.new_alarms, curve.hits)
    wins -= np.einsum("rs,rs->r", curve.new_alarms, curve.new_hits) / 2
    return wins / (curve.positives * curve.negatives)


def _average_precision(curve: RocCurve) -> np.ndarray:
    chosen = curve.hits + curve.alarms
    precision = np.divide(curve.hits, chosen, out=np.zeros_like(curve.hits), where=chosen > 0)
    total = np.einsum("rs,rs->r", curve.new_hits, precision)
    return np.where(curve.positives > 0, total / curve.positives, np.nan)


def _equal_error_rate(curve: RocCurve) -> np.ndarray:
    hit_rate, alarm_rate = curve.hits / curve.positives[:, None], curve.alarms / curve.negatives[:, None]
    excess = alarm_rate + hit_rate - 1
    row = np.arange(len(excess))
    after = np.argmax(excess >= 0, axis=1)
    before = np.maximum(after - 1, 0)
    start = after == 0
    high, low = excess[row, after], np.where(start, -1.0, excess[row, before])
    alarm_high, alarm_low = alarm_rate[row, after], np.where(start, 0.0, alarm_rate[row, before])
    return alarm_low + (alarm_high - alarm_low) * (-low) / (high - low)


def _tpr_at_fpr(curve: RocCurve, *, rate: float) -> np.ndarray:
    within = np.count_nonzero(curve.alarms <= rate * curve.negatives[:, None] + 1e-9, axis=1)
    best = curve.hits[np.arange(len(within)), np.maximum(within - 1, 0)]
    return np.where(curve.negatives > 0, np.where(within > 0, best, 0) / curve.positives, np.nan)


def _tpr_record(rate: float, column: int) -> Metric:
    return Metric(
        f"tpr_at_fpr_{rate:g}",
        f"TPR at FPR {100 * rate:g}%",
        f"the highest true positive rate with a false positive rate of at most {100 * rate:g}%",
        ("class", "binary"),
        from_roc,
        partial(_tpr_at_fpr, rate=rate),
        rule=shrunk_wilson,
        needs_scores=True,
        two_classes=True,
        units="rarest class",
        minimum={"positive": 1, "negative": round(1 / rate)},
        minimum_clusters={"negative": round(_FALSE_POSITIVES_FOR_INTERVAL / rate)},
        column={"binary": column},
    )


RANKING = (
    Metric(
        "auc",
        "AUC",
        "the probability that a positive sample scores above a negative one",
        ("class", "binary", "multilabel"),
        from_roc,
        _auc,
        unit="",
        rule=logit_student,
        needs_scores=True,
        two_classes=True,
        units="rarest class",
        minimum={"positive": 1, "negative": 1},
        compared=True,
        column={"class": 40, "binary": 10, "multilabel": 25},
    ),
    Metric(
        "average_precision",
        "average precision",
        "the precision averaged over all recalls",
        ("class", "binary", "multilabel"),
        from_roc,
        _average_precision,
        unit="",
        rule=logit_student,
        needs_scores=True,
        two_classes=True,
        units="rarest class",
        minimum={"positive": 1},
        compared=True,
        column={"binary": 20, "multilabel": 30},
    ),
    Metric(
        "equal_error_rate",
        "EER",
        "the error rate at the threshold where the false negative rate equals the false positive rate",
        ("class", "binary"),
        from_roc,
        _equal_error_rate,
        higher_is_better=False,
        rule=logit_student,
        needs_scores=True,
        two_classes=True,
        units="rarest class",
        minimum={"positive": 1, "negative": 1},
        compared=True,
        column={"binary": 30},
    ),
    _tpr_record(0.01, 60),
    _tpr_record(0.001, 70),
)
