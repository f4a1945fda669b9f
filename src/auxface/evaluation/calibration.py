"""Whether a score of 0.8 is right eight times in ten, and making it so."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp


def fit_temperature(logits: np.ndarray, y: np.ndarray) -> float:
    """The temperature T > 0 for which softmax(logits / T), or sigmoid(logits / T), fits the truth best.

    Minimises the negative log likelihood (Guo et al., 2017, "On Calibration of Modern Neural Networks"). For
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
