"""Label noise that removes a gap: hand-worked counts, exhaustive search, and what the report says."""

import itertools

import pandas as pd
import pytest

import auxface
from auxface.evaluation.label_noise import labels_for_equal_accuracy, labels_for_equal_balanced_accuracy


def test_the_accuracy_needs_the_gap_times_the_samples():
    assert labels_for_equal_accuracy(right=80, samples=100, target=0.9) == 10
    assert labels_for_equal_accuracy(right=80, samples=100, target=0.901) == 11
    assert labels_for_equal_accuracy(right=95, samples=100, target=0.9) == 0


def test_the_balanced_accuracy_follows_a_hand_worked_example():
    """6 of 10 positives and 9 of 10 negatives are right: 0.75.

    With two missed positives relabeled, 6 of 8 and 11 of 12 are right: (0.75 + 0.9167) / 2 = 0.8333. With one, 6 of 9
    and 10 of 11: 0.7879.
    """
    counts = {"true_positives": 6, "positives": 10, "true_negatives": 9, "negatives": 10}
    assert labels_for_equal_balanced_accuracy(**counts, target=0.75) == 0
    assert labels_for_equal_balanced_accuracy(**counts, target=0.78) == 1
    assert labels_for_equal_balanced_accuracy(**counts, target=0.83) == 2
    assert labels_for_equal_balanced_accuracy(**counts, target=1.01) is None


@pytest.mark.parametrize(("right", "target"), [((3, 7, 8, 9), 0.8), ((1, 9, 2, 3), 0.7), ((4, 5, 1, 9), 0.95)])
def test_bisection_equals_the_exhaustive_search(right, target):
    true_positives, positives, true_negatives, negatives = right
    cheapest = min(
        one + other
        for one, other in itertools.product(
            range(positives - true_positives + 1), range(negatives - true_negatives + 1)
        )
        if 0 < positives - one + other < positives + negatives
        and (true_positives + other) / (positives - one + other) + (true_negatives + one) / (negatives + one - other)
        >= 2 * target - 1e-9
    )
    found = labels_for_equal_balanced_accuracy(
        true_positives=true_positives,
        positives=positives,
        true_negatives=true_negatives,
        negatives=negatives,
        target=target,
    )
    assert found == cheapest


def test_the_report_says_how_many_labels_remove_the_gap(tmp_path):
    """Level a has 90 of 100 right, level b 80 of 100: with 10 of 100 wrong labels in b the gap is 0."""
    right = [place % 10 > 0 for place in range(100)] + [place % 10 > 1 for place in range(100)]
    frame = pd.DataFrame({"y": [place // 10 % 2 for place in range(200)], "g": ["a"] * 100 + ["b"] * 100})
    frame["d"] = [true if is_right else 1 - true for true, is_right in zip(frame["y"], right, strict=True)]
    frame["h"] = ["x" if place % 3 else "y" for place in range(200)]
    found = auxface.audit(
        frame, tmp_path / "a", true="y", predicted="d", groups=["g", "h"], kind="class", resamples=200
    )
    gaps = found.models["table"].tasks["y"].gaps["g"]
    more = gaps["accuracy_difference"].more
    assert (more["worst"], more["wrong_labels"], more["wrong_labels_share"]) == ("b", 10, 0.1)
    page = (tmp_path / "a" / "report.html").read_text()
    sentence = "if 10.0% of the labels of b (10) were wrong and the predictions for these samples correct."
    assert f"would vanish {sentence}" in page
    wide = pd.read_csv(tmp_path / "a" / "csv" / "crossed_g_by_h.csv")
    assert "csv/crossed_g_by_h.csv" in page
    row = wide[(wide["metric"] == "accuracy") & (wide["number"] == "value") & (wide["g"] == "b")].iloc[0]
    chosen = (frame["g"] == "b") & (frame["h"] == "x")
    assert row["x"] == pytest.approx((frame["y"] == frame["d"])[chosen].mean())
