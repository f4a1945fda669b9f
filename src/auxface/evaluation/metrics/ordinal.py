"""Metrics of a predicted number, such as an age: mean absolute error and cumulative scores.

The cumulative score CS(k) is the fraction of samples whose error is at most k (Geng et al., 2007).
"""

from functools import partial

import numpy as np

from auxface.evaluation.intervals import shrunk_wilson
from auxface.evaluation.metrics.metric import Metric, MetricInput, mean_over_samples


def _distance(data: MetricInput) -> tuple[np.ndarray, None]:
    return np.abs(data.score - data.true), None


def _within(data: MetricInput, *, limit: float) -> tuple[np.ndarray, None]:
    return np.abs(data.score - data.true) <= limit, None


def _cumulative_score(limit: int, column: int) -> Metric:
    return Metric(
        f"cumulative_score_{limit}",
        f"within {limit}",
        f"the share of samples whose error is at most {limit}",
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
        "the mean absolute difference between prediction and truth",
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
