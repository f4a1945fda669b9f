"""Merged manifests: every row keeps its own labels, and no row gets one that it did not have."""

import os

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from auxface.data.manifest import Label, Manifest, check_manifest, read_manifest, write_manifest
from auxface.data.merge import merge_manifests
from auxface.errors import InputError

FACES = {"Smiling": [1, 0, None, 1], "Hat": [0, 1, 1, None], "person": [7, 7, 8, 9], "age_group": list("yyyo")}
ATTRIBUTES = {"attributes": Label("multilabel", ("Smiling", "Hat")), "person": Label("identity")}


def written(folder, name, columns, labels, groups=(), splits=("train", "train", "val", "test"), **given):
    (folder / name / "images").mkdir(parents=True)
    table = pd.DataFrame({"path": [f"images/{row}.png" for row in range(4)], "split": splits})
    key = {"source": given.pop("sources", [f"s{row}" for row in range(4)]), "frame": given.pop("frame", 0)}
    table = table.assign(dataset=given.pop("dataset", name), video="", method="", **key, **columns)
    for row, path in enumerate(table["path"]):
        Image.fromarray(np.full((8, 8, 3), 16 * row + len(name), np.uint8)).save(folder / name / path)
    write_manifest(Manifest(table, labels, groups, **given), folder / name / "m.parquet")
    return folder / name / "m.parquet"


@pytest.fixture
def celeba(tmp_path):
    return written(tmp_path, "celeba", FACES, ATTRIBUTES, ("age_group",))


@pytest.fixture
def utk(tmp_path):
    columns = {"gender": ["f", "m", None, "f"], "age": [3.0, 40.0, 8.0, 21.0], "age_group": list("abba")}
    labels = {"gender": Label("class", ("f", "m")), "age": Label("ordinal"), "age_group": Label("class", ("a", "b"))}
    return written(tmp_path, "utk", columns, labels, ("age_group", "gender"))


@pytest.mark.parametrize("out", ["all.parquet", "all.csv", "below/it/all.parquet"])
def test_every_row_keeps_its_labels_and_its_file(tmp_path, celeba, utk, out):
    (tmp_path / "below" / "it").mkdir(parents=True)
    merged = merge_manifests([celeba, utk], tmp_path / out)
    again = read_manifest(tmp_path / out)
    assert list(again.labels) == ["attributes", "person", "gender", "age", "age_group"]
    assert again.groups == ("age_group", "gender")
    first, second = again.table[:4], again.table[4:]
    for part, path in ((first, celeba), (second, utk)):
        before = read_manifest(path)
        for label in before.labels:
            for column in before.labels[label].columns(label):
                old, new = before.table[column], part[column]
                # A CSV stores identities as text.
                kind = str if label == "person" else lambda value: value
                assert [pd.isna(v) or kind(v) for v in new] == [pd.isna(v) or kind(v) for v in old]
        assert list(part["dataset"]) == list(before.table["dataset"])
    assert second[["Smiling", "Hat", "person"]].isna().all(axis=None)
    assert first[["gender", "age"]].isna().all(axis=None)
    assert merged.known_labels == {"attributes": 4, "person": 4, "gender": 3, "age": 4, "age_group": 4}
    expected = read_manifest(celeba).paths() + read_manifest(utk).paths()
    assert all(os.path.samefile(one, other) for one, other in zip(again.paths(), expected, strict=True))
    assert all(path.is_absolute() == out.startswith("below") for path in map(type(tmp_path), again.table["path"]))


def test_a_group_value_never_becomes_a_label(tmp_path, celeba, utk):
    merged = merge_manifests([celeba, utk], tmp_path / "all.parquet")
    assert merged.excluded_groups == {str(celeba): ("age_group",)}
    assert merged.manifest.table["age_group"][:4].isna().all()


