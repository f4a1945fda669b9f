"""Metrics that rest on the order of the scores: AUC, average precision, equal error rate, hits at few false alarms."""

import numpy as np

from auxface.evaluation.intervals import Resampling

# Resamples of longer tables see the scores in so many steps of equal count (the value itself never does): the places
# in the ranking are then off by at most 1/20,000, far inside any interval.
STEPS = 20_000
FALSE_ALARMS = (0.01, 0.001)
RANK_METRICS = ("auc", "average_precision", "equal_error_rate", *(f"tpr_at_fpr_{rate:g}" for rate in FALSE_ALARMS))


def rank_metrics(
    positive: np.ndarray, score: np.ndarray, cluster: np.ndarray, resampling: Resampling
) -> dict[str, np.ndarray]:
    """Ranking metrics on the data and on every resample.

    Definitions are scikit-learn's (ties count half in the AUC; average precision is the step sum). The equal error rate
    is where the straight lines between the points of the ROC curve meet FNR = FPR. ``tpr_at_fpr_0.01`` is the highest
    hit rate of any threshold with at most 1% false alarms.

    Args:
        positive: truth, 0 or 1, [N].
        score: the higher, the more positive, float64 [N].
        cluster: cluster of each sample, int64 [N].
        resampling: the resamples.

    Returns:
        Name to float64 [1+R]; NaN where a resample has one class only.
    """
    positive = positive.astype(bool)
    _, step = np.unique(-score, return_inverse=True)
    steps = int(step.max(initial=0)) + 1
    whole = _metrics(*_cumulated(positive, step, steps, np.ones((len(step), 1))))
    if steps > STEPS:
        step = _coarse(step, steps)
        steps = int(step.max()) + 1
    hits = resampling.sums(step[positive], cluster[positive], steps)
    alarms = resampling.sums(step[~positive], cluster[~positive], steps)
    parts = [whole]
    for part in resampling.chunks(steps, budget=1_000_000):
        weights = resampling.columns(part)
        parts.append(_metrics(np.cumsum(hits @ weights, axis=0), np.cumsum(alarms @ weights, axis=0)))
    found = {name: np.concatenate([part[name] for part in parts]) for name in whole}
    return {name: np.delete(values, 1) for name, values in found.items()}


def _cumulated(positive: np.ndarray, step: np.ndarray, steps: int, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hits and false alarms at and above every score step, float64 [steps, 1]."""
    hits = np.bincount(step, weights=weight[:, 0] * positive, minlength=steps)
    alarms = np.bincount(step, weights=weight[:, 0] * ~positive, minlength=steps)
    return np.cumsum(hits)[:, None], np.cumsum(alarms)[:, None]


def _coarse(step: np.ndarray, steps: int) -> np.ndarray:
    """Neighboring steps joined into at most :data:`STEPS` of nearly equal count; equal scores stay together."""
    count = np.bincount(step, minlength=steps)
    begin = np.cumsum(count) - count
    joined = begin * STEPS // len(step)
    return np.unique(joined, return_inverse=True)[1][step]


def _metrics(hits: np.ndarray, alarms: np.ndarray) -> dict[str, np.ndarray]:
    """From cumulated hits and false alarms [steps, r], highest score first, to metrics [r]."""
    positives, negatives = hits[-1], alarms[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        new_hits = np.diff(hits, axis=0, prepend=0)
        new_alarms = np.diff(alarms, axis=0, prepend=0)
        auc = np.einsum("sr,sr->r", new_alarms, hits - new_hits / 2) / (positives * negatives)
        chosen = hits + alarms
        precision = np.divide(hits, chosen, out=np.zeros_like(hits), where=chosen > 0)
        found = {
            "auc": auc,
            "average_precision": np.where(
                positives > 0, np.einsum("sr,sr->r", new_hits, precision) / positives, np.nan
            ),
            "equal_error_rate": _equal_error(hits / positives, alarms / negatives),
        }
        for rate in FALSE_ALARMS:
            within = (alarms <= rate * negatives + 1e-9).sum(axis=0)
            best = np.take_along_axis(hits, np.maximum(within - 1, 0)[None], axis=0)[0]
            found[f"tpr_at_fpr_{rate:g}"] = np.where(negatives > 0, np.where(within > 0, best, 0) / positives, np.nan)
    return found


def _equal_error(hit_rate: np.ndarray, alarm_rate: np.ndarray) -> np.ndarray:
    excess = alarm_rate + hit_rate - 1
    after = np.argmax(excess >= 0, axis=0)[None]
    before = np.maximum(after - 1, 0)
    start = after == 0
    high = np.take_along_axis(excess, after, axis=0)
    low = np.where(start, -1.0, np.take_along_axis(excess, before, axis=0))
    alarm_high = np.take_along_axis(alarm_rate, after, axis=0)
    alarm_low = np.where(start, 0.0, np.take_along_axis(alarm_rate, before, axis=0))
    return (alarm_low + (alarm_high - alarm_low) * (-low) / (high - low))[0]
