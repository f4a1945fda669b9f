"""Metrics of scores as probabilities: calibration error, Brier score, reliability diagram and temperature scaling.

>>> y, score = np.array([0, 1, 1, 1]), np.array([0.1, 0.15, 0.9, 1.0])
>>> round(expected_calibration_error(y, score, bins=5), 4), round(brier_score(y, score), 4)
(0.2125, 0.1856)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from auxface.evaluation.intervals import debiased_student, wilson
from auxface.evaluation.metrics.metric import Metric, MetricInput, Resampled, mean_over_samples

BINS = 15
# Scores of several classes count as probabilities if they sum to 1 within this tolerance, which allows for single
# precision and rounding.
_SUM_TOLERANCE = 0.01


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability diagram: mean score, observed frequency with Wilson's interval, and sample count."""

    score: float
    share: float
    low: float
    high: float
    n: int


def expected_calibration_error(y: np.ndarray, score: np.ndarray, *, bins: int = BINS) -> float:
    """Return the mean absolute difference between score and observed frequency over bins of equal width.

    Source: Naeini et al. (2015); Guo et al. (2017).

    Args:
        y: true labels, 0 or 1, or class indices, [N].
        score: scores in [0, 1], either of the positive class, [N], or of each class, [N, C], of which the highest is
            used.
        bins: number of bins.

    Raises:
        ValueError: there are no samples, or the lengths differ.
    """
    confidence, correct = _confidence(*_checked_pair(y, score))
    total = np.zeros(bins)
    np.add.at(total, _bin_of(confidence, bins), confidence - correct)
    return float(np.abs(total).sum() / len(confidence))


def brier_score(y: np.ndarray, score: np.ndarray) -> float:
    """Return the mean squared difference between scores and true labels (Brier, 1950).

    For scores [N] of the positive class, the result lies in [0, 1]. For scores [N, C], squares are summed over the
    classes, and the result lies in [0, 2].

    Raises:
        ValueError: there are no samples, or the lengths differ.
    """
    return float(_squared_distance(*_checked_pair(y, score)).mean())


def reliability_bins(y: np.ndarray, score: np.ndarray, *, bins: int = BINS) -> list[Bin]:
    """Return the reliability diagram (DeGroot and Fienberg, 1983): nonempty bins of equal width, lowest first.

    Raises:
        ValueError: there are no samples, or the lengths differ.
    """
    confidence, correct = _confidence(*_checked_pair(y, score))
    place = _bin_of(confidence, bins)
    count = np.bincount(place, minlength=bins)
    summed, hits = (np.bincount(place, weights=values, minlength=bins) for values in (confidence, correct))
    found = []
    for at in np.flatnonzero(count):
        n = int(count[at])
        share = float(hits[at] / n)
        found.append(Bin(float(summed[at] / n), share, *wilson(share, n), n))
    return found


def fit_temperature(logits: np.ndarray, y: np.ndarray) -> float:
    """Return the temperature T for which softmax(logits / T), or sigmoid(logits / T), has the lowest log loss.

    Source: Guo et al. (2017), "On Calibration of Modern Neural Networks". For probabilities, pass their logarithms (for
    a binary task, their log odds).

    Args:
        logits: logits, float [N, C] for C classes, or [N] for a binary task.
        y: class indices, or 0 and 1 for a binary task, [N].

    Returns:
        The temperature T in [0.05, 20].

    Raises:
        ValueError: there are no samples, the lengths differ, a logit is not finite, or a class index has no column.
    """
    logits, y = np.asarray(logits, dtype=float), np.asarray(y).astype(int)
    if logits.ndim not in (1, 2) or not len(y) or y.shape != logits.shape[:1]:
        raise ValueError(f"expected logits [N, C] or [N] and labels [N], not {logits.shape} and {y.shape}")
    if not np.isfinite(logits).all():
        raise ValueError("logits must be finite")
    classes = 2 if logits.ndim == 1 else logits.shape[1]
    if y.min() < 0 or y.max() >= classes:
        raise ValueError(f"labels must be in 0..{classes - 1}")

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        if scaled.ndim == 1:
            return float(np.logaddexp(0, np.where(y == 1, -scaled, scaled)).mean())
        return float((logsumexp(scaled, axis=1) - scaled[np.arange(len(y)), y]).mean())

    best = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded")
    return float(np.exp(best.x))


