"""A threshold per level: chosen on validation, measured on test, marked as needing the group."""

import numpy as np
import pytest
from made import forged_predictions
from sklearn.metrics import balanced_accuracy_score

from auxface.evaluation import audit_tables, choose_threshold, write_report


def shifted(seed):
    """Scores of one gender are shifted, so that one threshold serves the genders unlike."""
    table = forged_predictions(n=3000, videos=300, seed=seed)
    score = table.frame["score.forged.forged"].to_numpy()
    male = (table.frame["group.gender"] == "Male").to_numpy()
    table.frame["score.forged.forged"] = np.where(male, score**3, score)
    return table


@pytest.fixture(scope="module")
def found():
    table, validation = shifted(0), shifted(1)
    return table, validation, audit_tables({"m": table}, validation={"m": validation}, resamples=100)


def test_thresholds_are_the_rules_on_each_levels_validation_rows_and_figures_are_sklearns(found):
    table, validation, audit = found
    own = audit.models["m"].tasks["forged"].group_thresholds["gender"]
    decided = np.zeros(len(table.frame))
    for level, threshold in own.thresholds.items():
        rows = validation.frame[validation.frame["group.gender"] == level]
        assert threshold == choose_threshold(rows["true.forged"], rows["score.forged.forged"])
        here = (table.frame["group.gender"] == level).to_numpy()
        decided[here] = table.frame["score.forged.forged"][here] >= threshold
    wanted = balanced_accuracy_score(table.frame["true.forged"], decided)
    assert own.overall["balanced_accuracy"].value == pytest.approx(wanted)


def test_they_narrow_the_gap_that_one_threshold_makes_and_say_what_they_need(found, tmp_path):
    task = found[2].models["m"].tasks["forged"]
    own, name = task.group_thresholds["gender"], "equalized_odds_difference"
    assert own.gaps[name].value < task.gaps["gender"][name].value / 2
    assert task.to_dict()["group_thresholds"]["gender"]["needs_group_at_test_time"] is True
    write_report(found[2], tmp_path, title="t")
    page = (tmp_path / "report.html").read_text()
    assert "need the group of everybody who is judged, at test time" in page
    assert "csv/group_thresholds.csv" in page


def test_a_level_that_validation_hardly_knows_keeps_the_one_threshold():
    table, validation = shifted(0), shifted(1)
    validation.frame = validation.frame[
        (validation.frame["group.race"] != "Asian")
        & ((validation.frame["group.race"] != "Black") | (np.arange(3000) < 60))
    ]
    own = audit_tables({"m": table}, validation={"m": validation}, resamples=50).models["m"].tasks["forged"]
    kept = own.group_thresholds["race"].kept
    assert set(own.group_thresholds["race"].thresholds) == {"Indian", "White"}
    assert kept["Asian"] == "not in the validation table"
    assert "fewer than 30" in kept["Black"]
