"""Gaps between the levels of a group, with the names used by fairlearn and by deepfake benchmarks.

``<metric>_difference`` is the largest minus the smallest value over the levels, ``<metric>_ratio`` the smallest over
the largest, and ``worst_group_<metric>`` the worst value, for every metric with ``compared=True``. Levels with
fewer than :data:`MINIMUM_IN_GAP` clusters are excluded. Differences and ratios name their ``worst`` and ``best``
levels. A difference also has ``by_chance``: the difference that is exceeded with probability 1/20 under equal
performance, that is, if all levels had the same true value. It is computed from the resamples of each level, which are
widened to the interval of the level and centered. The largest difference of several noisy values is biased upwards. The
lower end of its interval is therefore the difference minus ``by_chance``, which is valid for all levels at once (Tukey,
1953): the interval excludes 0 exactly if the gap is larger than expected under equal performance.

The names ``demographic_parity`` (selection rate), ``equal_opportunity`` (true positive rate; Hardt et al., 2016) and
``equalized_odds`` (the larger of the gaps in the true and the false positive rate) are those of fairlearn (Bird et al.,
2020). ``predictive_parity`` is the same for precision. The measures of deepfake benchmarks (Lin et al., 2024) are, with
levels J:

* ``F_FPR`` = sum over J of abs(FPR(J) - FPR of all samples);
* ``F_OAE`` = max over J of accuracy(J) - min over J: ``accuracy_difference``;
* ``F_DP`` = max over k of (max over J of P(predicted k; J) - min over J): ``demographic_parity_difference``, because
  with two classes, both k differ by the same amount;
* ``F_MEO`` = max over k, k' of (max over J of P(predicted k given k'; J) - min over J): ``equalized_odds_difference``,
  because P(predicted 0 given k') is one minus P(predicted 1 given k').
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from scipy import stats

from auxface.evaluation.groups import NOT_STATED
from auxface.evaluation.intervals import (
    CONFIDENCE,
    CONSTANT,
    Draws,
    Precision,
    gap_interval,
    mirrored,
    plain_percentile,
    ratio_interval,
)
from auxface.evaluation.measure import ONE_CLASS, LevelDraws
from auxface.evaluation.metrics import METRICS
from auxface.evaluation.metrics.metric import Metric

# A level needs this many clusters (of every class that a metric compares) to be included in gaps.
MINIMUM_IN_GAP = 10
CLASSES_AS_LEVELS = "each level has only one class, so a gap would compare classes"
"""The reason why a group whose levels determine the true class has no gaps."""
_NORMAL = float(stats.norm.ppf(1 - (1 - CONFIDENCE) / 2))
# The rates from which fairlearn's measures are computed. A measure is the largest difference (or smallest ratio) of its
# rates.
_FAIRLEARN = {
    "demographic_parity": ("selection_rate",),
    "equal_opportunity": ("true_positive_rate",),
    "equalized_odds": ("true_positive_rate", "false_positive_rate"),
    "predictive_parity": ("precision",),
}


def gaps(levels: Mapping[str, LevelDraws], overall: LevelDraws) -> dict[str, Draws]:
    """Return all gaps between the levels of a group, as defined in the module docstring.

    Args:
        levels: draws of each metric, by level and metric name.
        overall: draws over all samples, by metric name.
    """
    stated = comparable({name: metrics for name, metrics in levels.items() if name != NOT_STATED})
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


def comparable(levels: Mapping[str, LevelDraws]) -> dict[str, LevelDraws]:
    """Return the levels; if they determine the true class, only rates within one class keep their values.

    If the levels of a group are the classes themselves, or parts of them, such as methods of manipulation, the
    difference in accuracy between two levels is a difference between the recalls of two classes.
    """
    reasons = {
        metrics["balanced_accuracy"].why or ""
        for metrics in levels.values()
        if "balanced_accuracy" in metrics and any(draws.why is None for draws in metrics.values())
    }
    if len(reasons) < 2 or not all(why.startswith(ONE_CLASS) for why in reasons):
        return dict(levels)
    return {
        level: {
            name: draws if METRICS[name].samples in ("positive", "negative") else replace(draws, why=CLASSES_AS_LEVELS)
            for name, draws in metrics.items()
        }
        for level, metrics in levels.items()
    }


def metric_gaps(metric: Metric, levels: Mapping[str, LevelDraws]) -> dict[str, Draws]:
    """Return the difference, ratio and worst value of one metric over the levels, by name."""
    found = _difference_and_ratio(metric.name, [metric], levels)
    return found | {f"worst_group_{metric.name}": _worst(metric, levels)}


def _difference_and_ratio(name: str, metrics: Sequence[Metric], levels: Mapping[str, LevelDraws]) -> dict[str, Draws]:
    """Return the largest difference and the smallest ratio over the metrics; no ratio if a metric can be negative."""
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
    spread = _spread_of_noise([values for values, _ in tables])
    reach = _once_in_twenty(spread)
    more: dict[str, object] = _extremes(metrics[widest], values, names)
    chance = {} if reach is None else {"by_chance": reach}
    bounds = (0.0, metrics[0].bounds[1] - metrics[0].bounds[0])
    found = {
        f"{name}_difference": Draws(
            high - low,
            n,
            clusters,
            rule=partial(gap_interval, reach=reach),
            noise=spread,
            levels=_precision(metrics, tables, levels),
            bounds=bounds,
            more=more | chance,
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
        ratio = np.clip(low, 0, None) / np.where(high > 0, high, np.nan)
        found[f"{name}_ratio"] = Draws(ratio, n, clusters, rule=rule, bounds=(0.0, 1.0), more=more)
    return found


def _precision(
    metrics: Sequence[Metric], tables: Sequence[tuple[np.ndarray, list[str]]], levels: Mapping[str, LevelDraws]
) -> dict[str, Precision]:
    """Return the precision of each level, for the metric with the largest standard error."""
    errors = [np.nanstd(values[:, 1:], axis=1) for values, _ in tables]
    least = int(np.argmax([error.max() for error in errors]))
    draws = {name: levels[name][metrics[least].name] for name in tables[least][1]}
    return {
        name: Precision(float(error), one.clusters, one.degrees() + 1)
        for error, (name, one) in zip(errors[least], draws.items())
    }


def _extremes(metric: Metric, values: np.ndarray, names: list[str]) -> dict[str, object]:
    order = np.argsort(values[:, 0] if metric.higher_is_better else -values[:, 0], kind="stable")
    return {"worst": names[order[0]], "best": names[order[-1]]}


def _spread_of_noise(tables: list[np.ndarray]) -> np.ndarray:
    """Return the largest difference between centered levels [levels, 1+R] over all tables, in every resample [R]."""
    centered = [values[:, 1:] - values[:, :1] for values in tables]
    # A level without a value in a resample is ignored in that resample. A resample without any level is excluded.
    with np.errstate(invalid="ignore"):
        return np.max([np.fmax.reduce(part, axis=0) - np.fmin.reduce(part, axis=0) for part in centered], axis=0)


def _once_in_twenty(noise: np.ndarray) -> float | None:
    known = noise[np.isfinite(noise)]
    return float(np.quantile(known, CONFIDENCE)) if len(known) else None


def factor_for_all(found: Sequence[Draws]) -> float:
    """Return the factor by which ``by_chance`` increases if many gaps are tested at once.

    Among many gaps, some exceed ``by_chance`` under equal performance. With this factor, at least one gap exceeds its
    limit in 1 of 20 tables (max-T: Westfall and Young, 1993). The factor is smaller for correlated gaps.

    Args:
        found: draws of the differences, such as those of every group, task and model in one metric; some may have no
            value.
    """
    largest = [one.noise / reach for one in found if one.noise is not None and (reach := _once_in_twenty(one.noise))]
    if not largest:
        return 1.0
    return max(1.0, _once_in_twenty(np.fmax.reduce(largest)) or 1.0)


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
    reach = _once_in_twenty(np.abs(distance[:, 1:] - distance[:, :1]).sum(axis=0))
    return Draws(total, n, clusters, rule=partial(gap_interval, reach=reach), bounds=(0.0, np.inf))


def _stack(metric: str, levels: Mapping[str, LevelDraws]) -> tuple[np.ndarray, list[str]] | str:
    """Return widened draws [levels, 1+R] and names of the levels in gaps, or the reason if there are too few levels."""
    measured = {name: metrics[metric] for name, metrics in levels.items() if in_gaps(metrics[metric])}
    if len(measured) < 2:
        reasons = {metrics[metric].why or "" for metrics in levels.values()}
        if reasons == {CLASSES_AS_LEVELS}:
            return CLASSES_AS_LEVELS
        if levels and all(why.startswith(ONE_CLASS) for why in reasons):
            return "each level has only one class"
        subset = METRICS[metric].samples if metric in METRICS else "all"
        of = "" if subset == "all" else f" with {subset} samples"
        if not of and any(metrics[metric].degrees() + 1 < metrics[metric].clusters for metrics in levels.values()):
            of = " of the rarest class"
        have = "has" if len(measured) == 1 else "have"
        return f"{len(measured)} of {len(levels)} levels {have} {MINIMUM_IN_GAP} clusters{of}; a gap needs 2"
    return np.stack([_widened(name, draws) for name, draws in measured.items()]), list(measured)


def differences_to_reference(metric: str, levels: Mapping[str, LevelDraws], reference: str | None) -> dict[str, Draws]:
    """Return the metric minus its value at the reference level, for every other level.

    A level that is not included in gaps has the reason in place of a difference. If no level has a difference, the
    result is empty, except for a given reference.

    Args:
        metric: name of the metric.
        levels: draws of each metric, by level and metric name.
        reference: reference level; by default the level with the most samples.
    """
    stated = comparable({name: metrics for name, metrics in levels.items() if name != NOT_STATED})
    draws = {name: metrics[metric] for name, metrics in stated.items() if metric in metrics}
    reasons = {name: why_not_in_gaps(one) for name, one in draws.items()}
    usable = [name for name, why in reasons.items() if why is None]
    if reference is None and len(usable) < 2:
        return {}
    base = reference or max(usable, key=lambda name: draws[name].n)
    if base not in draws:
        return {}
    found = {}
    for name, one in draws.items():
        why = reasons[name]
        if why is None and reasons[base] is not None:
            why = f"{base}: {reasons[base]}"
        values = one.values if why else _widened(name, one) - _widened(base, draws[base])
        found[name] = Draws(
            values,
            one.n,
            min(one.clusters, draws[base].clusters),
            why=why,
            rule=plain_percentile,
            more={"reference": base},
        )
    del found[base]
    return found


def in_gaps(draws: Draws) -> bool:
    """Return whether a level is included in gaps: it needs a value, an interval and :data:`MINIMUM_IN_GAP` units."""
    return why_not_in_gaps(draws) is None


def why_not_in_gaps(draws: Draws) -> str | None:
    """Return the reason why a level is not included in gaps; None if it is included."""
    if draws.why is not None:
        return draws.why
    if np.isnan(draws.values[0]):
        return "undefined on these samples"
    units = draws.degrees() + 1
    if draws.why_no_interval() is not None or units >= MINIMUM_IN_GAP:
        return draws.why_no_interval()
    of = "" if units == draws.clusters else " of the rarest class"
    return f"{units} clusters{of}; a difference needs {MINIMUM_IN_GAP}"


def _widened(name: str, draws: Draws) -> np.ndarray:
    """Return the value and the resamples [1+R], scaled on both sides to the width of the interval.

    The spread of resamples of few clusters is too small. If the spread is zero, normal noise replaces the resamples.
    """
    value, noise = draws.values[0], draws.values[1:] - draws.values[0]
    known = noise[np.isfinite(noise)]
    deviation = float(known.std())
    if deviation < CONSTANT:
        noise, deviation = np.random.default_rng(zlib.crc32(name.encode())).normal(size=len(noise)), 1.0
    low, high = draws.rule(draws)
    up, down = max(high - value, 0.0), max(value - low, 0.0)
    scale = np.where(noise > 0, up, down) / (_NORMAL * deviation)
    return np.concatenate([[value], value + noise * scale])


def _counts(metric: str, levels: Mapping[str, LevelDraws]) -> tuple[int, int]:
    """Return the number of samples of all measured levels, and the smallest cluster count, which limits precision."""
    measured = [metrics[metric] for metrics in levels.values() if in_gaps(metrics[metric])]
    return sum(draws.n for draws in measured), min((draws.clusters for draws in measured), default=0)


def _unmeasured(metric: str, levels: Mapping[str, LevelDraws], n: int, clusters: int, why: str) -> Draws:
    width = len(next(iter(levels.values()))[metric].values)
    return Draws(np.full(width, np.nan), n, clusters, why=why)