def are_probabilities(score: np.ndarray) -> bool:
    """Return whether scores [N, C] sum to 1 in every row; always True for scores [N] of a positive class."""
    return score.ndim == 1 or bool(np.all(np.abs(score.sum(axis=1) - 1) <= _SUM_TOLERANCE))


def from_bins(metrics: Sequence[Metric], data: MetricInput) -> dict[str, Resampled]:
    """Compute the metrics of a reliability diagram; the result is empty for scores that are not probabilities.

    ``compute`` receives the difference between score and frequency, summed by bin, float64 [levels, bins, r], and the
    number of samples, float64 [levels, r]; it returns the metric, float64 [levels, r]. A signed version is also
    computed, in which each bin keeps the sign that it has in the data. Its spread equals that of the metric except for
    bins near 0, where the absolute value hides half of the resampling noise.
    """
    if not are_probabilities(data.score):
        return {}
    confidence, correct = _confidence(data.true, data.score)
    cell = data.level * BINS + _bin_of(confidence, BINS)
    weight = np.ones(len(confidence)) if data.weight is None else data.weight
    excess = data.resampling.sums(cell, data.cluster, data.levels * BINS, weight * (confidence - correct))
    count = data.resampling.sums(data.level, data.cluster, data.levels, weight)
    sign = np.sign(np.asarray(excess.sum(axis=1))).reshape(data.levels, BINS)
    folded: dict[str, list[np.ndarray]] = {metric.name: [] for metric in metrics}
    signed: list[np.ndarray] = []
    for part in data.resampling.chunks(data.levels * BINS):
        weights = data.resampling.columns(part)
        with np.errstate(invalid="ignore", divide="ignore"):
            total = count @ weights
            by_bin = (excess @ weights).reshape(data.levels, BINS, -1)
            signed.append(np.einsum("lb,lbr->lr", sign, by_bin) / total)
            for metric in metrics:
                folded[metric.name].append(metric.compute(by_bin, total))
    unfolded = np.concatenate(signed, axis=1)
    return {name: Resampled(np.concatenate(values, axis=1), unfolded) for name, values in folded.items()}


def _calibration_error(by_bin: np.ndarray, total: np.ndarray) -> np.ndarray:
    return np.abs(by_bin).sum(axis=1) / total


def _brier(data: MetricInput) -> tuple[np.ndarray, None] | None:
    return (_squared_distance(data.true, data.score), None) if are_probabilities(data.score) else None


def _confidence(true: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the score of the positive or top class, and whether that class is the true class, float64 [N] each."""
    if score.ndim == 1:
        return score, true.astype(float)
    return score.max(axis=1), (score.argmax(axis=1) == true).astype(float)


def _bin_of(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Return the bin of each score, int64 [N]; bins include their lower edge, and the last bin also includes 1."""
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    return np.searchsorted(edges, confidence, side="right")


def _squared_distance(true: np.ndarray, score: np.ndarray) -> np.ndarray:
    if score.ndim == 1:
        return (score - true) ** 2
    own = score[np.arange(len(true)), true]
    return (score**2).sum(axis=1) - 2 * own + 1


def _checked_pair(y: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y, score = np.asarray(y).astype(int), np.asarray(score, dtype=float)
    if score.ndim not in (1, 2) or not len(y) or y.shape != score.shape[:1]:
        raise ValueError(f"expected scores [N] or [N, C] and labels [N], not {score.shape} and {y.shape}")
    return y, score


CALIBRATION = (
    Metric(
        "expected_calibration_error",
        "calibration error",
        "the mean absolute difference between score and observed frequency, over bins of scores",
        ("class", "binary", "multilabel"),
        from_bins,
        _calibration_error,
        higher_is_better=False,
        rule=debiased_student,
        needs_scores=True,
        units=None,
        column={"class": 50, "binary": 80, "multilabel": 40},
    ),
    Metric(
        "brier_score",
        "Brier score",
        "the mean squared difference between scores and true labels",
        ("class", "binary", "multilabel"),
        mean_over_samples,
        _brier,
        higher_is_better=False,
        unit="",
        bounds=(0.0, np.inf),
        needs_scores=True,
        units=None,
    ),
)
