"""A user's own metric: one record that appears in report.json, on the page and in the CSVs, or a plain function."""

import json

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame
from simulated_tables import forged_predictions
from sklearn.metrics import fbeta_score, matthews_corrcoef, mean_absolute_error, roc_auc_score

from auxface.evaluation import (
    METRICS,
    Metric,
    audit_tables,
    mean_over_samples,
    metric_by_group,
    metric_from_function,
    register_metric,
    write_report,
)
from auxface.evaluation.groups import by_group
from auxface.evaluation.measure import measure
from auxface.evaluation.resampling import draw_resamples


@pytest.fixture
def registered():
    """Register metrics for one test."""
    before = dict(METRICS)
    yield register_metric
    METRICS.clear()
    METRICS.update(before)


MEAN_SCORE = Metric(
    "mean_score",
    "mean toy score",
    "the mean score of the positive class",
    ("binary",),
    mean_over_samples,
    lambda data: (data.score, None),
    unit="",
    units=None,
    compared=True,
    column={"binary": 45},
)


def test_one_record_reaches_json_page_and_csv(registered, tmp_path):
    registered(MEAN_SCORE)
    table = forged_predictions(n=600)
    write_report(audit_tables({"m": table}, resamples=50), tmp_path, title="t")
    report = json.loads((tmp_path / "report.json").read_text())["tasks"]["forged"]
    score = table.frame["score.forged.forged"]
    assert report["overall"]["mean_score"]["value"] == pytest.approx(score.mean())
    black = score[table.frame["group.race"] == "Black"].mean()
    assert report["groups"]["race"]["Black"]["mean_score"]["value"] == pytest.approx(black)
    assert report["gaps"]["race"]["mean_score_difference"]["by_chance"] > 0
    page = (tmp_path / "report.html").read_text()
    assert f"{score.mean():.3f}" in page
    assert page.index("mean toy score") < page.index("balanced accuracy</th>")
    models = pd.read_csv(tmp_path / "csv" / "models.csv")
    assert models.query("metric == 'mean_score' and unit == 'sample'")["value"].item() == pytest.approx(score.mean())
    assert "mean_score" in set(pd.read_csv(tmp_path / "csv" / "groups.csv")["metric"])


@pytest.mark.filterwarnings("ignore:Only one class")
def test_any_function_becomes_a_metric(registered):
    registered(metric_from_function("mcc", matthews_corrcoef, kinds=("binary",), bounds=(-1, 1)))
    registered(metric_from_function("own_auc", roc_auc_score, kinds=("binary",), of="score", bounds=(0, 1)))
    table = forged_predictions(n=400)
    found = audit_tables({"m": table}, resamples=100).models["m"].tasks["forged"]
    true, score = table.frame["true.forged"], table.frame["score.forged.forged"]
    mcc = found.overall["mcc"]
    assert mcc.value == pytest.approx(matthews_corrcoef(true, score >= 0.5))
    assert -1 <= mcc.low < mcc.value < mcc.high <= 1
    assert found.overall["own_auc"].value == pytest.approx(found.overall["auc"].value)
    assert "mcc_difference" in found.gaps["race"]
    assert "mcc_ratio" not in found.gaps["race"]


def test_a_function_receives_the_rows_of_each_resample(registered):
    registered(metric_from_function("own_accuracy", lambda true, predicted: (true == predicted).mean(), bounds=(0, 1)))
    table = forged_predictions(n=500)
    rows = np.arange(500)
    levels = measure(table, table.tasks[0], by_group(table, "race"), rows, draw_resamples(500, 50, 0)).levels
    for metrics in levels.values():
        assert metrics["own_accuracy"].values == pytest.approx(metrics["accuracy"].values)


def test_a_function_that_raises_leaves_a_reason(registered):
    def refuse(true, predicted):
        raise ValueError("needs three classes")

    registered(metric_from_function("refused", refuse))
    found = audit_tables({"m": forged_predictions(n=100)}, resamples=50).models["m"].tasks["forged"]
    assert found.overall["refused"].value is None
    assert found.overall["refused"].why == "refused is undefined: needs three classes"


def test_names_of_built_in_metrics_are_refused(registered):
    with pytest.raises(ValueError, match="'auc' is a built-in metric"):
        registered(metric_from_function("auc", roc_auc_score))


def test_by_group_equals_fairlearn():
    table = forged_predictions(n=2000)
    true, predicted = table.frame["true.forged"], (table.frame["score.forged.forged"] >= 0.5).astype(int)
    race, video = table.frame["group.race"], table.frame["method"] + table.frame["video"]

    def f2(true, predicted):
        return fbeta_score(true, predicted, beta=2)

    found = metric_by_group(f2, true, predicted, group=race, cluster=video, bounds=(0, 1), resamples=100)
    theirs = MetricFrame(metrics=f2, y_true=true, y_pred=predicted, sensitive_features=race)
    assert found.overall.value == pytest.approx(theirs.overall)
    frame = found.to_frame()
    assert frame["value"].to_dict() == pytest.approx(theirs.by_group.to_dict())
    assert frame["n"].to_dict() == race.value_counts().to_dict()
    assert (found.difference.value, found.ratio.value) == pytest.approx((theirs.difference(), theirs.ratio()))
    assert found.worst.value == pytest.approx(theirs.group_min())
    assert (frame["low"] < frame["value"]).all()
    assert frame["clusters"].sum() == video.nunique()


def test_by_group_of_numbers_where_lower_is_better():
    generator = np.random.default_rng(0)
    age, group = generator.integers(0, 80, 300), np.array(["a", "b", "few"])[np.repeat([0, 1, 2], [150, 148, 2])]
    guess = age + generator.normal(0, 2, 300) + 3 * (group == "b")
    found = metric_by_group(mean_absolute_error, age, guess, group=group, higher_is_better=False, resamples=100)
    assert found.difference.more["worst"] == "b"
    assert found.worst.value == found.levels["b"].value
    assert found.levels["few"].why == "only 2 clusters, fewer than 3"
    with pytest.raises(ValueError, match="equal lengths"):
        metric_by_group(mean_absolute_error, age[:10], guess, group=group)
