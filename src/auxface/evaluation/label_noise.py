"""Sensitivity of a gap to wrong labels: how many wrong labels of the worst level would explain the whole gap.

The result is a lower bound: it assumes that the model is correct wherever a label is wrong, and that the labels of the
other levels are correct. Fewer wrong labels cannot explain the gap. For accuracy, the result is the gap times the
number of samples in the level:

>>> labels_for_equal_accuracy(right=80, samples=100, target=0.9)
10
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import replace
from math import ceil

import numpy as np

from auxface.evaluation.intervals import Estimate

_ROUNDING = 1e-9


def labels_for_equal_accuracy(*, right: int, samples: int, target: float) -> int:
    """Return the number of labels that must be wrong for the accuracy to be ``target`` after correction.

    Args:
        right: number of samples whose label the model predicts correctly.
        samples: total number of samples in the level.
        target: accuracy to reach, at most 1.
    """
    return max(0, ceil(target * samples - _ROUNDING) - right)


def labels_for_equal_balanced_accuracy(
    *, true_positives: int, positives: int, true_negatives: int, negatives: int, target: float
) -> int | None:
    """Return the number of wrong labels needed for a balanced accuracy of ``target``; None if no number suffices.

    Correcting a wrong positive label turns a false negative into a true negative; correcting a wrong negative label
    turns a false positive into a true positive. All combinations are tried.
    """
    missed, alarms = positives - true_positives, negatives - true_negatives

    def reaches(count: int) -> bool:
        to_negative = np.arange(max(0, count - alarms), min(missed, count) + 1)
        to_positive = count - to_negative
        total = positives - to_negative + to_positive, negatives + to_negative - to_positive
        with np.errstate(invalid="ignore", divide="ignore"):
            rates = (true_positives + to_positive) / total[0], (true_negatives + to_negative) / total[1]
        return bool((((rates[0] + rates[1]) / 2 >= target - _ROUNDING) & (total[0] > 0) & (total[1] > 0)).any())

    # Each additional wrong label raises one of the rates, so bisection applies.
    count = bisect_left(range(missed + alarms + 1), True, key=reaches)
    return count if count <= missed + alarms else None


def add_label_noise(gaps: dict[str, Estimate], levels: Mapping[str, Mapping[str, Estimate]]) -> None:
    """Add ``wrong_labels`` and ``wrong_labels_share`` of the worst level to the gaps in accuracy and balanced accuracy.

    Args:
        gaps: gaps of a group, modified in place.
        levels: estimate of each metric, by level and metric name.
    """
    for metric in ("accuracy", "balanced_accuracy"):
        gap = gaps.get(f"{metric}_difference")
        if gap is None or gap.value is None or not gap.more or "worst" not in gap.more:
            continue
        worst, best = (levels[str(gap.more[name])] for name in ("worst", "best"))
        samples, target = worst["accuracy"].n, best[metric].value
        if target is None:
            continue
        if metric == "accuracy":
            right = _count(worst["accuracy"])
            count = labels_for_equal_accuracy(right=right, samples=samples, target=target)
        elif "true_positive_rate" in worst:
            positive, negative = worst["true_positive_rate"], worst["false_positive_rate"]
            count = labels_for_equal_balanced_accuracy(
                true_positives=_count(positive),
                positives=positive.n,
                true_negatives=negative.n - _count(negative),
                negatives=negative.n,
                target=target,
            )
        else:
            continue
        if count is not None:
            more = {"wrong_labels": count, "wrong_labels_share": count / samples}
            gaps[f"{metric}_difference"] = replace(gap, more=gap.more | more)


def _count(rate: Estimate) -> int:
    return round((rate.value or 0.0) * rate.n)
