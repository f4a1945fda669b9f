"""Compute any metric by group from plain arrays, like fairlearn's ``MetricFrame``, with confidence intervals.

See :func:`metric_by_group` for an example.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from auxface.evaluation.fairness import metric_gaps
from auxface.evaluation.groups import NOT_STATED, by_column
from auxface.evaluation.intervals import Draws, Estimate
from auxface.evaluation.measure import MINIMUM_CLUSTERS
from auxface.evaluation.metrics.metric import Metric, MetricInput, metric_from_function
from auxface.evaluation.resampling import RESAMPLES, draw_resamples


@dataclass(frozen=True)
class MetricByGroup:
    """A metric of all samples and of each level of a group.

    Attributes:
        overall: estimate over all samples.
        levels: estimate at each level; a level with fewer than :data:`~auxface.evaluation.measure.MINIMUM_CLUSTERS`
            clusters has a reason instead of a value.
        difference: largest minus smallest value over the levels; ``more`` holds ``worst``, ``best`` and ``by_chance``.
        ratio: smallest value divided by the largest; None if the metric can be negative.
        worst: worst value over the levels.
    """

    overall: Estimate
    levels: dict[str, Estimate]
    difference: Estimate
    ratio: Estimate | None
    worst: Estimate

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row per level and the columns ``value, low, high, n, clusters, why``."""
        columns = ["value", "low", "high", "n", "clusters", "why"]
        rows = [[getattr(estimate, name) for name in columns] for estimate in self.levels.values()]
        return pd.DataFrame(rows, columns=columns, index=pd.Index(self.levels, name="level"))


def metric_by_group(
    function: Callable[[np.ndarray, np.ndarray], float],
    y_true: Sequence[object] | np.ndarray,
    y: Sequence[object] | np.ndarray,
    *,
    group: Sequence[object] | np.ndarray | pd.Series,
    cluster: Sequence[object] | np.ndarray | None = None,
    higher_is_better: bool = True,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> MetricByGroup:
    """Compute any metric at each level of a group, with 95% intervals that account for clusters.

    Args:
        function: metric ``function(y_true, y) -> float``, such as a metric of scikit-learn. It is called once per level
            and resample. If it raises ``ValueError`` or returns NaN, the metric is undefined on that resample.
        y_true: true labels or values, [N].
        y: predictions or scores, as ``function`` expects them, [N] or [N, C].
        group: level of each sample, [N]; samples with missing values form a separate level that is not included in
            gaps.
        cluster: cluster of each sample, [N], such as the video of a frame; None if the samples are independent.
        higher_is_better: whether larger values of the metric are better.
        bounds: lowest and highest possible value, to which intervals are clipped.
        resamples: number of bootstrap resamples.
        seed: seed of the resampling.

    Raises:
        ValueError: the arrays differ in length or are empty.

    >>> from sklearn.metrics import accuracy_score
    >>> y_true, y = np.array([0, 1] * 100), np.array([0, 1, 1, 1] * 50)
    >>> found = metric_by_group(accuracy_score, y_true, y, group=["F", "M"] * 100, bounds=(0, 1))
    >>> found.levels["F"].value, found.levels["M"].value, found.difference.value
    (0.5, 1.0, 0.5)
    """
    true, given = np.asarray(y_true), np.asarray(y)
    clusters = np.arange(len(true)) if cluster is None else pd.factorize(np.asarray(cluster))[0]
    partition = by_column("group", pd.Series(np.asarray(group, dtype=object)))
    if not len(true) or {len(given), len(clusters), len(partition.code)} != {len(true)}:
        raise ValueError(
            f"y_true, y, group and cluster must have equal lengths of at least 1; they have {len(true)}, "
            f"{len(given)}, {len(partition.code)} and {len(clusters)}"
        )
    metric = metric_from_function("metric", function, of="score", higher_is_better=higher_is_better, bounds=bounds)
    resampling = draw_resamples(int(clusters.max()) + 1, resamples, seed)

    def draws(level: np.ndarray, levels: int, minimum: int) -> list[Draws]:
        counts = [len(np.unique(clusters[level == place])) for place in range(levels)]
        small = np.array(counts) < minimum
        data = MetricInput(true, None, given, 0, level, levels, clusters, resampling, skip=small)
        return _draws(metric, data, minimum)

    levels = dict(zip(partition.levels, draws(partition.code, len(partition.levels), MINIMUM_CLUSTERS)))
    stated = {name: {metric.name: one} for name, one in levels.items() if name != NOT_STATED}
    gaps = metric_gaps(metric, stated)
    ratio = gaps.get("metric_ratio")
    return MetricByGroup(
        draws(np.zeros(len(true), dtype=np.int64), 1, 1)[0].estimate(),
        {name: one.estimate() for name, one in levels.items()},
        gaps["metric_difference"].estimate(),
        None if ratio is None else ratio.estimate(),
        gaps["worst_group_metric"].estimate(),
    )


def _draws(metric: Metric, data: MetricInput, minimum: int) -> list[Draws]:
    resampled = metric.family([metric], data)[metric.name]
    found = []
    for place in range(data.levels):
        rows = data.level == place
        n, small = int(rows.sum()), data.skip is not None and data.skip[place]
        clusters = len(np.unique(data.cluster[rows]))
        why = f"only {clusters} clusters, fewer than {minimum}" if small else resampled.why.get(place)
        values = resampled.values[place]
        found.append(Draws(values, n, clusters, why=why, rule=metric.rule, bounds=metric.bounds))
    return found
