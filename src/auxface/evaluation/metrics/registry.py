"""What each metric is called, in which direction it is better, and the one that speaks for a kind of task."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """How a metric is shown.

    Attributes:
        title: its name in running text.
        meaning: one sentence in plain words.
        higher_is_better: the direction.
        percent: shown as a percentage rather than as a plain number.
    """

    title: str
    meaning: str
    higher_is_better: bool = True
    percent: bool = True


METRICS: dict[str, Metric] = {
    "accuracy": Metric("accuracy", "the share of samples that are named rightly"),
    "balanced_accuracy": Metric("balanced accuracy", "the share named rightly, each class counting the same"),
    "macro_f1": Metric(
        "macro F1", "the mean over classes of F1, which is high only if a class is found and not overcalled"
    ),
    "auc": Metric("AUC", "how often a positive sample scores above a negative one", percent=False),
    "average_precision": Metric("average precision", "the precision averaged over all recalls", percent=False),
    "equal_error_rate": Metric("EER", "the error rate where misses are as frequent as false alarms", False),
    "tpr_at_fpr_0.01": Metric("TPR at FPR 1%", "the share found when one negative in a hundred may raise an alarm"),
    "tpr_at_fpr_0.001": Metric("TPR at FPR 0.1%", "the share found when one negative in a thousand may raise an alarm"),
    "true_positive_rate": Metric("true positive rate", "the share of positives found at the stored threshold"),
    "false_positive_rate": Metric("false positive rate", "the share of negatives that raise an alarm", False),
    "precision": Metric("precision", "the share of alarms that are right"),
    "selection_rate": Metric("selection rate", "the share of all samples that are called positive"),
    "answered": Metric("answered", "the share of samples outside the abstain band"),
    "accuracy_when_answered": Metric("accuracy when answered", "the share named rightly outside the abstain band"),
    "expected_calibration_error": Metric("calibration error", "how far scores are from frequencies on average", False),
    "brier_score": Metric("Brier score", "the mean squared distance of the scores from the truth", False, False),
    "mean_absolute_error": Metric("mean absolute error", "the mean distance from the truth", False, False),
    "cumulative_score_1": Metric("within 1", "the share of samples at most 1 from the truth"),
    "cumulative_score_5": Metric("within 5", "the share of samples at most 5 from the truth"),
}

PRIMARY = {"class": "accuracy", "binary": "auc", "multilabel": "balanced_accuracy", "ordinal": "mean_absolute_error"}
AT_THRESHOLD = {"class": "accuracy", "binary": "balanced_accuracy"}
# What the page shows of each kind, in order.
TABLE = {
    "class": ("accuracy", "balanced_accuracy", "macro_f1", "auc", "expected_calibration_error"),
    "binary": (
        "auc",
        "average_precision",
        "equal_error_rate",
        "accuracy",
        "balanced_accuracy",
        "tpr_at_fpr_0.01",
        "tpr_at_fpr_0.001",
        "expected_calibration_error",
    ),
    "multilabel": ("balanced_accuracy", "accuracy", "average_precision", "expected_calibration_error"),
    "ordinal": ("mean_absolute_error", "cumulative_score_1", "cumulative_score_5"),
}


def decision_metric(kind: str) -> str:
    """The metric that groups and corruptions are shown in: of a decision, where the task makes one."""
    return AT_THRESHOLD.get(kind, PRIMARY[kind])


def better(metric: str, first: float, second: float) -> bool:
    """Whether ``first`` is the better value of ``metric``."""
    return first > second if METRICS[metric].higher_is_better else first < second


def shown(metric: str, value: float | None, signed: bool = False) -> str:
    """A value as it is read: ``71.4%``, ``0.934``, ``4.2``; a dash where there is none."""
    if value is None:
        return "–"
    sign = "+" if signed else ""
    if METRICS[metric].percent:
        text = f"{100 * value:{sign}.1f}%"
    else:
        text = f"{value:{sign}.2f}" if metric == "mean_absolute_error" else f"{value:{sign}.3f}"
    return text.replace("-", "−")
