"""How far apart groups are: fairlearn's names, and the deepfake benchmarks' names for the same things."""

from collections.abc import Mapping

import numpy as np

from auxface.evaluation.bootstrap import Draws, Estimate
from auxface.evaluation.measuring import Metrics
from auxface.evaluation.partition import NOT_STATED

# fairlearn's name to the rates whose largest difference (smallest ratio) it is.
_FAIRLEARN = {
    "demographic_parity": ("selection_rate",),
    "equal_opportunity": ("true_positive_rate",),
    "equalized_odds": ("true_positive_rate", "false_positive_rate"),
    "predictive_parity": ("precision",),
}
_COMPARED = ("accuracy", "balanced_accuracy", "macro_f1", "auc", "average_precision", "equal_error_rate")
_DISTANCE = ("mean_absolute_error",)
_LOWER_IS_BETTER = {"equal_error_rate", "mean_absolute_error", "false_positive_rate"}


def gaps(levels: Mapping[str, Metrics], overall: Metrics) -> dict[str, Estimate]:
    """Gaps between the levels of a group.

    ``<metric>_difference`` is the largest minus the smallest value over the levels, ``<metric>_ratio`` the smallest over
    the largest. Each names its ``worst`` and ``best`` level and ``by_chance``: the difference that noise alone exceeds
    one time in twenty when all levels are equally good (their resamples, centred on one value). A maximum over noisy
    numbers is too large, so the resamples are mirrored at the value and the interval ends at the possible range.

    Names: fairlearn's (Bird et al., 2020) ``demographic_parity``, ``equal_opportunity`` (Hardt et al., 2016),
    ``equalized_odds``; ``predictive_parity`` for precision; the deepfake benchmarks' (Lin et al., 2024)
    ``F_FPR`` (sum over levels of the distance of the false positive rate from everybody's), ``F_OAE`` (largest accuracy
    difference), ``F_DP`` (largest difference in how often either class is predicted) and ``F_MEO`` (largest difference
    in how often either class is predicted, given the truth).

    Args:
        levels: level to metric to draws.
        overall: metric to draws of everybody.
    """
    stated = {name: metrics for name, metrics in levels.items() if name != NOT_STATED}
    found: dict[str, Estimate] = {}
    available = next(iter(stated.values()), {})
    for metric in _COMPARED + _DISTANCE:
        if metric in available:
            found |= _pair(metric, (metric,), stated)
    if "selection_rate" in available:
        for name, metrics in _FAIRLEARN.items():
            found |= _pair(name, metrics, stated)
        found["F_FPR"] = _summed_distance("false_positive_rate", stated, overall)
        found["F_OAE"] = found["accuracy_difference"]
        found["F_DP"] = found["demographic_parity_difference"]
        found["F_MEO"] = found["equalized_odds_difference"]
    return found


def _pair(name: str, metrics: tuple[str, ...], levels: Mapping[str, Metrics]) -> dict[str, Estimate]:
    spreads = [_spread(metric, levels) for metric in metrics]
    n, clusters = _counts(metrics[0], levels)
    missing = next((spread for spread in spreads if isinstance(spread, str)), None)
    if missing:
        nothing = Estimate(None, None, None, n, clusters, missing)
        return {f"{name}_difference": nothing, f"{name}_ratio": nothing}
    tables = [(values, names) for values, names in (spread for spread in spreads if not isinstance(spread, str))]
    # All-NaN columns are resamples without any level left; they stay NaN and are counted by the interval.
    with np.errstate(invalid="ignore", divide="ignore"):
        highs = [_extreme(values, np.fmax) for values, _ in tables]
        lows = [_extreme(values, np.fmin) for values, _ in tables]
        differences = np.stack([high - low for high, low in zip(highs, lows)])
        ratios = np.stack([low / high for high, low in zip(highs, lows)])
        centred = [values - values[:, :1] for values, _ in tables]
        noise = np.max([_extreme(table, np.fmax) - _extreme(table, np.fmin) for table in centred], axis=0)[1:]
    widest = int(np.nanargmax(differences[:, 0]))
    values, names = tables[widest]
    low_first = metrics[widest] not in _LOWER_IS_BETTER
    order = np.argsort(values[:, 0] if low_first else -values[:, 0], kind="stable")
    more: dict[str, object] = {"worst": names[order[0]], "best": names[order[-1]]}
    chance = {"by_chance": float(np.nanquantile(noise, 0.95))} if np.isfinite(noise).any() and clusters > 1 else {}
    above = (0.0, np.inf) if metrics[0] in _DISTANCE else (0.0, 1.0)
    difference = Draws(differences.max(axis=0), n, clusters).estimate(reflect=True, bounds=above)
    ratio = Draws(ratios.min(axis=0), n, clusters).estimate(reflect=True, bounds=(0.0, 1.0))
    return {f"{name}_difference": _with(difference, more | chance), f"{name}_ratio": _with(ratio, more)}


def _spread(metric: str, levels: Mapping[str, Metrics]) -> tuple[np.ndarray, list[str]] | str:
    measured = {name: metrics[metric] for name, metrics in levels.items() if metrics[metric].why is None}
    measured = {name: draws for name, draws in measured.items() if not np.isnan(draws.values[0])}
    if len(measured) < 2:
        return f"{len(measured)} of {len(levels)} levels can be measured; a gap needs two"
    return np.stack([draws.values for draws in measured.values()]), list(measured)


def _extreme(values: np.ndarray, choose: np.ufunc) -> np.ndarray:
    return choose.reduce(values, axis=0)


def _counts(metric: str, levels: Mapping[str, Metrics]) -> tuple[int, int]:
    measured = [metrics[metric] for metrics in levels.values() if metrics[metric].why is None]
    # The rarest level limits what the resamples know, so it sets the small-sample correction.
    return sum(draws.n for draws in measured), min((draws.clusters for draws in measured), default=0)


def _summed_distance(metric: str, levels: Mapping[str, Metrics], overall: Metrics) -> Estimate:
    spread = _spread(metric, levels)
    n, clusters = _counts(metric, levels)
    if isinstance(spread, str):
        return Estimate(None, None, None, n, clusters, spread)
    total = np.abs(spread[0] - overall[metric].values).sum(axis=0)
    return Draws(total, n, clusters).estimate(reflect=True, bounds=(0.0, np.inf))


def _with(estimate: Estimate, more: dict[str, object]) -> Estimate:
    return Estimate(estimate.value, estimate.low, estimate.high, estimate.n, estimate.clusters, estimate.why, more)
