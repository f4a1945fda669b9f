"""Choosing the score from which to say yes, on the validation split."""

import numpy as np
from sklearn.metrics import roc_curve

RULES = ("balanced_accuracy", "equal_error", "fpr=RATE")


def choose_threshold(y: np.ndarray, score: np.ndarray, *, rule: str = "balanced_accuracy") -> float:
    """The threshold at a named operating point; predict positive where ``score >= threshold``.

    Args:
        y: truth, 0 or 1, [N], both present.
        score: scores in [0, 1], [N].
        rule: ``balanced_accuracy`` (the best mean of hit rate and correct rejection rate; Youden, 1950),
            ``equal_error`` (false alarms as frequent as misses) or ``fpr=RATE`` (the most hits with at most that share
            of false alarms).

    Returns:
        A number in [0, 1], midway between the scores it separates, so that rounding does not move samples across it;
        the next number above 1 where even a score of 1 must not count as positive.

    Raises:
        ValueError: one class only, lengths that differ, scores that are not finite, an unknown rule.
    """
    y, score = np.asarray(y).astype(int), np.asarray(score, dtype=float)
    if y.shape != score.shape or y.ndim != 1 or not np.isin(y, (0, 1)).all() or len(np.unique(y)) != 2:
        raise ValueError("a threshold needs truths of both 0 and 1, and as many scores")
    if not np.isfinite(score).all():
        raise ValueError("a threshold needs finite scores")
    alarm, hit, edge = roc_curve(y, score, drop_intermediate=False)
    if rule == "balanced_accuracy":
        place = int(np.argmax(hit - alarm))
    elif rule == "equal_error":
        place = int(np.argmin(np.abs(alarm + hit - 1)))
    elif rule.startswith("fpr="):
        place = int(np.flatnonzero(alarm <= _rate(rule) + 1e-12)[-1])
    else:
        raise ValueError(f"no threshold rule '{rule}'; one of {', '.join(RULES)}")
    below = score[score < edge[place]]
    lower = below.max() if len(below) else 0.0
    upper = edge[place] if np.isfinite(edge[place]) else np.nextafter(max(1.0, lower), np.inf)
    middle = (lower + upper) / 2
    return float(middle if lower < middle else upper)


def _rate(rule: str) -> float:
    try:
        rate = float(rule.removeprefix("fpr="))
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= 1:
        raise ValueError(f"threshold rule '{rule}': the rate must be a number in [0, 1], as in fpr=0.01")
    return rate
