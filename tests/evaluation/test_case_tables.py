"""Tables as people have them (../shared/cases/tables): the figures of the plain table, or one sentence to act on."""

import json
from pathlib import Path

import pandas as pd
import pytest

from auxface.errors import InputError
from auxface.evaluation.audit import audit
from auxface.evaluation.metrics import METRICS

MEASURED = ("accuracy", "auc", "selection_rate", "false_positive_rate")
# File to the options with which it is read, and the note that it must have.
LIKE_PLAIN = {
    "01_semicolon_decimalcomma.csv": ({}, ""),
    "03_decimalcomma_quoted.csv": ({}, ""),
    "06_utf16.csv": ({}, ""),
    "07_tab.tsv": ({}, ""),
    "09_gz.csv.gz": ({}, ""),
    "11.jsonl": ({}, ""),
    "12_spaces_header.csv": ({}, ""),
    "13_string_labels_binary.csv": ({"positive": "fake face"}, ""),
    "17_truefalse_strings.parquet": ({"positive": "true"}, ""),
    "20_yn.csv": ({"positive": "y"}, ""),
    "21_prob0_prob1.csv": ({}, "Recognized: truth 'y_true', scores 'prob_0', 'prob_1', groups 'sex', 'race'."),
    "22_ytrue_ypred_yscore.csv": ({}, "Recognized: truth 'y_true', score 'y_score', decisions 'y_pred'"),
    "23_deepfakebench.csv": ({}, "videos the folders of 'video_path'"),
    "24_aiface.csv": ({}, "samples 'Image Path'"),
    "27_score_and_predicted.csv": ({}, ""),
    "45_csvinjection_dollar_newline.csv": ({}, ""),
    "55_dirty_levels.csv": ({}, "--clean-levels merges them"),
    "56_weights.csv": ({}, "Columns that were not used: weight."),
    "57_cosine.csv": ({"kind": "verification"}, "false match rate"),
    "72_decimal.parquet": ({}, ""),
}
REFUSED = {
    "13_string_labels_binary.csv": "--positive 'fake face' or --positive 'real face'",
    "17_truefalse_strings.parquet": "--positive false or --positive true",
    "20_yn.csv": "'n' and 'y'.*--positive n or --positive y",
    "33_inf.csv": "row 6 of 'score.forged.forged' holds inf",
    "48_two_splits.csv": r"\(test, val\); choose one with --split",
    "57_cosine.csv": "--kind verification",
}


@pytest.fixture(scope="module")
def tables(shared_data) -> Path:
    return shared_data.parent / "cases" / "tables"


def measured(path, **options):
    """Return the audit of a table, and the value of each metric of its only task."""
    found = audit(path, resamples=100, **options)
    (model,) = found.models.values()
    (task,) = model.tasks.values()
    return found, task, {name: estimate.value for name, estimate in task.overall.items()}


@pytest.fixture(scope="module")
def plain(tables):
    return measured(tables / "plain.csv")[2]


@pytest.mark.parametrize("name", LIKE_PLAIN)
def test_a_table_has_the_figures_of_the_plain_one(tables, plain, name):
    options, note = LIKE_PLAIN[name]
    found, _, values = measured(tables / name, **options)
    assert {one: values[one] for one in MEASURED} == pytest.approx({one: plain[one] for one in MEASURED})
    assert any(note in one for one in found.notes) or not note


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_that_is_refused_says_what_to_do(tables, name):
    with pytest.raises(InputError, match=REFUSED[name]):
        audit(tables / name, resamples=100)


def test_columns_can_be_named_in_any_table(tables, plain):
    options = {"true": "Target", "score": "pred", "groups": ["Ground Truth Gender"], "cluster": "Image Path"}
    found, task, values = measured(tables / "24_aiface.csv", **options)
    assert values["auc"] == pytest.approx(plain["auc"])
    assert (list(task.groups), found.method["clusters"]) == (["Ground Truth Gender"], ["cluster"])


def test_decisions_without_scores_have_no_ranking(tables, plain):
    _, task, values = measured(tables / "26_hard_predicted.csv")
    assert task.task.kind == "binary"
    assert values["accuracy"] == pytest.approx(plain["accuracy"])
    assert not {name for name in values if METRICS[name].needs_scores}
    _, task, values = measured(tables / "62_class_hard.csv")
    assert (task.task.kind, len(task.task.classes)) == ("class", 7)
    truth = pd.read_csv(tables / "62_class_hard.csv")
    assert values["accuracy"] == pytest.approx((truth["true.emotion"] == truth["predicted.emotion"]).mean())


def test_class_numbers_are_classes_and_an_unknown_is_unlabeled(tables):
    assert measured(tables / "60_class_int_cols.csv")[1].task.kind == "class"
    found, task, _ = measured(tables / "61_class_int_cols_one_unknown.csv")
    assert (task.task.kind, task.unlabeled) == ("class", 1)
    assert any("1 row has the class '7'" in note for note in found.notes)


def test_one_class_keeps_what_one_class_defines(tables):
    _, task, values = measured(tables / "39_all_negative.csv")
    assert values["auc"] is values["balanced_accuracy"] is None
    for level in task.groups["race"].values():
        for name in ("accuracy", "selection_rate", "false_positive_rate"):
            assert level[name].value is not None
            assert level[name].low is not None


def test_duplicates_are_counted_and_levels_joined(tables):
    found, _, _ = measured(tables / "34_duplicates_nokey.csv")
    assert any(note.startswith("50 rows repeat an earlier row in every used column") for note in found.notes)
    _, task, _ = measured(tables / "55_dirty_levels.csv", clean_levels=True)
    assert list(task.groups["sex"]) == ["female", "male"]


def test_weights_are_used_when_they_are_named(tables):
    frame = pd.read_csv(tables / "56_weights.csv")
    hit = (frame["score.forged.forged"] >= 0.5) == frame["true.forged"]
    _, _, values = measured(tables / "56_weights.csv", weight="weight")
    assert values["accuracy"] == pytest.approx((hit * frame["weight"]).sum() / frame["weight"].sum())


@pytest.mark.parametrize("name", ["44_xss.csv", "45_csvinjection_dollar_newline.csv"])
def test_names_cannot_inject_markup_or_formulas(tables, tmp_path, name):
    audit(tables / name, tmp_path / "x", resamples=100)
    page = (tmp_path / "x" / "report.html").read_text()
    # The page has one script of its own, which its policy names by hash.
    assert page.count("<script") == 1
    assert "<img src=x" not in page
    json.loads((tmp_path / "x" / "report.json").read_text())
    for path in (tmp_path / "x" / "csv").glob("*.csv"):
        frame = pd.read_csv(path, dtype=object, keep_default_na=False)
        for column in frame:
            texts = frame[column][pd.to_numeric(frame[column], errors="coerce").isna()]
            assert not texts.str.lstrip().str.startswith(("=", "+", "-", "@")).any(), (path.name, column)
