"""The contract of every layout: a valid manifest, equal in a second run, and an error for an incomplete folder."""

import inspect
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from layout_trees import MAKERS
from PIL import Image

from auxface.data.layouts import get_layout, layouts
from auxface.data.manifest import KEY, read_manifest
from auxface.data.prepare.prepare import prepare
from auxface.errors import InputError


def test_every_layout_has_a_test_folder():
    assert {name.split("-")[0] for name in MAKERS} | {"table", "tracks"} == set(layouts())


@pytest.mark.parametrize("name", MAKERS)
def test_a_layout_gives_the_same_valid_manifest_twice(name, tmp_path):
    tree = MAKERS[name](tmp_path / "data")
    layout = name.split("-")[0]
    output = tmp_path / "out.parquet"
    options = dict(tree.options)
    crops = tmp_path / "crops" if get_layout(layout).audio else None
    account = prepare(layout, tmp_path / "data", out=output, options=options, crops=crops)
    manifest = read_manifest(output)

    assert account["found"] == sum(account.values()) - account["found"]
    assert account["usable"] == len(manifest.table) == tree.total
    assert account["unreadable"] == account["no_face"] == 0
    splits = manifest.table["split"].value_counts().to_dict()
    assert splits | tree.official == splits
    assert set(splits) == ({"test"} if name == "lfw" else {"train", "val", "test"})
    assert not manifest.table.duplicated(list(KEY)).any()
    assert (manifest.table["dataset"] != "").all()
    assert all(path.is_file() for path in manifest.paths())
    assert manifest.labels
    for label, what in manifest.labels.items():
        assert set(what.columns(label)) <= set(manifest.table.columns)

    assert prepare(layout, tmp_path / "data", out=output, options=options, crops=crops, overwrite=True) == account
    assert read_manifest(output).hash == manifest.hash


@pytest.mark.parametrize("name", [name for name in MAKERS if not name.startswith("synthetic")])
def test_a_wrong_folder_is_refused_and_named(name, tmp_path):
    (tmp_path / "empty").mkdir()
    for root in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(InputError, match=root.name):
            prepare(name.split("-")[0], root, out=tmp_path / "out.parquet", crops=tmp_path / "crops")
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("name", MAKERS)
def test_an_incomplete_folder_is_refused_naming_the_gap(name, tmp_path):
    tree = MAKERS[name](tmp_path / "data")
    for needed in tree.needed:
        moved = tmp_path / "moved"
        shutil.move(tmp_path / "data" / needed, moved)
        with pytest.raises(InputError) as caught:
            get_layout(name.split("-")[0]).read(tmp_path / "data", **dict(tree.options))
        assert needed.split("/")[-1] in str(caught.value)
        assert "\n" not in str(caught.value)
        shutil.move(moved, tmp_path / "data" / needed)


@pytest.mark.parametrize("name", sorted(layouts()))
def test_options_equal_the_keywords_of_read(name):
    layout = get_layout(name)
    keywords = {
        key: parameter.default
        for key, parameter in inspect.signature(layout.read).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    assert keywords == {option.name: option.default for option in layout.options}
    assert layout.summary
    assert all(option.help for option in layout.options)


def test_unknown_names_suggest_the_nearest(tmp_path):
    with pytest.raises(InputError, match="did you mean 'celeba'"):
        prepare("celebA", tmp_path, out=tmp_path / "x.parquet")
    with pytest.raises(InputError, match="did you mean 'classes'"):
        prepare("folder", tmp_path, out=tmp_path / "x.parquet", options={"clases": "a,b"})
    with pytest.raises(InputError, match="c23"):
        prepare("faceforensics", tmp_path, out=tmp_path / "x.parquet", options={"compression": "c24"})


def test_names_that_are_not_utf8_are_listed_with_a_reason(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / "faces" / folder).mkdir(parents=True)
        for number in range(8):
            pixels = np.random.default_rng(number + 8 * (folder == "b")).integers(0, 255, (40, 40, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "faces" / folder / f"{number}.png")
    (tmp_path / "faces" / "a" / "0.png").rename(os.fsdecode(os.fsencode(tmp_path / "faces" / "a") + b"/bad\xff.png"))
    prepare("folder", tmp_path / "faces", out=tmp_path / "x.parquet")
    assert len(read_manifest(tmp_path / "x.parquet").table) == 15
    rejected = pd.read_csv(tmp_path / "x.rejected.csv")
    assert "bad\\xff.png" in rejected["path"].item()
    assert "not UTF-8" in rejected["reason"].item()
