"""Robustness: metrics and gaps on corrupted images, and the mean corruption error (Hendrycks and Dietterich, 2019).

:func:`~auxface.evaluation.audit_tables` calls these functions for every table in its argument ``robustness``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from auxface.evaluation.fairness import gaps
from auxface.evaluation.groups import single_partitions, whole
from auxface.evaluation.intervals import Draws
from auxface.evaluation.measure import LevelDraws, measure
from auxface.evaluation.metrics import METRICS, decision_metric
from auxface.evaluation.metrics.ranking import RANKING
from auxface.evaluation.predictions import Predictions, ScoredTask
from auxface.evaluation.resampling import Resampling
from auxface.evaluation.results import Estimates, GroupsUnderCorruption, Severity, TaskAudit, estimates

# The 15 corruptions of Hendrycks and Dietterich (2019). Codecs, occlusions and attacks have curves but are not included
# in the means.
COMMON_CORRUPTIONS = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip

Conditions = Mapping[str, Mapping[Severity, Predictions]]
Curves = dict[tuple[str, Severity], Draws]


@dataclass(frozen=True)
class Corrupted:
    """The results of one task on one table of corrupted images.

    Attributes:
        overall: metrics over all samples.
        by_group: metrics and gaps of every group.
        draws: draws of the decision metric over all samples, from which the means are computed.
    """

    overall: Estimates
    by_group: GroupsUnderCorruption
    draws: Draws

    def add_to(self, audited: TaskAudit, corruption: str, severity: Severity) -> None:
        """Add these results to the results of the task."""
        audited.robustness.setdefault(corruption, {})[severity] = self.overall
        if self.by_group.groups:
            audited.robustness_groups.setdefault(corruption, {})[severity] = self.by_group


def measure_corrupted(table: Predictions, task: ScoredTask, cluster: np.ndarray, draw: Resampling) -> Corrupted:
    """Measure a task on one table of predictions on corrupted images, overall and by group."""
    # Of a multi-label task, only means over the attributes are reported, so metrics without a mean are not computed.
    metrics = [metric for metric in METRICS.values() if metric.applies(task.kind, len(task.classes))]
    overall = measure(table, task, whole(table), cluster, draw, metrics).levels[""]
    by_group = GroupsUnderCorruption()
    if task.kind == "multilabel":
        # Ranking metrics take most of the time, so they are omitted for the many attributes, levels and severities.
        metrics = [metric for metric in metrics if metric not in RANKING]
    for partition in single_partitions(table):
        levels = measure(table, task, partition, cluster, draw, metrics).levels
        by_group.groups[partition.name] = {level: estimates(found) for level, found in levels.items()}
        by_group.gaps[partition.name] = estimates(gaps(levels, overall))
    return Corrupted(estimates(overall), by_group, overall[decision_metric(task.kind)])


def summarize(
    task: ScoredTask,
    clean: LevelDraws,
    curves: Curves,
    *,
    baseline: str | None,
    base_clean: LevelDraws | None,
    base_curves: Curves,
) -> Estimates:
    """Return means over the common corruptions at numbered severities.

    ``mean_under_corruption`` is the plain mean of the decision metric. Let E = 1 - metric be the error (for an ordinal
    task, the metric itself), and let B be a baseline model measured on the same images. Then (Hendrycks and Dietterich,
    2019):

    * ``mean_corruption_error`` = mean over corruptions of (sum over severities of E) / (sum of E of B);
    * ``relative_mean_corruption_error`` = the same after subtracting the error on clean images from every E.

    Args:
        task: task to measure.
        clean: metrics on clean images.
        curves: decision metric by (corruption, severity).
        baseline: name of B; if None, only the plain mean is returned.
        base_clean: metrics of B on clean images.
        base_curves: curves of B.
    """
    metric = decision_metric(task.kind)
    own = {key: draws for key, draws in curves.items() if key[0] in COMMON_CORRUPTIONS and isinstance(key[1], int)}
    if not own:
        return {}
    any_draws = next(iter(own.values()))
    n, clusters = any_draws.n, any_draws.clusters
    names = list(dict.fromkeys(corruption for corruption, _ in own))
    facts = {"corruptions": len(names), "metric": metric}
    mean = np.mean([draws.values for draws in own.values()], axis=0)
    found = {"mean_under_corruption": Draws(mean, n, clusters, more=facts)}
    if baseline is not None and base_clean is not None:
        facts = facts | {"baseline": baseline}
        shared = [key for key in own if key in base_curves]
        parts = {name: [key for key in shared if key[0] == name] for name in names}
        for title, offset in (("mean_corruption_error", False), ("relative_mean_corruption_error", True)):
            ratios, why = [], None if shared else f"{baseline} was not measured on the same corruptions"
            for name, keys in parts.items():
                if not keys:
                    continue
                one = _errors(metric, [own[key] for key in keys], clean[metric] if offset else None)
                other = _errors(metric, [base_curves[key] for key in keys], base_clean[metric] if offset else None)
                if other[0] <= 0:
                    why = f"{baseline} makes no {'additional ' if offset else ''}errors under {name.replace('_', ' ')}"
                with np.errstate(invalid="ignore", divide="ignore"):
                    ratios.append(np.where(other > 0, one / other, np.nan))
            values = np.mean(ratios, axis=0) if ratios else np.full(len(mean), np.nan)
            found[title] = Draws(values, n, clusters, why=why, more=facts | {"corruptions": len(ratios)})
    return estimates(found)


def _errors(metric: str, curve: list[Draws], clean: Draws | None) -> np.ndarray:
    """Return the error summed over severities, float64 [1+R]; with ``clean``, only the increase over clean images."""
    sign = -1.0 if METRICS[metric].higher_is_better else 1.0
    start = 1.0 if METRICS[metric].higher_is_better else 0.0
    total = np.sum([start + sign * draws.values for draws in curve], axis=0)
    return total if clean is None else total - len(curve) * (start + sign * clean.values)
