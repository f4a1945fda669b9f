"""How far apart groups are: fairlearn's names, and the deepfake benchmarks' names for the same things."""

from collections.abc import Mapping

import numpy as np

from auxface.evaluation.groups import NOT_STATED
from auxface.evaluation.intervals import Draws
from auxface.evaluation.measure import Metrics

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
    good (their resamples, centerd on one value). A maximum over noisy numbers is too large: the interval of a gap
    begins ``by_chance`` below the value, which holds for all levels at once (Tukey, 1953), so that it leaves out nought
    where the gap is more than noise would make; it ends at the quantile of the difference between these two levels.

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
    widest = int(np.argmax([np.ptp(values[:, 0]) for values, _ in tables]))
    values, names = tables[widest]
    high, low = (values[int(choose(values[:, 0]))] for choose in (np.argmax, np.argmin))
    reach = _noise([values for values, _ in tables]) if clusters > 1 else None
    more: dict[str, object] = _extremes(metrics[widest], values, names)
    chance = {} if reach is None else {"by_chance": reach}
    bounds = (0.0, np.inf) if metrics[0] in _DISTANCE else (0.0, 1.0)
    difference = Draws(high - low, n, clusters, reach=(reach, None), bounds=bounds, more=more | chance)
    with np.errstate(invalid="ignore", divide="ignore"):
        by_metric = [table.min(axis=0) / table.max(axis=0) for table in (values[:, :1] for values, _ in tables)]
        narrowest = int(np.nanargmin([part[0] for part in by_metric])) if not np.isnan(by_metric).all() else 0
        values, names = tables[narrowest]
        high, low = (values[int(choose(values[:, 0]))] for choose in (np.argmax, np.argmin))
        upwards = None if reach is None or not high[0] else reach / float(high[0])
        ratio = Draws(low / high, n, clusters, reach=(None, upwards), bounds=(0.0, 1.0), more=more)
    return {f"{name}_difference": difference, f"{name}_ratio": ratio}


def _extremes(metric: str, values: np.ndarray, names: list[str]) -> dict[str, object]:
    order = np.argsort(-values[:, 0] if metric in _LOWER_IS_BETTER else values[:, 0], kind="stable")
    return {"worst": names[order[0]], "best": names[order[-1]]}


def _noise(tables: list[np.ndarray]) -> float | None:
    """The spread [levels, 1+R] that noise alone exceeds one time in twenty, over all tables."""
    centerd = [values[:, 1:] - values[:, :1] for values in tables]
    # A level that a resample lacks takes no part in it; a resample without any is left out.
    with np.errstate(invalid="ignore"):
        spread = np.max([np.fmax.reduce(part, axis=0) - np.fmin.reduce(part, axis=0) for part in centerd], axis=0)
    known = spread[np.isfinite(spread)]
    return float(np.quantile(known, 0.95)) if len(known) else None


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
    distance = spread[0] - overall[metric].values
    total = (np.sign(distance[:, :1]) * distance).sum(axis=0)
    noise = np.abs(distance[:, 1:] - distance[:, :1]).sum(axis=0)
    known = noise[np.isfinite(noise)]
    reach = float(np.quantile(known, 0.95)) if len(known) else None
    return Draws(total, n, clusters, reach=(reach, None), bounds=(0.0, np.inf))


def _nothing(metric: str, levels: Mapping[str, Metrics], n: int, clusters: int, why: str) -> Draws:
    width = len(next(iter(levels.values()))[metric].values)
    return Draws(np.full(width, np.nan), n, clusters, why=why)
