"""Fewer labels and skewed training sets: nested subsets that leave validation and test rows unchanged."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auxface.data.manifest import Label, Manifest, read_manifest, write_manifest
from auxface.data.prepare.prepare import prepare
from auxface.errors import InputError
from auxface.studies.study import study
from auxface.studies.training_subsets import drop_labels, subsample_levels


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
def test_smaller_fractions_are_subsets_and_keep_every_class(one, other):
    less, more = (drop_labels(faces(), ["mood"], fraction, seed=0).table["mood"] for fraction in sorted((one, other)))
    training = faces().table["split"] == "train"
    assert set(less[training].dropna().index) <= set(more[training].dropna().index)
    assert set(less[training].dropna()) == {"glad", "sad"}


@pytest.mark.parametrize("task", ["mood", "forged", "attributes", "age"])
def test_the_fraction_1_keeps_every_label(task):
    full = faces()
    kept = drop_labels(full, [task], 1.0, seed=0).table
    assert all((kept[column] == full.table[column]).all() for column in full.table.columns)


@pytest.mark.parametrize("task", ["mood", "forged", "attributes", "age"])
def test_only_training_labels_are_dropped(task, tmp_path):
    full = faces()
    reduced = drop_labels(full, [task], 0.1, seed=0)
    column = full.labels[task].columns(task)[0]
    training = full.table["split"] == "train"
    assert reduced.table[column][training].notna().sum() == pytest.approx(30, abs=2)
    assert (reduced.table[column][~training] == full.table[column][~training]).all()
    assert reduced.table.drop(columns=column).equals(full.table.drop(columns=column))
    write_manifest(reduced, tmp_path / "reduced.parquet")
    assert (
        read_manifest(tmp_path / "reduced.parquet").table[column].notna().sum() == reduced.table[column].notna().sum()
    )


@pytest.mark.parametrize("task", ["mood", "forged", "attributes", "age"])
def test_each_seed_keeps_other_labels_of_one_number(task):
    column = faces().labels[task].columns(task)[0]
    kept = [drop_labels(faces(), [task], 0.1, seed).table[column].notna() for seed in (0, 0, 1)]
    assert kept[0].equals(kept[1])
    assert kept[0].sum() == kept[2].sum()
    # Validation and test rows keep all labels; of 300 training rows, two subsets of 30 share three by chance.
    training = faces().table["split"] == "train"
    assert (kept[0] & kept[2])[training].sum() < 12


@pytest.mark.parametrize("seed", [0, 1])
def test_every_tenth_of_an_ordinal_scale_keeps_its_fraction(seed):
    reduced = drop_labels(faces(), ["age"], 0.1, seed).table
    training = reduced["split"] == "train"
    tenths = (reduced["age"][training & reduced["age"].notna()] // 40).value_counts()
    assert set(tenths.index) == set(range(10))
    assert set(tenths) == {3}


def test_multilabel_subsets_keep_attribute_frequencies():
    rng = np.random.default_rng(4)
    manifest, names = faces(2000), [f"a{number}" for number in range(12)]
    frequency = np.linspace(0.02, 0.6, len(names))
    drawn = rng.random((2000, len(names))) < frequency
    table = manifest.table.assign(**{name: drawn[:, place].astype(int) for place, name in enumerate(names)})
    manifest = Manifest(table, {"traits": Label("multilabel", tuple(names))})
    training = table["split"] == "train"
    subsets = []
    for fraction in (0.02, 0.05, 0.2):
        kept = drop_labels(manifest, ["traits"], fraction, seed=1).table[names][training].dropna()
        subsets.append(set(kept.index))
        assert len(kept) == 1500 * fraction
        share = table[names][training].mean()
        deviation = (kept.mean() - share) / np.sqrt(share * (1 - share) / len(kept))
        # Its root mean square is 1 for a random subset.
        assert np.sqrt((deviation**2).mean()) < 0.35
    assert subsets[0] < subsets[1] < subsets[2]


def test_subsampling_a_level_changes_training_rows_only():
    full = faces()
    skewed = subsample_levels(full, {"side": {"left": 0.2}}, "faces").table
    count = skewed.groupby(["split", "side"]).size()
    before = full.table.groupby(["split", "side"]).size()
    assert count["train", "left"] == 0.2 * before["train", "left"]
    assert count["train", "right"] == before["train", "right"]
    assert count["test", "left"] == before["test", "left"]


@pytest.mark.parametrize(
    ("keep", "sentence"), [({"hand": {"left": 0.1}}, "column 'hand'"), ({"side": {"up": 0.1}}, "side 'up'")]
)
def test_unknown_columns_and_levels_are_refused(keep, sentence):
    with pytest.raises(InputError, match=sentence):
        subsample_levels(faces(), keep, "faces")


def test_a_study_adds_the_training_images_of_other_manifests(tmp_path):
    """Their labels are dropped, and a fifth of the data set's own stay; validation and test rows do not change."""
    for name, seed in (("named", 0), ("more", 1)):
        options = {"count": 60, "seed": seed, "size": 32, "dataset": name}
        prepare("synthetic", tmp_path / name, out=tmp_path / f"{name}.parquet", options=options)
    text = """
name: few
about: Do unlabeled images help?
data: [{name: faces, manifest: named.parquet, task: emotion, unlabeled: [more.parquet]}]
methods: {supervised: {recipe: supervised}}
settings: {encoder.image_size: 32, encoder.width: 32, encoder.depth: 1, encoder.heads: 2, train.epochs: 1}
label_fractions: [0.2]
labeled_per_batch: 0.5
seeds: [0]
compare: {baseline: supervised}
"""
    (tmp_path / "few.yaml").write_text(text)
    # Manifests are written before any run; within no time none starts.
    study(tmp_path / "few.yaml", tmp_path / "out", device="cpu", budget="0s", log=lambda line: None)
    table = read_manifest(tmp_path / "out" / "manifests" / "faces-0.2-seed0.parquet").table
    own, other = (table[table["dataset"] == name] for name in ("named", "more"))
    before = read_manifest(tmp_path / "named.parquet").table
    assert other["emotion"].isna().all()
    assert set(other["split"]) == {"train"}
    labeled = own["emotion"].notna()
    assert labeled[own["split"] == "train"].mean() < 0.5
    assert labeled[own["split"] != "train"].sum() == (before["split"] != "train").sum()


def test_several_tasks_keep_the_labels_of_the_same_rows():
    reduced = drop_labels(faces(), ["mood", "age", "attributes"], 0.1, seed=0)
    training = reduced.table["split"] == "train"
    kept = reduced.table["mood"][training].notna()
    assert 25 < kept.sum() < 35
    for column in ("age", *reduced.labels["attributes"].columns("attributes")):
        assert (reduced.table[column][training].notna() == kept).all()
    assert reduced.table["age"].dtype == "Float64"
