"""Metrics against scikit-learn, torchmetrics and fairlearn on random tables with ties and weights."""

import numpy as np
import pandas as pd
import pytest
import torch
from fairlearn import metrics as fairlearn
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from auxface.evaluation import Predictions, ScoredTask, audit_tables, brier_score, expected_calibration_error
from auxface.evaluation.fairness import gaps
from auxface.evaluation.groups import by_group, whole
from auxface.evaluation.measure import measure
from auxface.evaluation.metrics.calibration import CALIBRATION
from auxface.evaluation.metrics.classification import DECISIONS
from auxface.evaluation.metrics.metric import MetricInput
from auxface.evaluation.metrics.ranking import RANKING
from auxface.evaluation.resampling import draw_resamples

quick = settings(max_examples=25, deadline=None)


@st.composite
def binary_samples(draw):
    """Truth, tied scores, cluster, of both classes."""
    n = draw(st.integers(4, 60))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    true = generator.integers(0, 2, n)
    true[:2] = [0, 1]
    steps = draw(st.sampled_from([2, 5, 1000]))
    return true, generator.integers(0, steps + 1, n) / steps, generator.integers(0, draw(st.integers(1, n)), n)


def compute(metrics, true, predicted, score, *, cluster, resampling, classes=2, level=None, levels=1):
    """Name to float64 [levels, 1+R] of the metrics, each computed by its own family."""
    level = np.zeros(len(true), dtype=int) if level is None else level
    data = MetricInput(true, predicted, score, classes, level, levels, cluster, resampling)
    return {metric.name: metric.family([metric], data)[metric.name].values for metric in metrics}


def dense(cluster):
    return np.unique(cluster, return_inverse=True)[1]


@quick
@given(binary_samples())
def test_ranking_equals_scikit_learn_on_every_resample(samples):
    true, score, cluster = samples
    cluster = dense(cluster)
    draw = draw_resamples(int(cluster.max()) + 1, 6, 0)
    found = compute(RANKING, true, None, score, cluster=cluster, resampling=draw)
    found = {name: values[0] for name, values in found.items()}
    for column in range(7):
        weight = draw.weights[:, column][cluster]
        if len(np.unique(true[weight > 0])) < 2:
            assert np.isnan(found["auc"][column])
            continue
        assert found["auc"][column] == pytest.approx(sklearn.roc_auc_score(true, score, sample_weight=weight))
        expected = sklearn.average_precision_score(true, score, sample_weight=weight)
        assert found["average_precision"][column] == pytest.approx(expected)
        kept = weight > 0
        alarm, hit, _ = sklearn.roc_curve(true[kept], score[kept], sample_weight=weight[kept], drop_intermediate=False)
        assert found["tpr_at_fpr_0.01"][column] == pytest.approx(hit[alarm <= 0.01 + 1e-9].max())
        crossing = np.interp(0.0, alarm + hit - 1, alarm)
        assert found["equal_error_rate"][column] == pytest.approx(crossing)


@quick
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(1, 4))
def test_counts_equal_scikit_learn_per_level_and_weighted(seed, classes, levels):
    generator = np.random.default_rng(seed)
    n = int(generator.integers(3, 50))
    true, predicted = generator.integers(0, classes, (2, n))
    level, cluster = generator.integers(0, levels, n), dense(generator.integers(0, n, n))
    draw = draw_resamples(int(cluster.max()) + 1, 4, seed)
    metrics = [metric for metric in DECISIONS if not metric.two_classes]
    divided = {"classes": classes, "level": level, "levels": levels}
    found = compute(metrics, true, predicted, np.zeros(n), cluster=cluster, resampling=draw, **divided)
    for column in range(5):
        weight = draw.weights[:, column][cluster]
        for place in range(levels):
            rows = (level == place) & (weight > 0)
            if not rows.any():
                assert np.isnan(found["accuracy"][place, column])
                continue
            t, p, w = true[rows], predicted[rows], weight[rows]
            assert found["accuracy"][place, column] == pytest.approx(sklearn.accuracy_score(t, p, sample_weight=w))
            recall = sklearn.recall_score(t, p, labels=np.unique(t), average="macro", sample_weight=w, zero_division=0)
            assert found["balanced_accuracy"][place, column] == pytest.approx(recall)
            f1 = sklearn.f1_score(t, p, average="macro", sample_weight=w, zero_division=0)
            assert found["macro_f1"][place, column] == pytest.approx(f1)


