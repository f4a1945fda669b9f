"""The registry of metrics, and the primary and decision metrics of each kind of task.

>>> METRICS["auc"].title, METRICS["auc"].higher_is_better
('AUC', True)
>>> table_metrics("ordinal")
['mean_absolute_error', 'cumulative_score_1', 'cumulative_score_5']
"""

from auxface.evaluation.metrics.calibration import CALIBRATION
from auxface.evaluation.metrics.classification import ABSTENTION, DECISIONS, ORDINAL
from auxface.evaluation.metrics.metric import Metric
from auxface.evaluation.metrics.ranking import RANKING
from auxface.task import Kind

_BUILT_IN = {metric.name: metric for metric in (*DECISIONS, *RANKING, *CALIBRATION, *ABSTENTION, *ORDINAL)}
METRICS: dict[str, Metric] = dict(_BUILT_IN)
# The metric by which models are ranked, for each kind of task.
PRIMARY: dict[Kind, str] = {
    "class": "accuracy",
    "binary": "auc",
    "multilabel": "balanced_accuracy",
    "ordinal": "mean_absolute_error",
}
# Groups and corruptions are compared using a metric computed from decisions; AUC is computed from scores.
_DECISION: dict[Kind, str] = {**PRIMARY, "binary": "balanced_accuracy"}


def decision_metric(kind: Kind) -> str:
    """Return the name of the metric by which groups and corruptions are compared."""
    return _DECISION[kind]


def table_metrics(kind: Kind) -> list[str]:
    """Return the names of the metrics in the report page's table for a kind of task, in order."""
    return sorted(
        (name for name in METRICS if kind in METRICS[name].column), key=lambda name: METRICS[name].column[kind]
    )


def format_value(metric: str, value: float | None, *, signed: bool = False) -> str:
    """Format a value of the named metric; see :meth:`~auxface.evaluation.metrics.metric.Metric.format`."""
    return METRICS[metric].format(value, signed=signed)


def register_metric(metric: Metric) -> None:
    """Add a metric to all subsequent audits; a metric registered earlier under the same name is replaced.

    Raises:
        ValueError: auxface has a built-in metric with this name.
    """
    if metric.name in _BUILT_IN:
        raise ValueError(f"'{metric.name}' is a built-in metric; choose another name")
    METRICS[metric.name] = metric
