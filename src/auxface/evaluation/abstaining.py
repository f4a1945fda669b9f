"""The scores at which a model should rather not answer, chosen on the validation split."""

import numpy as np

_ALL = float("inf")
_NEVER = float(np.nextafter(1.0, 2.0))


def choose_abstain_band(
    y: np.ndarray, score: np.ndarray, *, threshold: float, accuracy: float = 0.95
) -> tuple[float, float]:
    """The narrowest band about a threshold outside of which each answer is right often enough.

    The upper end is the lowest score from which upwards at least ``accuracy`` of the validation samples are positive;
    the lower end the highest one below which at least ``accuracy`` are negative (the reject option of Chow, 1970, with
    the two answers kept apart). Abstain where ``low <= score < high``.

    Args:
        y: truth, 0 or 1, [N].
        score: scores in [0, 1], [N].
        threshold: from which a score counts as positive; lies in the band.
        accuracy: the share of answers that must be right, in (0, 1].

    Returns:
        (low, high) with ``low <= threshold <= high``; low = high = threshold where no band is needed; the number after
        1, or 0, as an end where no score answers well enough on that side.

    Raises:
        ValueError: no samples, lengths that differ, scores that are not finite, an accuracy outside (0, 1].
    """
    y, score = _checked(y, score, accuracy)
    up, down = score >= threshold, score < threshold
    upper = _last_good(-score[up], y[up] == 1, accuracy)
    lower = _last_good(score[down], y[down] == 0, accuracy)
    high = threshold if upper == _ALL else _NEVER if upper is None else -upper
    low = threshold if lower == _ALL else 0.0 if lower is None else float(np.nextafter(lower, 2.0))
    return low, high


def choose_abstain_confidence(right: np.ndarray, confidence: np.ndarray, *, accuracy: float = 0.95) -> float:
    """The lowest confidence from which upwards at least ``accuracy`` of the answers are right.

    Args:
        right: whether the top class is the true one, [N].
        confidence: score of the top class in [0, 1], [N].
        accuracy: the share of answers that must be right, in (0, 1].

    Returns:
        A confidence; 0 where no answer need be held back, the number after 1 where none is good enough.

    Raises:
        ValueError: as :func:`choose_abstain_band`.
    """
    right, confidence = _checked(right, confidence, accuracy)
    edge = _last_good(-confidence, right == 1, accuracy)
    return 0.0 if edge == _ALL else _NEVER if edge is None else -edge


def _last_good(value: np.ndarray, right: np.ndarray, accuracy: float) -> float | None:
    """The largest of ``value`` up to which answers are right often enough; infinity for all of them, None for none."""
    order = np.argsort(value, kind="stable")
    ordered, hits = value[order], np.cumsum(right[order])
    last_of_ties = np.append(ordered[1:] != ordered[:-1], True) if len(ordered) else np.zeros(0, dtype=bool)
    good = np.flatnonzero(last_of_ties & (hits / np.arange(1, len(value) + 1) >= accuracy - 1e-12))
    if len(good) and good[-1] < len(value) - 1:
        return float(ordered[good[-1]])
    return _ALL if len(good) or not len(value) else None


def _checked(y: np.ndarray, score: np.ndarray, accuracy: float) -> tuple[np.ndarray, np.ndarray]:
    y, score = np.asarray(y).astype(int), np.asarray(score, dtype=float)
    if y.ndim != 1 or not len(y) or y.shape != score.shape or not np.isin(y, (0, 1)).all():
        raise ValueError("abstaining needs truths of 0 and 1, and as many scores")
    if not np.isfinite(score).all():
        raise ValueError("abstaining needs finite scores")
    if not 0 < accuracy <= 1:
        raise ValueError(f"accuracy must lie in (0, 1], not {accuracy:g}")
    return y, score