@quick
@given(binary_samples())
def test_calibration_equals_torchmetrics_and_scikit_learn(samples):
    true, score, cluster = samples
    score = np.clip(score, 0, 0.999)
    expected = binary_calibration_error(torch.tensor(score), torch.tensor(true), n_bins=15, norm="l1").item()
    assert expected_calibration_error(true, score) == pytest.approx(expected, abs=1e-5)
    assert brier_score(true, score) == pytest.approx(sklearn.brier_score_loss(true, score))
    cluster = dense(cluster)
    draw = draw_resamples(int(cluster.max()) + 1, 3, 0)
    found = compute(CALIBRATION, true, None, score, cluster=cluster, resampling=draw)
    for column in range(4):
        repeated = np.repeat(np.arange(len(true)), draw.weights[:, column][cluster].astype(int))
        expected = expected_calibration_error(true[repeated], score[repeated])
        assert found["expected_calibration_error"][0, column] == pytest.approx(expected)
        assert found["brier_score"][0, column] == pytest.approx(brier_score(true[repeated], score[repeated]))


def test_calibration_of_several_classes_equals_torchmetrics():
    generator = np.random.default_rng(3)
    score = generator.dirichlet(np.ones(4), 300)
    true = generator.integers(0, 4, 300)
    expected = multiclass_calibration_error(torch.tensor(score), torch.tensor(true), 4, n_bins=15, norm="l1").item()
    assert expected_calibration_error(true, score) == pytest.approx(expected, abs=1e-5)
    assert brier_score(true, score) == pytest.approx(((score - np.eye(4)[true]) ** 2).sum(axis=1).mean())


def grouped_table(seed, levels=4, n=400):
    generator = np.random.default_rng(seed)
    group = generator.integers(0, levels, n)
    true = generator.integers(0, 2, n)
    score = np.clip(0.5 + 0.3 * (true - 0.5) + 0.05 * group + generator.normal(0, 0.25, n), 0, 1)
    frame = pd.DataFrame({"group.g": group.astype(str), "true.t": true, "score.t.yes": score})
    return Predictions(frame, (ScoredTask("t", "binary", ("no", "yes"), {"yes": 0.5}, "given"),))


@quick
@given(st.integers(0, 2**32 - 1))
def test_gaps_equal_fairlearn_and_the_published_formulas(seed):
    table = grouped_table(seed)
    task = table.tasks[0]
    draw = draw_resamples(len(table.frame), 3, 0)
    cluster = np.arange(len(table.frame))
    levels = measure(table, task, by_group(table, "g"), cluster, draw).levels
    overall = measure(table, task, whole(table), cluster, draw).levels[""]
    found = {name: draws.values[0] for name, draws in gaps(levels, overall).items()}
    true, group = table.frame["true.t"], table.frame["group.g"]
    predicted = (table.frame["score.t.yes"] >= 0.5).astype(int)
    for name in ("demographic_parity", "equalized_odds", "equal_opportunity"):
        for form in ("difference", "ratio"):
            expected = getattr(fairlearn, f"{name}_{form}")(true, predicted, sensitive_features=group)
            assert found[f"{name}_{form}"] == pytest.approx(expected), name
    precision = fairlearn.MetricFrame(
        metrics=sklearn.precision_score, y_true=true, y_pred=predicted, sensitive_features=group
    )
    assert found["predictive_parity_difference"] == pytest.approx(precision.difference())
    assert found["predictive_parity_ratio"] == pytest.approx(precision.ratio())
    accuracy = fairlearn.MetricFrame(
        metrics=sklearn.accuracy_score, y_true=true, y_pred=predicted, sensitive_features=group
    )
    assert found["worst_group_accuracy"] == pytest.approx(accuracy.group_min())
    parts = [group == level for level in sorted(group.unique())]
    false_alarm = [predicted[rows & (true == 0)].mean() for rows in parts]
    assert found["F_FPR"] == pytest.approx(sum(abs(rate - predicted[true == 0].mean()) for rate in false_alarm))
    assert found["F_OAE"] == pytest.approx(np.ptp([(predicted == true)[rows].mean() for rows in parts]))
    rate_of = [[(predicted[rows] == k).mean() for rows in parts] for k in (0, 1)]
    assert found["F_DP"] == pytest.approx(max(np.ptp(row) for row in rate_of))
    given = [[(predicted[rows & (true == y)] == k).mean() for rows in parts] for k in (0, 1) for y in (0, 1)]
    assert found["F_MEO"] == pytest.approx(max(np.ptp(row) for row in given))


