"""How far apart groups are: fairlearn's names, and the deepfake benchmarks' names for the same things."""

from collections.abc import Mapping

import numpy as np

from auxface.evaluation.bootstrap import Draws
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


def gaps(levels: Mapping[str, Metrics], overall: Metrics) -> dict[str, Draws]:
    """Gaps between the levels of a group.

    ``<metric>_difference`` is the largest minus the smallest value over the levels, ``<metric>_ratio`` the smallest
    over the largest, ``worst_group_<metric>`` the worst value. Differences and ratios name their ``worst`` and ``best``
    level; a difference also says ``by_chance``: what noise alone exceeds one time in twenty when all levels are equally
    good (their resamples, centred on one value). A maximum over noisy numbers is too large, so the resamples are
    mirrored at the value and the interval ends at the possible range.

    Names: fairlearn's (Bird et al., 2020) ``demographic_parity`` (selection rate), ``equal_opportunity`` (true positive
    rate; Hardt et al., 2016), ``equalized_odds`` (the larger of the true and false positive rate's); the same for
    precision is ``predictive_parity``. The deepfake benchmarks' (Lin et al., 2024), for levels J and everybody:

    * ``F_FPR`` = sum over J of abs(FPR(J) - FPR);
    * ``F_OAE`` = max over J of accuracy(J) - min over J: ``accuracy_difference``;
    * ``F_DP`` = max over k of (max over J of P(says k; J) - min over J): ``demographic_parity_difference``, because
      with two answers both k differ by the same;
    * ``F_MEO`` = max over k, k' of (max over J of P(says k given k'; J) - min over J): ``equalized_odds_difference``,
      because P(says 0 given k') is one minus P(says 1 given k').

    Args:
        levels: level to metric to draws.
        overall: metric to draws of everybody.
    """
    stated = {name: metrics for name, metrics in levels.items() if name != NOT_STATED}
    found: dict[str, Draws] = {}
    available = next(iter(stated.values()), {})
    for metric in _COMPARED + _DISTANCE:
        if metric in available:
            found |= _pair(metric, (metric,), stated)
            found[f"worst_group_{metric}"] = _worst(metric, stated)
    if "selection_rate" in available:
        for name, metrics in _FAIRLEARN.items():
            found |= _pair(name, metrics, stated)
        found["F_FPR"] = _summed_distance("false_positive_rate", stated, overall)
        found["F_OAE"] = found["accuracy_difference"]
        found["F_DP"] = found["demographic_parity_difference"]
        found["F_MEO"] = found["equalized_odds_difference"]
    return found


def _pair(name: str, metrics: tuple[str, ...], levels: Mapping[str, Metrics]) -> dict[str, Draws]:
    spreads = [_spread(metric, levels) for metric in metrics]
    n, clusters = _counts(metrics[0], levels)
    missing = next((spread for spread in spreads if isinstance(spread, str)), None)
    if missing:
        nothing = _nothing(metrics[0], levels, n, clusters, missing)
        return {f"{name}_difference": nothing, f"{name}_ratio": nothing}
    tables = [(values, names) for values, names in (spread for spread in spreads if not isinstance(spread, str))]
    # All-NaN columns are resamples without any level left; they stay NaN and are counted by the interval.
    with np.errstate(invalid="ignore", divide="ignore"):
        highs = [np.fmax.reduce(values, axis=0) for values, _ in tables]
        lows = [np.fmin.reduce(values, axis=0) for values, _ in tables]
        differences = np.stack([high - low for high, low in zip(highs, lows)])
        ratios = np.stack([low / high for high, low in zip(highs, lows)])
        centred = [values - values[:, :1] for values, _ in tables]
        noise = np.max([np.fmax.reduce(table, axis=0) - np.fmin.reduce(table, axis=0) for table in centred], axis=0)
    widest = int(np.nanargmax(differences[:, 0]))
    values, names = tables[widest]
    low_first = metrics[widest] not in _LOWER_IS_BETTER
    order = np.argsort(values[:, 0] if low_first else -values[:, 0], kind="stable")
    more: dict[str, object] = {"worst": names[order[0]], "best": names[order[-1]]}
    known = noise[1:][np.isfinite(noise[1:])]
    chance = {"by_chance": float(np.quantile(known, 0.95))} if len(known) and clusters > 1 else {}
    above = (0.0, np.inf) if metrics[0] in _DISTANCE else (0.0, 1.0)
    difference = Draws(differences.max(axis=0), n, clusters, biased=True, bounds=above, more=more | chance)
    ratio = Draws(np.fmin.reduce(ratios, axis=0), n, clusters, biased=True, bounds=(0.0, 1.0), more=more)
    return {f"{name}_difference": difference, f"{name}_ratio": ratio}


def _worst(metric: str, levels: Mapping[str, Metrics]) -> Draws:
    spread = _spread(metric, levels)
    n, clusters = _counts(metric, levels)
    if isinstance(spread, str):
        return _nothing(metric, levels, n, clusters, spread)
    values, names = spread
    lower_is_better = metric in _LOWER_IS_BETTER
    worst = (np.fmax if lower_is_better else np.fmin).reduce(values, axis=0)
    name = names[int((np.argmax if lower_is_better else np.argmin)(values[:, 0]))]
    bounds = (0.0, np.inf) if metric in _DISTANCE else (0.0, 1.0)
    return Draws(worst, n, clusters, biased=True, bounds=bounds, more={"worst": name})


def _spread(metric: str, levels: Mapping[str, Metrics]) -> tuple[np.ndarray, list[str]] | str:
    measured = {name: metrics[metric] for name, metrics in levels.items() if metrics[metric].why is None}
    measured = {name: draws for name, draws in measured.items() if not np.isnan(draws.values[0])}
    if len(measured) < 2:
        return f"{len(measured)} of {len(levels)} levels can be measured; a gap needs two"
    return np.stack([draws.values for draws in measured.values()]), list(measured)


def _counts(metric: str, levels: Mapping[str, Metrics]) -> tuple[int, int]:
    measured = [metrics[metric] for metrics in levels.values() if metrics[metric].why is None]
    # The rarest level limits what the resamples know, so it sets the small-sample correction.
    return sum(draws.n for draws in measured), min((draws.clusters for draws in measured), default=0)


def _summed_distance(metric: str, levels: Mapping[str, Metrics], overall: Metrics) -> Draws:
    spread = _spread(metric, levels)
    n, clusters = _counts(metric, levels)
    if isinstance(spread, str):
        return _nothing(metric, levels, n, clusters, spread)
    total = np.abs(spread[0] - overall[metric].values).sum(axis=0)
    return Draws(total, n, clusters, biased=True, bounds=(0.0, np.inf))


def _nothing(metric: str, levels: Mapping[str, Metrics], n: int, clusters: int, why: str) -> Draws:
    width = len(next(iter(levels.values()))[metric].values)
    return Draws(np.full(width, np.nan), n, clusters, why=why)