def test_people_of_two_data_sets_are_distinct(tmp_path, celeba):
    other = written(tmp_path, "lfw", {"person": ["7", "x", "x", None]}, {"person": Label("identity")})
    people = merge_manifests([celeba, other], tmp_path / "all.parquet").manifest.table["person"]
    assert people[:4].tolist() == ["celeba/7", "celeba/7", "celeba/8", "celeba/9"]
    assert people[4:7].tolist() == ["lfw/7", "lfw/x", "lfw/x"]
    assert pd.isna(people[7])


def test_a_merge_with_a_merged_manifest_is_valid(tmp_path, celeba, utk):
    merge_manifests([celeba, utk], tmp_path / "two.parquet")
    other = written(tmp_path, "lfw", {"race": [1, 2, 2, 1]}, {}, ("race",))
    manifest = merge_manifests([tmp_path / "two.parquet", other], tmp_path / "three.parquet").manifest
    check_manifest(manifest, "three")
    assert len(manifest.table) == 12
    assert manifest.table["race"][8:].tolist() == [1, 2, 2, 1]


@pytest.mark.parametrize(
    ("columns", "labels", "given", "message"),
    [
        ({"age": list("abab")}, {"age": Label("class", ("a", "b"))}, {}, r"'age' is class, but ordinal in .*utk"),
        ({"gender": list("fmdd")}, {"gender": Label("class", tuple("fmd"))}, {}, r"classes f, m, d, but f, m in .*utk"),
        ({"age": [0, 1, 0, 1]}, {"ages": Label("multilabel", ("age",))}, {}, r"column 'age' belongs to label 'ages'"),
        ({}, {}, {"crop": {"cut": "align", "size": 112}}, r"cropped with cut align, size 112, .* with no crop"),
        ({}, {}, {"dataset": "utk"}, r"row 1 has the key of .*utk/m.parquet: row 1 \(dataset=utk, .*source=s0"),
        (
            {},
            {},
            {"dataset": "utk", "sources": ["s3", "t1", "t2", "t3"], "frame": 5},
            r"row 1 has source 's3' of utk in split train, and .*utk/m.parquet: row 4 has it in split test",
        ),
    ],
)
def test_contradicting_manifests_are_refused(tmp_path, utk, columns, labels, given, message):
    other = written(tmp_path, "other", columns, labels, **given)
    with pytest.raises(InputError, match=message):
        merge_manifests([utk, other], tmp_path / "all.parquet")
    assert not (tmp_path / "all.parquet").exists()


def test_one_file_in_two_manifests_is_refused(tmp_path, utk):
    manifest = read_manifest(utk)
    write_manifest(Manifest(manifest.table.assign(dataset="copy"), {}), utk.with_name("copy.parquet"))
    with pytest.raises(InputError, match=r"copy.parquet: row 1 has the file of .*m.parquet: row 1 \(path="):
        merge_manifests([utk, utk.with_name("copy.parquet")], tmp_path / "all.parquet")


def test_binary_classes_in_another_order_are_refused(tmp_path):
    columns = {"forged": [0, 1, 1, 0]}
    one = written(tmp_path, "one", columns, {"forged": Label("binary", ("real", "fake"))})
    two = written(tmp_path, "two", columns, {"forged": Label("binary", ("fake", "real"))})
    with pytest.raises(InputError, match=r"classes fake, real, but real, fake in .*one"):
        merge_manifests([one, two], tmp_path / "all.parquet")


def test_wrong_inputs_and_outputs_are_refused(tmp_path, utk, celeba):
    with pytest.raises(InputError, match="needs two or more"):
        merge_manifests([utk], tmp_path / "all.parquet")
    with pytest.raises(InputError, match="is an input of the merge"):
        merge_manifests([utk, celeba], utk, overwrite=True)
    with pytest.raises(InputError, match=r"must end in \.parquet or \.csv"):
        merge_manifests([utk, celeba], tmp_path / "all")
    merge_manifests([utk, celeba], tmp_path / "all.parquet")
    with pytest.raises(InputError, match="already exists"):
        merge_manifests([utk, celeba], tmp_path / "all.parquet")
    merge_manifests([utk, celeba], tmp_path / "all.parquet", overwrite=True)
