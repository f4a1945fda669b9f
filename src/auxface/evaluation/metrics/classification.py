"""Metrics of decisions: accuracy, balanced accuracy, macro F1, the rates of a binary decision, and abstention.

The definitions are those of scikit-learn: balanced accuracy is the mean recall over the classes that occur, and macro
F1 is the mean F1 over the classes that occur or are predicted. Of two classes, class 1 is the positive one.

>>> support, predicted, correct = (np.reshape(two, (1, 2, 1)) for two in ([5.0, 5.0], [6.0, 4.0], [5.0, 4.0]))
>>> counts = Counts(support, predicted, correct)
>>> float(_accuracy(counts)[0, 0])
0.9
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from auxface.evaluation.intervals import shrunk_wilson
from auxface.evaluation.metrics.metric import Metric, MetricInput, Resampled, mean_over_samples


@dataclass(frozen=True)
class Counts:
    """Numbers of true, predicted and correctly predicted samples per class, float64 [levels, classes, r] each."""

    support: np.ndarray
    predicted: np.ndarray
    correct: np.ndarray

    def total(self) -> np.ndarray:
        """Return the number of samples, float64 [levels, r]."""
        return self.support.sum(axis=1)


def from_counts(metrics: Sequence[Metric], data: MetricInput) -> dict[str, Resampled]:
    """Compute the metrics that are functions of :class:`Counts`; their ``compute`` returns float64 [levels, r]."""
    assert data.predicted is not None
    hit = data.true == data.predicted
    cells = data.levels * data.classes
    counted = ((data.true, slice(None)), (data.predicted, slice(None)), (data.true, hit))
    # The three tables of counts are one table, since a product with a few rows takes about as long as one with many.
    table = data.resampling.sums(
        np.concatenate(
            [place * cells + (data.level * data.classes + column)[rows] for place, (column, rows) in enumerate(counted)]
        ),
        np.concatenate([data.cluster[rows] for _, rows in counted]),
        3 * cells,
        None if data.weight is None else np.concatenate([data.weight[rows] for _, rows in counted]),
    )
    parts: dict[str, list[np.ndarray]] = {metric.name: [] for metric in metrics}
    for part in data.resampling.chunks(3 * cells):
        weights = data.resampling.columns(part)
        counts = Counts(*(table @ weights).reshape(3, data.levels, data.classes, weights.shape[1]))
        with np.errstate(invalid="ignore", divide="ignore"):
            for metric in metrics:
                parts[metric.name].append(metric.compute(counts))
    return {name: Resampled(np.concatenate(values, axis=1)) for name, values in parts.items()}


def confusion(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return the confusion matrix of counts, int64 [true classes, predicted classes]."""
    return np.bincount(true * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def _accuracy(counts: Counts) -> np.ndarray:
    return counts.correct.sum(axis=1) / counts.total()


def _balanced_accuracy(counts: Counts) -> np.ndarray:
    return _mean(counts.correct / counts.support, counts.support > 0)


def _macro_f1(counts: Counts) -> np.ndarray:
    both = counts.support + counts.predicted
    return _mean(2 * counts.correct / both, both > 0)


def _mean(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return the mean of the defined values over the classes; NaN where none is defined."""
    return np.where(where, values, 0).sum(axis=1) / where.sum(axis=1)


def _true_positive_rate(counts: Counts) -> np.ndarray:
    return counts.correct[:, 1] / counts.support[:, 1]


def _false_positive_rate(counts: Counts) -> np.ndarray:
    return (counts.predicted[:, 1] - counts.correct[:, 1]) / counts.support[:, 0]


def _precision(counts: Counts) -> np.ndarray:
    return counts.correct[:, 1] / counts.predicted[:, 1]


def _selection_rate(counts: Counts) -> np.ndarray:
    return counts.predicted[:, 1] / counts.total()


DECISIONS = (
    Metric(
        "accuracy",
        "accuracy",
        "the fraction of samples whose class is predicted correctly",
        ("class", "binary", "multilabel"),
        from_counts,
        _accuracy,
        compared=True,
        counts_missing=True,
        column={"class": 10, "binary": 40, "multilabel": 20},
        rule=shrunk_wilson,
    ),
    Metric(
        "balanced_accuracy",
        "balanced accuracy",
        "the recall of each class, averaged over classes",
        ("class", "binary", "multilabel"),
        from_counts,
        _balanced_accuracy,
        units="rarest class",
        equal_classes=True,
        compared=True,
        column={"class": 20, "binary": 50, "multilabel": 10},
        rule=shrunk_wilson,
    ),
    Metric(
        "macro_f1",
        "macro F1",
        "the mean over classes of F1, the harmonic mean of precision and recall",
        ("class", "binary"),
        from_counts,
        _macro_f1,
        units="rarest class",
        equal_classes=True,
        compared=True,
        column={"class": 30},
        rule=shrunk_wilson,
    ),
    Metric(
        "true_positive_rate",
        "true positive rate",
        "the fraction of positives that are predicted positive at the stored threshold",
        ("class", "binary"),
        from_counts,
        _true_positive_rate,
        two_classes=True,
        samples="positive",
        minimum={"positive": 1},
        rule=shrunk_wilson,
    ),
    Metric(
        "false_positive_rate",
        "false positive rate",
        "the fraction of negatives that are predicted positive at the stored threshold",
        ("class", "binary"),
        from_counts,
        _false_positive_rate,
        higher_is_better=False,
        two_classes=True,
        samples="negative",
        minimum={"negative": 1},
        rule=shrunk_wilson,
    ),
    Metric(
        "precision",
        "precision",
        "the fraction of positive predictions that are correct",
        ("class", "binary"),
        from_counts,
        _precision,
        two_classes=True,
        samples="predicted positive",
        minimum={"predicted positive": 1},
        rule=shrunk_wilson,
    ),
    Metric(
        "selection_rate",
        "selection rate",
        "the fraction of all samples that are predicted positive",
        ("class", "binary"),
        from_counts,
        _selection_rate,
        two_classes=True,
        rule=shrunk_wilson,
    ),
)


def _answered(data: MetricInput) -> np.ndarray | None:
    if data.abstain is None:
        return None
    score = data.score if data.score.ndim == 1 else data.score.max(axis=1)
    return (score < data.abstain[0]) | (score >= data.abstain[1])


def _answered_share(data: MetricInput) -> tuple[np.ndarray, None] | None:
    answered = _answered(data)
    return None if answered is None else (answered, None)


def _accuracy_when_answered(data: MetricInput) -> tuple[np.ndarray, np.ndarray] | None:
    answered = _answered(data)
    return None if answered is None else (answered & (data.predicted == data.true), answered)


ABSTENTION = (
    Metric(
        "answered",
        "answered",
        "the fraction of samples outside the abstain band",
        ("class", "binary"),
        mean_over_samples,
        _answered_share,
        needs_scores=True,
        rule=shrunk_wilson,
    ),
    Metric(
        "accuracy_when_answered",
        "accuracy when answered",
        "the accuracy on samples outside the abstain band",
        ("class", "binary"),
        mean_over_samples,
        _accuracy_when_answered,
        needs_scores=True,
        rule=shrunk_wilson,
    ),
)


def _distance(data: MetricInput) -> tuple[np.ndarray, None]:
    return np.abs(data.score - data.true), None


def _within(data: MetricInput, *, limit: float) -> tuple[np.ndarray, None]:
    return np.abs(data.score - data.true) <= limit, None


def _cumulative_score(limit: int, column: int) -> Metric:
    return Metric(
        f"cumulative_score_{limit}",
        f"within {limit}",
        f"the fraction of samples whose error is at most {limit}",
        ("ordinal",),
        mean_over_samples,
        partial(_within, limit=limit),
        rule=shrunk_wilson,
        counts_missing=True,
        column={"ordinal": column},
    )


ORDINAL = (
    Metric(
        "mean_absolute_error",
        "mean absolute error",
        "the mean absolute difference between prediction and target",
        ("ordinal",),
        mean_over_samples,
        _distance,
        higher_is_better=False,
        unit="",
        digits=2,
        bounds=(0.0, np.inf),
        units=None,
        compared=True,
        column={"ordinal": 10},
    ),
    _cumulative_score(1, 20),
    _cumulative_score(5, 30),
)
