"""Fewer labels and skewed training sets: nested, the same everywhere, and nothing else touched."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auxface.data.manifest import Label, Manifest, read_manifest, write_manifest
from auxface.errors import InputError
from auxface.studies.thinning import forget_labels, skew


def faces(n=400) -> Manifest:
    at = pd.Series(range(n))
    table = pd.DataFrame({"path": [f"{name}.png" for name in at], "dataset": "made", "source": at.map("p{}".format)})
    table = table.assign(video="", frame=0, method="", split=["train", "train", "train", "test"] * (n // 4))
    table["mood"] = ["glad", "sad", "glad", "glad", "glad"] * (n // 5)
    table["forged"] = [0, 1] * (n // 2)
    table["hat"] = [1, 0] * (n // 2)
    table["age"] = at.astype(float)
    table["side"] = ["left", "left", "right", "left"] * (n // 4)
    labels = {
        "mood": Label("class", ("glad", "sad")),
        "forged": Label("binary", ("real", "fake")),
        "attributes": Label("multilabel", ("hat",)),
        "age": Label("ordinal"),
    }
    return Manifest(table, labels, ("side",))


@settings(max_examples=15, deadline=None)
@given(st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_smaller_share_is_part_of_a_larger_one_and_every_class_keeps_some(one, other):
    less, more = (forget_labels(faces(), "mood", share).table["mood"] for share in sorted((one, other)))
    training = faces().table["split"] == "train"
    assert set(less[training].dropna().index) <= set(more[training].dropna().index)
    assert set(less[training].dropna()) == {"glad", "sad"}


@pytest.mark.parametrize("task", ["mood", "forged", "attributes", "age"])
def test_known_labels_are_a_share_of_training_and_the_rest_is_untouched(task, tmp_path):
    whole = faces()
    thin = forget_labels(whole, task, 0.1)
    column = whole.labels[task].columns(task)[0]
    training = whole.table["split"] == "train"
    assert thin.table[column][training].notna().sum() == pytest.approx(30, abs=2)
    assert (thin.table[column][~training] == whole.table[column][~training]).all()
    assert thin.table.drop(columns=column).equals(whole.table.drop(columns=column))
    write_manifest(thin, tmp_path / "thin.parquet")
    assert read_manifest(tmp_path / "thin.parquet").table[column].notna().sum() == thin.table[column].notna().sum()


def test_a_skewed_training_set_loses_what_it_is_told_and_no_test_row():
    whole = faces()
    skewed = skew(whole, {"side": {"left": 0.2}}, "faces").table
    count = skewed.groupby(["split", "side"]).size()
    before = whole.table.groupby(["split", "side"]).size()
    assert count["train", "left"] == 0.2 * before["train", "left"]
    assert count["train", "right"] == before["train", "right"]
    assert count["test", "left"] == before["test", "left"]


@pytest.mark.parametrize(
    ("keep", "sentence"), [({"hand": {"left": 0.1}}, "column 'hand'"), ({"side": {"up": 0.1}}, "side 'up'")]
)
def test_what_the_manifest_does_not_have(keep, sentence):
    with pytest.raises(InputError, match=sentence):
        skew(faces(), keep, "faces")
