"""What a reader is told about a table: mixed percent signs, unused groups, kinds that do not fit, damaged files."""

import numpy as np
import pandas as pd
import pytest

from auxface.cli.audit import print_audit
from auxface.errors import InputError
from auxface.evaluation import TableError, read_predictions, write_report
from auxface.evaluation.audit import audit
from auxface.evaluation.columns import Columns
from auxface.evaluation.gate import failed_conditions, parse_condition
from auxface.evaluation.report.training_panels import training_curves


def frame(n=80):
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "y_true": np.tile([0, 1], n // 2),
            "y_score": generator.random(n).round(4),
            "sex": np.tile(list("FFMM"), n // 4),
        }
    )


def test_a_note_names_values_with_a_percent_sign_among_others():
    table = frame().astype({"y_score": str})
    table.loc[3, "y_score"] = "0.5%"
    read = read_predictions(table)
    assert read.frame["score.y_true.1"][3] == 0.005
    (note,) = [one for one in read.notes if "percent" in one]
    assert "1 of 80 values has a percent sign, such as '0.5%'" in note
    table["y_score"] = [f"{value}%" for value in range(80)]
    assert not any("percent" in one for one in read_predictions(table).notes)


@pytest.mark.parametrize("labels", [("0", "1"), ("real", "fake")])
def test_a_note_counts_rows_without_a_label(labels, tmp_path):
    table = frame().assign(y_true=np.array(labels, dtype=object)[frame()["y_true"]])
    table.loc[:6, "y_true"] = [None, "", " ", None, None, "?", "?"]
    table.to_csv(tmp_path / "t.csv", index=False)
    notes = read_predictions(tmp_path / "t.csv", Columns(positive=labels[1])).notes
    assert "y_true: 5 rows without a label are treated as unlabeled." in notes
    assert "y_true: 2 rows with the label '?' are treated as unlabeled." in notes
    frame().to_csv(tmp_path / "t.csv", index=False)
    assert not any("unlabeled" in note for note in read_predictions(tmp_path / "t.csv").notes)


def test_one_note_counts_the_empty_labels_of_attributes():
    table = pd.DataFrame({"true.a.x": [0, None, 1], "true.a.y": [None, None, 1], "score.a.x": 0.5, "score.a.y": 0.5})
    notes = [note for note in read_predictions(table).notes if "unlabeled" in note]
    assert notes == ["a: 3 empty labels of attributes are treated as unlabeled."]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.arange(80), "it has 80 levels, and at most 50 are recognized"),
        (np.full(80, 7), "it has only 1 level"),
        (np.arange(80) % 3 + 0.5, "its numbers are not integers"),
    ],
)
def test_a_note_says_why_a_group_column_is_not_used(values, why):
    notes = read_predictions(frame().assign(age=values)).notes
    assert f"Column 'age' was not used as a group: {why}. To use it: --group age." in notes


@pytest.mark.parametrize(
    ("kind", "message"),
    [("ordinal", "--kind ordinal needs predicted numbers"), ("verification", "--kind verification needs one column")],
)
def test_a_kind_that_does_not_fit_the_columns_is_refused(kind, message):
    table = frame().rename(columns={"y_true": "true.forged", "y_score": "score.forged.forged"})
    with pytest.raises(InputError, match=f"{message}.*'score.forged.forged' is the score of a class"):
        audit(table, kind=kind)


def test_a_damaged_excel_file_is_no_text(tmp_path):
    (tmp_path / "a.xlsx").write_bytes(b"\x00\x00\x03\x04\x14\x00,a,b\n1,2,3\n" * 20)
    with pytest.raises(TableError, match=r"a\.xlsx: not an Excel file, or corrupt"):
        read_predictions(tmp_path / "a.xlsx")
    # A table of text with this suffix is read.
    frame().to_csv(tmp_path / "b.xlsx", index=False)
    assert len(read_predictions(tmp_path / "b.xlsx").frame) == 80


def test_a_wrong_key_of_a_condition_is_named_with_its_place():
    report = {"tasks": {"forged": {"overall": {"auc": {"value": 0.5}}}}}
    with pytest.raises(InputError, match=r"--fail-if: the report has no key 'a'; expected one of tasks"):
        failed_conditions(report, [parse_condition("a > 1")])
    with pytest.raises(InputError, match=r"no key 'overal' below 'tasks.forged' \(did you mean 'overall'\?\)"):
        failed_conditions(report, [parse_condition("tasks.forged.overal.auc.value > 1")])


@pytest.mark.parametrize(("weaker", "verdict"), [(0.4, "this is significant"), (0.0, "this is not significant")])
def test_the_terminal_says_whether_the_widest_gap_is_significant(weaker, verdict, tmp_path, capsys):
    generator = np.random.default_rng(1)
    sex, true = np.tile(list("FM"), 300), generator.integers(0, 2, 600)
    right = generator.random(600) < 0.9 - weaker * (sex == "F")
    table = pd.DataFrame({"true.t": true, "score.t": np.where(right == (true == 1), 0.9, 0.1), "group.sex": sex})
    print_audit(audit(table, resamples=200), tmp_path / "report.html", as_json=False)
    (line,) = [one for one in capsys.readouterr().out.splitlines() if "widest gap" in one]
    assert verdict in line
    assert " points (sex:" in line


def test_the_terminal_says_why_a_group_has_no_gap(tmp_path, capsys):
    true = np.tile(["cat", "dog", "owl"], 60)
    table = pd.DataFrame({"true.pet": true, "predicted.pet": np.roll(true, 40), "group.kind": true})
    print_audit(audit(table, resamples=100), tmp_path / "report.html", as_json=False)
    text = capsys.readouterr().out
    assert "no gap in accuracy for kind: each level has only one class, so a gap would compare classes" in text
    assert "significant" not in text


def test_a_loss_that_is_the_whole_loss_is_drawn_once():
    log = pd.DataFrame({"epoch": [1, 2], "primary.t": [0.6, 0.5], "loss": [0.6, 0.5], "val.accuracy": [0.7, 0.8]})
    assert len(training_curves({"m": log}, ["m"])) == 2
    assert len(training_curves({"m": log.assign(loss=[0.9, 0.8])}, ["m"])) == 3


def test_results_without_a_commit_have_a_page(tmp_path):
    found = audit(frame(), resamples=100)
    found.method["measured_by"] = {"versions": {"auxface": "1"}}
    assert "with auxface 1." in write_report(found, tmp_path, title="x").read_text()


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (["a"] * 8, "forms no segments: it has one value"),
        ([None] * 8, "forms no segments: it has no values"),
        (["0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "dark"], "counts as text, since 10 of its 80 values"),
    ],
)
def test_a_property_that_is_not_searched_as_meant_is_noted(values, note):
    table = frame().assign(light=values * 10)
    assert any(
        f"Property 'light' {note}" in text for text in read_predictions(table, Columns(properties=("light",))).notes
    )


def test_a_label_is_refused_as_a_property():
    table = frame().rename(columns={"y_true": "true.forged", "y_score": "score.forged.forged"})
    with pytest.raises(InputError, match=r"--property true\.forged is already used as 'true\.forged'"):
        audit(table, properties=["true.forged"])
