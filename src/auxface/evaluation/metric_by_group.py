"""Any metric by group, from plain arrays: a ``MetricFrame`` as in fairlearn, with intervals.

Example: see :func:`metric_by_group`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from auxface.evaluation.fairness import metric_gaps
from auxface.evaluation.groups import NOT_STATED, by_column
from auxface.evaluation.intervals import RESAMPLES, Draws, Estimate, draw_resamples
from auxface.evaluation.measure import MINIMUM_CLUSTERS
from auxface.evaluation.metrics.metric import Metric, MetricInput, metric_from_function


@dataclass(frozen=True)
class MetricByGroup:
    """A metric of all samples and of each level of a group.

    Attributes:
        overall: estimate of all samples.
        levels: level to estimate; a level with fewer than :data:`~auxface.evaluation.measure.MINIMUM_CLUSTERS` clusters
            has no value, and a reason.
        difference: largest minus smallest value over levels; ``more`` holds ``worst``, ``best`` and ``by_chance``.
        ratio: smallest over largest value; None if the metric can be negative.
        worst: the worst value.
    """

    overall: Estimate
    levels: dict[str, Estimate]
    difference: Estimate
    ratio: Estimate | None
    worst: Estimate

    def to_frame(self) -> pd.DataFrame:
        """Return a table with a row per level: ``value, low, high, n, clusters, why``."""
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
    """Return any metric for each level of a group, with 95% intervals that respect clusters.

    Args:
        function: ``function(y_true, y) -> float``, such as those of scikit-learn. It is called once per level and
            resample. A resample on which it raises ``ValueError`` or returns NaN counts as undefined.
        y_true: truth, [N].
        y: predictions or scores, whichever ``function`` takes, [N] or [N, C].
        group: level of each sample, [N]; missing values form a separate level that is not included in gaps.
        cluster: samples with equal values belong together, such as the frames of one video, [N]; None: samples are
            independent.
        higher_is_better: the direction of the metric.
        bounds: the possible range; intervals are clipped to it.
        resamples: number of bootstrap resamples.
        seed: seed of the resamples.

    Raises:
        ValueError: arrays of different length, or without samples.

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
