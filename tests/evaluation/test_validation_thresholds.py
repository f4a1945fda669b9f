"""A threshold per level: chosen on validation, measured on test, marked as needing the group."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from simulated_tables import forged_predictions
from sklearn.metrics import balanced_accuracy_score

from auxface.evaluation import (
    LevelThresholds,
    TableError,
    audit_tables,
    choose_threshold,
    read_predictions,
    write_predictions,
    write_report,
)
from auxface.evaluation.header import parse_tasks


def shifted(seed):
    """Return scores that are shifted for one gender, so that one threshold performs differently by gender."""
    table = forged_predictions(n=3000, videos=300, seed=seed)
    score = table.frame["score.forged.forged"].to_numpy()
    male = (table.frame["group.gender"] == "Male").to_numpy()
    table.frame["score.forged.forged"] = np.where(male, score**3, score)
    return table


@pytest.fixture(scope="module")
def found():
    table, validation = shifted(0), shifted(1)
    return table, validation, audit_tables({"m": table}, validation={"m": validation}, resamples=100)


def test_level_thresholds_come_from_their_validation_rows(found):
    table, validation, audit = found
    own = audit.models["m"].tasks["forged"].group_thresholds["gender"]
    decided = np.zeros(len(table.frame))
    for level, threshold in own.thresholds.items():
        rows = validation.frame[validation.frame["group.gender"] == level]
        assert threshold == choose_threshold(rows["true.forged"], rows["score.forged.forged"])
        here = (table.frame["group.gender"] == level).to_numpy()
        decided[here] = table.frame["score.forged.forged"][here] >= threshold
    expected = balanced_accuracy_score(table.frame["true.forged"], decided)
    assert own.overall["balanced_accuracy"].value == pytest.approx(expected)


def test_level_thresholds_narrow_the_gap_and_need_the_group(found, tmp_path):
    task = found[2].models["m"].tasks["forged"]
    own, name = task.group_thresholds["gender"], "equalized_odds_difference"
    assert own.gaps[name].value < task.gaps["gender"][name].value / 2
    assert task.to_dict()["group_thresholds"]["gender"]["needs_group_at_test_time"] is True
    write_report(found[2], tmp_path, title="t")
    page = (tmp_path / "report.html").read_text()
    assert "require the group of every sample at test time" in page
    assert "csv/group_thresholds.csv" in page


def test_stored_level_thresholds_are_used_and_noted(found, tmp_path):
    table, _, audit = found
    own = audit.models["m"].tasks["forged"].group_thresholds["gender"]
    task = table.task("forged")
    by_level = LevelThresholds("gender", {task.classes[1]: own.thresholds})
    carrying = replace(table, tasks=(replace(task, level_thresholds=by_level),))
    write_predictions(carrying, tmp_path / "t.parquet")
    read = read_predictions(tmp_path / "t.parquet")
    assert read.tasks == carrying.tasks
    again = audit_tables({"m": read}, validation={"m": found[1]}, resamples=100)
    result = again.models["m"].tasks["forged"]
    for name, estimate in own.overall.items():
        assert result.overall[name] == estimate
    gap, expected = (part["equalized_odds_difference"] for part in (result.gaps["gender"], own.gaps))
    # Only gaps at the stored thresholds have the smallest gap that the table could have shown.
    assert {name: gap.more[name] for name in expected.more} == expected.more
    assert replace(gap, more=expected.more) == expected
    assert result.overall["auc"] == audit.models["m"].tasks["forged"].overall["auc"]
    assert result.group_thresholds == {}
    assert result.to_dict()["level_thresholds"] == by_level.to_dict()
    assert any("the gender of every sample at test time" in note for note in again.notes)


def test_rows_without_a_level_use_the_common_threshold():
    table = shifted(0)
    task = replace(table.task("forged"), level_thresholds=LevelThresholds("gender", {"forged": {"Male": 0.0}}))
    table.frame["group.gender"] = np.where(np.arange(3000) < 1500, "Male", None)
    alone = audit_tables({"m": replace(table, tasks=(task,))}, resamples=50).models["m"].tasks["forged"]
    score = table.frame["score.forged.forged"]
    expected = ((np.arange(3000) < 1500) | (score >= task.threshold("forged"))).mean()
    assert alone.overall["selection_rate"].value == pytest.approx(expected)


@pytest.mark.parametrize("entry", [3, {"group": "g"}, {"group": "g", "thresholds": {"forged": {"a": 2}}},
                                   {"group": "g", "thresholds": {"forged": 0.5}}])  # fmt: skip
def test_invalid_level_thresholds_are_refused(entry):
    task = {"kind": "binary", "classes": ["real", "forged"], "level_thresholds": entry}
    with pytest.raises(TableError, match="forged"):
        parse_tasks({"tasks": {"forged": task}}, Path("t.parquet"))


def test_a_level_rare_in_validation_keeps_the_common_threshold():
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