def test_small_and_one_class_levels_have_a_reason_and_count():
    table = grouped_table(0, levels=2)
    group = table.frame["group.g"].to_numpy(dtype=object)
    group[:2] = "few"
    group[np.flatnonzero(table.frame["true.t"] == 1)[20:80]] = "positives"
    table.frame["group.g"] = group
    found = audit_tables({"m": table}, resamples=100).models["m"].tasks["t"].groups["g"]
    assert found["few"]["accuracy"].value is None
    assert found["few"]["accuracy"].why == "only 2 clusters, fewer than 3"
    assert found["few"]["accuracy"].n == 2
    assert found["positives"]["balanced_accuracy"].why == "only one class occurs: yes"
    assert found["positives"]["accuracy"].value == found["positives"]["true_positive_rate"].value == 0.75
    assert found["0"]["accuracy"].value is not None


def test_rates_count_their_own_samples_and_zero_has_an_interval():
    true = np.array([0] * 40 + [1] * 400)
    frame = pd.DataFrame({"true.t": true, "score.t.yes": np.where(true == 1, 0.9, 0.1)})
    task = ScoredTask("t", "binary", ("no", "yes"), {"yes": 0.5}, "given")
    overall = audit_tables({"m": Predictions(frame, (task,))}, resamples=200).models["m"].tasks["t"].overall
    alarms = overall["false_positive_rate"]
    assert (alarms.value, alarms.n) == (0.0, 40)
    # Wilson's interval of 0 of 40 with Student's quantile, not of 0 of 440.
    square = stats.t.ppf(0.975, 39) ** 2
    assert alarms.high == pytest.approx(square / (40 + square))
    assert overall["true_positive_rate"].n == 400
    assert overall["auc"].low == pytest.approx(40 / (40 + square))
    assert overall["tpr_at_fpr_0.01"].why == "40 negative samples; 100 are needed"


def test_one_class_and_unscored_rows_keep_what_is_defined():
    frame = pd.DataFrame({"true.t": [1] * 50, "score.t.yes": [0.5] * 48 + [np.nan] * 2})
    audited = audit_tables({"m": Predictions(frame, (ScoredTask("t", "binary", ("no", "yes")),))}, resamples=100)
    found = audited.models["m"].tasks["t"]
    assert found.unscored == 2
    assert found.overall["auc"].why == "only one class occurs: yes"
    assert found.overall["accuracy"].value == 1.0
    assert found.counted_as_errors["accuracy"].value == pytest.approx(48 / 50)


def test_multilabel_means_and_ordinal_distances():
    generator = np.random.default_rng(1)
    true = generator.integers(0, 2, (300, 3))
    score = np.clip(true * 0.3 + generator.random((300, 3)) * 0.7, 0, 1)
    frame = pd.DataFrame(
        {f"true.a.{k}": true[:, k] for k in range(3)} | {f"score.a.{k}": score[:, k] for k in range(3)}
    )
    age = generator.integers(0, 90, 300)
    frame["true.age"], frame["predicted.age"] = age, age + generator.normal(0, 4, 300)
    tasks = (ScoredTask("a", "multilabel", ("0", "1", "2")), ScoredTask("age", "ordinal"))
    found = audit_tables({"m": Predictions(frame, tasks)}, resamples=100).models["m"].tasks
    means = found["a"].overall
    balanced = [sklearn.balanced_accuracy_score(true[:, k], score[:, k] >= 0.5) for k in range(3)]
    precision = [sklearn.average_precision_score(true[:, k], score[:, k]) for k in range(3)]
    area = [sklearn.roc_auc_score(true[:, k], score[:, k]) for k in range(3)]
    assert means["auc"].value == pytest.approx(np.mean(area))
    assert means["balanced_accuracy"].value == pytest.approx(np.mean(balanced))
    assert means["average_precision"].value == pytest.approx(np.mean(precision))
    assert found["a"].attributes["1"].overall["balanced_accuracy"].value == pytest.approx(balanced[1])
    distance = np.abs(frame["predicted.age"] - age)
    assert found["age"].overall["mean_absolute_error"].value == pytest.approx(distance.mean())
    assert found["age"].overall["cumulative_score_5"].value == pytest.approx((distance <= 5).mean())
