"""Messages name the columns of the user's file; swapped columns and several score columns of one table."""

import numpy as np
import pandas as pd
import pytest

from auxface.errors import InputError
from auxface.evaluation import Columns, read_predictions
from auxface.evaluation.audit import audit


@pytest.fixture
def frame():
    generator = np.random.default_rng(0)
    fake = generator.integers(0, 2, 120)
    score = np.round(0.6 * fake + 0.4 * generator.random(120), 3)
    return pd.DataFrame({"fake": fake, "p": score, "other": generator.random(120).round(3), "sex": ["F", "M"] * 60})


def message(table, **options):
    with pytest.raises(InputError) as caught:
        audit(table, resamples=100, **options)
    assert "score.fake" not in str(caught.value)
    assert "true.fake" not in str(caught.value)
    return str(caught.value)


ONE = {"score": "p"}
BAD = [
    ("p", 7.0, ONE, "row 6 of 'p' holds 7, outside [0, 1] (1 row does)"),
    ("p", "x", ONE, "column 'p' must hold numbers in [0, 1]"),
    ("fake", 2, ONE, "'fake' holds '2'; expected 0 or 1"),
    ("fake", "maybe", ONE, "'fake' holds '0', '1' and 'maybe'"),
    ("sex", "x", {"score": "p", "predicted": "sex"}, "'sex' holds 'F'; expected the values of the truth"),
    ("p", 0.5, {"score_for": {"1": "p"}, "kind": "ordinal"}, "but 'p' is the score of a class"),
]


@pytest.mark.parametrize(("column", "value", "options", "expected"), BAD)
def test_errors_name_the_columns_of_the_file(frame, column, value, options, expected):
    frame = frame.astype({column: object})
    frame.loc[5, column] = value
    assert expected in message(frame, true="fake", **options)


def test_notes_name_the_columns_of_the_file(frame):
    frame = frame.astype({"p": str})
    frame.loc[3, "p"] = "50%"
    notes = read_predictions(frame, Columns(true="fake", score="p")).notes
    assert any(note.startswith("Column 'p': 1 of 120 values has a percent sign") for note in notes)


def test_one_column_cannot_be_label_and_score(frame):
    assert "column 'fake' is named by --true and by --score" in message(frame, true="fake", score="fake")


@pytest.mark.parametrize("labels", [(0, 1), ("real", "fake")])
def test_swapped_label_and_score_are_refused(frame, labels):
    frame = frame.assign(fake=np.array(labels, dtype=object)[frame["fake"]])
    assert "if they are swapped, use --true fake --score p" in message(frame, true="p", score="fake")


def test_numbers_on_a_scale_are_not_taken_for_swapped_columns(frame):
    found = audit(frame, true="p", score="other", resamples=100)
    assert found.models["table"].tasks["p"].task.kind == "ordinal"
    found = audit(frame, true="p", score="fake", kind="ordinal", resamples=100)
    assert found.models["table"].tasks["p"].task.kind == "ordinal"


def test_score_columns_of_one_table_are_compared(frame):
    found = audit(frame, true="fake", score=["p", "other"], groups=["sex"], resamples=100)
    assert list(found.models) == ["p", "other"]
    alone = audit(frame, true="fake", score="other", resamples=100).models["table"].tasks["fake"]
    assert found.models["other"].tasks["fake"].overall["auc"].value == alone.overall["auc"].value
    assert {(item.first, item.second) for item in found.comparisons} == {("p", "other")}
    assert not any("same order" in note or "not used: other" in note for note in found.notes)


def test_score_columns_have_names_and_share_a_validation_table(frame):
    found = audit(frame, true="fake", score=["p", "other"], names=["a", "b"], validation=[frame], resamples=100)
    assert list(found.models) == ["a", "b"]
    assert all(model.tasks["fake"].operating_points for model in found.models.values())


def test_score_columns_that_do_not_fit_are_refused(frame):
    several = {"true": "fake", "score": ["p", "other"]}
    assert "2 tables are given" in message([frame, frame], **several)
    assert "--predicted cannot be combined with 2 --score columns" in message(frame, predicted="sex", **several)
    assert "1 name for 2 score columns" in message(frame, names=["a"], **several)
    assert "--score p is given twice" in message(frame, true="fake", score=["p", "p"])


def test_an_ambiguous_score_suggests_to_compare_columns(frame):
    frame = frame.rename(columns={"p": "score_a", "other": "score_b"})
    assert "repeat --score to compare several models" in message(frame, true="fake")
