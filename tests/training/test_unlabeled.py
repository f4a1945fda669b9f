"""Unlabeled training images of other manifests."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.torch import load_file

from auxface.data.manifest import Label, Manifest, read_manifest, write_manifest
from auxface.data.merge import merge_manifests
from auxface.errors import InputError
from auxface.recipe import load_recipe
from auxface.training.checkpoint import read_record
from auxface.training.train import check, resume, train
from auxface.training.unlabeled import add_unlabeled, read_unlabeled

SMALL = (
    "encoder.image_size=32",
    "encoder.width=16",
    "encoder.depth=1",
    "encoder.heads=2",
    "auxiliary.decoder_width=16",
    "auxiliary.decoder_depth=1",
    "auxiliary.decoder_heads=2",
    "train.epochs=2",
    "train.batch_size=8",
    "train.precision=fp32",
    "train.labeled_per_batch=0.5",
    "tasks=[kind]",
)


def written(folder, name, rows, *, side=32, seed=0, **columns):
    """A manifest of random images; rows of one image in eight are val, and one in eight test."""
    (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"path": [f"{row}.png" for row in range(rows)], "dataset": name, "video": "", "method": ""})
    table["split"] = (["train"] * 6 + ["val", "test"]) * (rows // 8)
    table = table.assign(source=[f"s{row}" for row in range(rows)], frame=0, kind=list("ab") * (rows // 2))
    table = table.assign(where=list("aabb") * (rows // 4), **columns)
    for path in table["path"]:
        pixels = rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).save(folder / name / path)
    manifest = Manifest(table, {"kind": Label("class", ("a", "b"))}, ("where",))
    write_manifest(manifest, folder / name / "m.parquet")
    return folder / name / "m.parquet"


@pytest.fixture(scope="module")
def pools(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pools")
    return written(folder, "named", 24), written(folder, "more", 32, seed=1), written(folder, "third", 16, seed=2)


@pytest.fixture(scope="module")
def trained(pools, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    told = []
    saved = train(
        "l_ssat", pools[0], out, overrides=SMALL, device="cpu", unlabeled=[pools[1], pools[2]], warn=told.append
    )
    return out, saved, told


def test_labels_of_unlabeled_manifests_are_ignored(pools):
    manifest = read_manifest(pools[0])
    pooled = add_unlabeled("named", manifest, read_unlabeled(pools[1:]), load_recipe("l_ssat"))
    assert pooled.labels == manifest.labels
    assert pooled.table["kind"].notna().sum() == pooled.table["where"].notna().sum() == 24
    assert pooled.table["split"].value_counts().to_dict() == {"train": 18 + 24 + 12, "val": 3, "test": 3}
    assert pooled.table["kind"][:24].tolist() == manifest.table["kind"].tolist()
    assert all(path.is_file() for path in pooled.paths())
    assert add_unlabeled("named", manifest, {}, load_recipe("l_ssat")) is manifest


def test_a_run_records_its_unlabeled_manifests(pools, trained):
    out, saved, told = trained
    hashes = [read_manifest(path).hash for path in pools[1:]]
    assert json.loads((out / "run.json").read_text())["unlabeled"] == dict(
        zip(map(str, pools[1:]), hashes, strict=True)
    )
    assert saved.config.provenance["unlabeled_manifest_hashes"] == hashes
    assert saved.config.provenance["images"] == {"train": 54, "val": 3}
    assert saved.config.provenance["trained_on"] == ["more", "named", "third"]
    assert not any("duplicates" in text or "pixels" in text for text in told)
    assert not (out / "leaks.csv").exists()


def test_a_resumed_run_finds_the_same_images(pools, trained, tmp_path):
    out, _, _ = trained
    again = tmp_path / "run"
    shutil.copytree(out, again)
    # Back to the end of the first epoch: 36 unlabeled images, four in each step.
    shutil.rmtree(again / "checkpoint" / "000000018")
    (again / "model.safetensors").unlink()
    moved = tmp_path / "moved"
    shutil.copytree(pools[1].parent, moved)
    resume(again, device="cpu", unlabeled=[moved / "m.parquet", pools[2]])
    one, two = (load_file(folder / "checkpoint/000000018/model.safetensors") for folder in (out, again))
    assert all(one[name].equal(two[name]) for name in one)
    with pytest.raises(InputError, match="started with 2 manifests of unlabeled images, but --unlabeled names 1"):
        resume(again, device="cpu", unlabeled=[pools[1]])
    with pytest.raises(InputError, match=r"third.*not the manifest with which"):
        resume(again, device="cpu", unlabeled=[pools[2], pools[1]])
    assert len(read_record(again).unlabeled) == 2


def test_near_duplicates_of_test_images_are_listed(pools, tmp_path):
    more = written(tmp_path, "copies", 16, side=16, seed=3)
    named = pools[0].parent
    # Row 6 of the labeled manifest is a validation image, row 7 a test image.
    for place, row in ((0, 6), (1, 7), (6, 6)):
        shutil.copy(named / f"{row}.png", more.parent / f"{place}.png")
    told = []
    settings = [*SMALL, "train.epochs=1"]
    train("l_ssat", pools[0], tmp_path / "run", overrides=settings, device="cpu", unlabeled=[more], warn=told.append)
    listed = pd.read_csv(tmp_path / "run" / "leaks.csv")
    found = {(path.rpartition("/")[2], other.rpartition("/")[2]) for path, other in listed.iloc[:, :2].to_numpy()}
    assert found == {("0.png", "6.png"), ("1.png", "7.png")}
    assert set(listed["other_split"]) == {"val", "test"}
    assert any(text.startswith("2 unlabeled images are near-duplicates") for text in told)
    assert any("most images has at most 16 pixels, but encoder.image_size is 32" in text for text in told)


def test_unlabeled_manifests_that_do_not_fit_are_refused(pools, tmp_path):
    def refused(path, *settings):
        with pytest.raises(InputError) as caught:
            train("l_ssat", pools[0], tmp_path / "run", overrides=[*SMALL, *settings], device="cpu", unlabeled=path)
        assert not (tmp_path / "run").exists()
        return str(caught.value)

    manifest = read_manifest(pools[1])

    def changed(**given):
        table = manifest.table.assign(path=[str(path) for path in manifest.paths()], **given.pop("columns", {}))
        crop = given.pop("crop", None)
        write_manifest(Manifest(table, {}, crop=crop), tmp_path / "c.parquet")
        return [tmp_path / "c.parquet"]

    assert "no rows in split 'train' (splits: test)" in refused(changed(columns={"split": "test"}))
    shared = {"dataset": "named", "source": ["s7", *map("t{}".format, range(31))], "frame": 1}
    assert "c.parquet (--unlabeled): row 1 has source 's7' of named in split train" in refused(changed(columns=shared))
    assert "cropped with size 64" in refused(changed(crop={"size": 64}))
    assert "has the key of" in refused([pools[0]])
    assert "twice" in refused([pools[1], pools[1]])
    assert "no such manifest" in refused([tmp_path / "none.parquet"])
    assert "self_blend labels every" in refused(
        [pools[1]], "train.self_blend=forged", "tasks=[forged]", "train.labeled_per_batch=null"
    )


def test_a_dry_run_counts_the_unlabeled_images(pools):
    assert check("l_ssat", pools[0], overrides=SMALL, device="cpu", unlabeled=pools[1:]).steps == 18
    assert check("l_ssat", pools[0], overrides=[*SMALL[:-2], SMALL[-1]], device="cpu").steps == 6


def test_merged_and_unlabeled_images_train_equally(pools, trained, tmp_path):
    blank = read_manifest(pools[1])
    columns = {"path": [str(path) for path in blank.paths()]}
    training = blank.table["split"] == "train"
    write_manifest(Manifest(blank.table.assign(**columns)[training], {}), tmp_path / "blank.parquet")
    merge_manifests([pools[0], tmp_path / "blank.parquet"], tmp_path / "all.parquet")
    settings = [*SMALL, "train.epochs=1"]
    one = train("l_ssat", tmp_path / "all.parquet", tmp_path / "one", overrides=settings, device="cpu")
    two = train("l_ssat", pools[0], tmp_path / "two", overrides=settings, device="cpu", unlabeled=[pools[1]])
    weights = [saved.model.state_dict() for saved in (one, two)]
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])
