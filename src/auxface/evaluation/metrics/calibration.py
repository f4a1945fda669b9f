"""Whether scores are probabilities: calibration error, Brier score and the reliability diagram, also on resamples.

Whether a score of 0.8 is right eight times in ten, and making it so.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from auxface.evaluation.intervals import Resampling, wilson

BINS = 15
CALIBRATION_METRICS = ("expected_calibration_error", "brier_score")
# The calibration error with every bin's sign held as it is in the data. Its spread is that of the error itself, but for
# bins near nought, which fold the resamples over and so hide half of their noise.
SIGNED = "signed_calibration_error"
# Scores of a choice between classes must add up to 1 to be probabilities; single precision and rounding may be off.
_SUM_TOLERANCE = 0.01


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability diagram: mean score, how often the answer was right (with Wilson's interval), count."""

    score: float
    share: float
    low: float
    high: float
    n: int


def expected_calibration_error(y: np.ndarray, score: np.ndarray, *, bins: int = BINS) -> float:
    """Mean distance between score and frequency over bins of equal width (Naeini et al., 2015; Guo et al., 2017).

    Args:
        y: truth: 0 or 1, or a class index, [N].
        score: of the positive class in [0, 1], [N]; or of each class, [N, C], of which the highest is looked at.
        bins: how many.

    Raises:
        ValueError: no samples, or lengths that differ.
    """
    confidence, right = confidence_of(*_pair(y, score))
    total = np.zeros(bins)
    np.add.at(total, bin_of(confidence, bins), confidence - right)
    return float(np.abs(total).sum() / len(confidence))


def brier_score(y: np.ndarray, score: np.ndarray) -> float:
    """Mean squared distance of the scores from the truth (Brier, 1950).

    With scores [N] of the positive class it lies in [0, 1]; with scores [N, C] squares are added over classes, so that
    it lies in [0, 2].

    Raises:
        ValueError: no samples, or lengths that differ.
    """
    return float(squared_distance(*_pair(y, score)).mean())


def reliability_bins(y: np.ndarray, score: np.ndarray, *, bins: int = BINS) -> list[Bin]:
    """The reliability diagram (DeGroot and Fienberg, 1983): bins of equal width that hold samples, lowest first.

    Raises:
        ValueError: no samples, or lengths that differ.
    """
    confidence, right = confidence_of(*_pair(y, score))
    place = bin_of(confidence, bins)
    count = np.bincount(place, minlength=bins)
    summed, hits = (np.bincount(place, weights=values, minlength=bins) for values in (confidence, right))
    found = []
    for at in np.flatnonzero(count):
        n = int(count[at])
        share = float(hits[at] / n)
        found.append(Bin(float(summed[at] / n), share, *wilson(share, n), n))
    return found


def calibration_metrics(
    true: np.ndarray, score: np.ndarray, level: np.ndarray, levels: int, cluster: np.ndarray, resampling: Resampling
) -> dict[str, np.ndarray]:
    """:data:`CALIBRATION_METRICS` per level of a grouping, on the data and on every resample.

    Args:
        true: class index, int64 [N].
        score: float64 [N] of the positive class, or [N, C].
        level: level of each sample, int64 [N] in 0..levels-1.
        levels: how many levels.
        cluster: cluster of each sample, int64 [N].
        resampling: the resamples.

    Returns:
        Name to float64 [levels, 1+R], and :data:`SIGNED` besides; NaN where undefined.
    """
    confidence, right = confidence_of(true, score)
    cell = level * BINS + bin_of(confidence, BINS)
    excess = resampling.sums(cell, cluster, levels * BINS, confidence - right)
    squares = resampling.sums(level, cluster, levels, squared_distance(true, score))
    count = resampling.sums(level, cluster, levels)
    sign = np.sign(np.asarray(excess.sum(axis=1))).reshape(levels, BINS)
    parts = []
    for part in resampling.chunks(levels * BINS):
        weights = resampling.columns(part)
        with np.errstate(invalid="ignore", divide="ignore"):
            total = count @ weights
            moved = (excess @ weights).reshape(levels, BINS, -1)
            signed = np.einsum("lb,lbr->lr", sign, moved)
            parts.append((np.abs(moved).sum(axis=1) / total, (squares @ weights) / total, signed / total))
    return {name: np.concatenate(found, axis=1) for name, found in zip((*CALIBRATION_METRICS, SIGNED), zip(*parts))}


def are_probabilities(score: np.ndarray) -> bool:
    """Whether scores [N, C] add up to 1 in every row; scores [N] of a positive class always count as probabilities."""
    return score.ndim == 1 or bool(np.all(np.abs(score.sum(axis=1) - 1) <= _SUM_TOLERANCE))


def confidence_of(true: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the score claims and whether it was so, float64 [N] each: of the positive class, or of the top class."""
    if score.ndim == 1:
        return score, true.astype(float)
    return score.max(axis=1), (score.argmax(axis=1) == true).astype(float)


def bin_of(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Bin of each score, int64 [N]; a bin holds its lower edge, the last one also 1."""
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    return np.searchsorted(edges, confidence, side="right")


def squared_distance(true: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Squared distance of each sample's scores from its truth, float64 [N]."""
    if score.ndim == 1:
        return (score - true) ** 2
    own = score[np.arange(len(true)), true]
    return (score**2).sum(axis=1) - 2 * own + 1


def _pair(y: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y, score = np.asarray(y).astype(int), np.asarray(score, dtype=float)
    if score.ndim not in (1, 2) or not len(y) or y.shape != score.shape[:1]:
        raise ValueError("calibration needs scores [N] or [N, C] and as many truths")
    return y, score


def fit_temperature(logits: np.ndarray, y: np.ndarray) -> float:
    """The temperature T > 0 for which softmax(logits / T), or sigmoid(logits / T), fits the truth best.

    Minimizes the negative log likelihood (Guo et al., 2017, "On Calibration of Modern Neural Networks"). For
    probabilities pass their logarithm (binary: their log odds).

    Args:
        logits: float [N, C] for a choice between C classes, or [N] for yes or no.
        y: class index, or 0 and 1, [N].

    Returns:
        T in [0.05, 20].

    Raises:
        ValueError: no samples, lengths that differ, numbers that are not finite, a class outside the columns.
    """
    logits, y = np.asarray(logits, dtype=float), np.asarray(y).astype(int)
    if logits.ndim not in (1, 2) or not len(y) or y.shape != logits.shape[:1]:
        raise ValueError("a temperature needs logits [N, C] or [N] and as many truths")
    if not np.isfinite(logits).all():
        raise ValueError("a temperature needs finite logits")
    classes = 2 if logits.ndim == 1 else logits.shape[1]
    if y.min() < 0 or y.max() >= classes:
        raise ValueError(f"a truth lies outside 0..{classes - 1}")

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        if scaled.ndim == 1:
            return float(np.logaddexp(0, np.where(y == 1, -scaled, scaled)).mean())
        return float((logsumexp(scaled, axis=1) - scaled[np.arange(len(y)), y]).mean())

    best = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded")
    return float(np.exp(best.x))
