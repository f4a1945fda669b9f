"""Gaps between the levels of a group, under fairlearn's names and those of deepfake benchmarks.

``<metric>_difference`` is the largest minus the smallest value over the levels, ``<metric>_ratio`` the smallest over
the largest, ``worst_group_<metric>`` the worst value, for every metric whose record says ``compared``. Differences and
ratios name their ``worst`` and ``best`` level. A difference also gives ``by_chance``: the difference that is exceeded
once in twenty under equal performance, that is if all levels had the same true value (their resamples, centered on one
value). The largest difference of several noisy values is biased upwards. Its interval therefore begins ``by_chance``
below it, which holds for all levels at once (Tukey, 1953): it excludes 0 exactly if the gap is larger than expected
under equal performance.

Names: fairlearn's (Bird et al., 2020) ``demographic_parity`` (selection rate), ``equal_opportunity`` (true positive
rate; Hardt et al., 2016) and ``equalized_odds`` (the larger of the true and the false positive rate's); the same for
precision is ``predictive_parity``. For deepfake benchmarks (Lin et al., 2024), with levels J:

* ``F_FPR`` = sum over J of abs(FPR(J) - FPR of all samples);
* ``F_OAE`` = max over J of accuracy(J) - min over J: ``accuracy_difference``;
* ``F_DP`` = max over k of (max over J of P(predicted k; J) - min over J): ``demographic_parity_difference``, because
  with two classes both k differ by the same;
* ``F_MEO`` = max over k, k' of (max over J of P(predicted k given k'; J) - min over J): ``equalized_odds_difference``,
  because P(predicted 0 given k') is one minus P(predicted 1 given k').
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from auxface.evaluation.groups import NOT_STATED
from auxface.evaluation.intervals import Draws, gap_interval, mirrored, ratio_interval
from auxface.evaluation.measure import LevelDraws
from auxface.evaluation.metrics import METRICS
from auxface.evaluation.metrics.metric import Metric

# fairlearn's name to the rates whose largest difference (smallest ratio) it is.
_FAIRLEARN = {
    "demographic_parity": ("selection_rate",),
    "equal_opportunity": ("true_positive_rate",),
    "equalized_odds": ("true_positive_rate", "false_positive_rate"),
    "predictive_parity": ("precision",),
}


def gaps(levels: Mapping[str, LevelDraws], overall: LevelDraws) -> dict[str, Draws]:
    """Return all gaps between the levels of a group, see the module's docstring.

    Args:
        levels: level to metric to draws.
        overall: metric to draws of all samples.
    """
    stated = {name: metrics for name, metrics in levels.items() if name != NOT_STATED}
    found: dict[str, Draws] = {}
    available = next(iter(stated.values()), {})
    for metric in METRICS.values():
        if metric.compared and metric.name in available:
            found |= metric_gaps(metric, stated)
    if "selection_rate" in available:
        for name, metrics in _FAIRLEARN.items():
            found |= _difference_and_ratio(name, [METRICS[metric] for metric in metrics], stated)
        found["F_FPR"] = _summed_distance("false_positive_rate", stated, overall)
        found["F_OAE"] = found["accuracy_difference"]
        found["F_DP"] = found["demographic_parity_difference"]
        found["F_MEO"] = found["equalized_odds_difference"]
    return found


def metric_gaps(metric: Metric, levels: Mapping[str, LevelDraws]) -> dict[str, Draws]:
    """Return the difference, the ratio and the worst value of one metric over levels, by name."""
    found = _difference_and_ratio(metric.name, [metric], levels)
    return found | {f"worst_group_{metric.name}": _worst(metric, levels)}


def _difference_and_ratio(name: str, metrics: Sequence[Metric], levels: Mapping[str, LevelDraws]) -> dict[str, Draws]:
    """Return the widest difference and the smallest ratio over the metrics; no ratio of a metric below 0."""
    stacks = [_stack(metric.name, levels) for metric in metrics]
    n, clusters = _counts(metrics[0].name, levels)
    missing = next((stack for stack in stacks if isinstance(stack, str)), None)
    with_ratio = metrics[0].bounds[0] >= 0
    if missing:
        nothing = _unmeasured(metrics[0].name, levels, n, clusters, missing)
        return {f"{name}_difference": nothing} | ({f"{name}_ratio": nothing} if with_ratio else {})
    tables = [(values, names) for values, names in (stack for stack in stacks if not isinstance(stack, str))]
    widest = int(np.argmax([np.ptp(values[:, 0]) for values, _ in tables]))
    values, names = tables[widest]
    high, low = (values[int(choose(values[:, 0]))] for choose in (np.argmax, np.argmin))
    reach = _expected_under_equal_performance([values for values, _ in tables]) if clusters > 1 else None
    more: dict[str, object] = _extremes(metrics[widest], values, names)
    chance = {} if reach is None else {"by_chance": reach}
    bounds = (0.0, metrics[0].bounds[1] - metrics[0].bounds[0])
    found = {
        f"{name}_difference": Draws(
            high - low, n, clusters, rule=partial(gap_interval, reach=reach), bounds=bounds, more=more | chance
        )
    }
    if not with_ratio:
        return found
    with np.errstate(invalid="ignore", divide="ignore"):
        by_metric = [table.min(axis=0) / table.max(axis=0) for table in (values[:, :1] for values, _ in tables)]
        smallest = int(np.nanargmin([part[0] for part in by_metric])) if not np.isnan(by_metric).all() else 0
        values, names = tables[smallest]
        high, low = (values[int(choose(values[:, 0]))] for choose in (np.argmax, np.argmin))
        upwards = None if reach is None or not high[0] else reach / float(high[0])
        rule = partial(ratio_interval, reach=upwards)
        found[f"{name}_ratio"] = Draws(low / high, n, clusters, rule=rule, bounds=(0.0, 1.0), more=more)
    return found


def _extremes(metric: Metric, values: np.ndarray, names: list[str]) -> dict[str, object]:
    order = np.argsort(values[:, 0] if metric.higher_is_better else -values[:, 0], kind="stable")
    return {"worst": names[order[0]], "best": names[order[-1]]}


def _expected_under_equal_performance(tables: list[np.ndarray]) -> float | None:
    """Return the difference over levels [levels, 1+R], over all tables, that is exceeded once in twenty."""
    centered = [values[:, 1:] - values[:, :1] for values in tables]
    # A level that a resample lacks has no part in it; a resample without any level is excluded.
    with np.errstate(invalid="ignore"):
        spread = np.max([np.fmax.reduce(part, axis=0) - np.fmin.reduce(part, axis=0) for part in centered], axis=0)
    known = spread[np.isfinite(spread)]
    return float(np.quantile(known, 0.95)) if len(known) else None


def _worst(metric: Metric, levels: Mapping[str, LevelDraws]) -> Draws:
    stack = _stack(metric.name, levels)
    n, clusters = _counts(metric.name, levels)
    if isinstance(stack, str):
        return _unmeasured(metric.name, levels, n, clusters, stack)
    values, names = stack
    worst = (np.fmin if metric.higher_is_better else np.fmax).reduce(values, axis=0)
    name = names[int((np.argmin if metric.higher_is_better else np.argmax)(values[:, 0]))]
    return Draws(worst, n, clusters, rule=mirrored, bounds=metric.bounds, more={"worst": name})


def _summed_distance(metric: str, levels: Mapping[str, LevelDraws], overall: LevelDraws) -> Draws:
    stack = _stack(metric, levels)
    n, clusters = _counts(metric, levels)
    if isinstance(stack, str):
        return _unmeasured(metric, levels, n, clusters, stack)
    distance = stack[0] - overall[metric].values
    total = (np.sign(distance[:, :1]) * distance).sum(axis=0)
    noise = np.abs(distance[:, 1:] - distance[:, :1]).sum(axis=0)
    known = noise[np.isfinite(noise)]
    reach = float(np.quantile(known, 0.95)) if len(known) else None
    return Draws(total, n, clusters, rule=partial(gap_interval, reach=reach), bounds=(0.0, np.inf))


def _stack(metric: str, levels: Mapping[str, LevelDraws]) -> tuple[np.ndarray, list[str]] | str:
    """Return the draws [levels, 1+R] and names of the measured levels; if these are fewer than two, the reason."""
    measured = {name: metrics[metric] for name, metrics in levels.items() if metrics[metric].why is None}
    measured = {name: draws for name, draws in measured.items() if not np.isnan(draws.values[0])}
    if len(measured) < 2:
        return f"{len(measured)} of {len(levels)} levels can be measured; a gap needs two"
    return np.stack([draws.values for draws in measured.values()]), list(measured)


def _counts(metric: str, levels: Mapping[str, LevelDraws]) -> tuple[int, int]:
    """Return the samples of all measured levels, and the clusters of the smallest, which limits the interval."""
    measured = [metrics[metric] for metrics in levels.values() if metrics[metric].why is None]
    return sum(draws.n for draws in measured), min((draws.clusters for draws in measured), default=0)


def _unmeasured(metric: str, levels: Mapping[str, LevelDraws], n: int, clusters: int, why: str) -> Draws:
    width = len(next(iter(levels.values()))[metric].values)
    return Draws(np.full(width, np.nan), n, clusters, why=why)
