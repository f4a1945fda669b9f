"""``prepare``: counts add up, every file is accounted for, and a second run opens changed files only."""

import json
import os
import shutil

import layout_trees
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from auxface.data.faces import FaceSettings
from auxface.data.manifest import read_manifest
from auxface.data.prepare import file_processing
from auxface.data.prepare import prepare as module
from auxface.data.prepare.prepare import prepare
from auxface.data.video.frames import FrameSettings
from auxface.errors import InputError


@pytest.fixture
def pack(tmp_path):
    """Twelve images with a CSV that says what they are."""
    folder = tmp_path / "pack"
    rows = []
    for number in range(12):
        path = folder / "images" / f"{number}.png"
        layout_trees.image(path)
        split = ("train", "val", "test")[number % 3]
        rows.append((f"images/{number}.png", split, "mf"[number % 2], number % 2, number * 7, number // 6))
    table = pd.DataFrame(rows, columns=["path", "split", "sex", "smiling", "age", "hat"])
    table.to_csv(folder / "labels.csv", index=False)
    return folder


def run(pack, output, label=("sex",), **options):
    overwrite = options.pop("overwrite", False)
    return prepare(
        "table", pack / "labels.csv", out=output, options={"label": list(label), **options}, overwrite=overwrite
    )


def test_label_kinds_are_inferred_or_given(pack, tmp_path):
    run(
        pack,
        tmp_path / "a.parquet",
        ["sex", "smiling", "age:ordinal", "both:multilabel=smiling,hat"],
        group=["sex", "age"],
    )
    manifest = read_manifest(tmp_path / "a.parquet")
    kinds = {name: (label.kind, label.classes) for name, label in manifest.labels.items()}
    assert kinds == {
        "sex": ("class", ("f", "m")),
        "smiling": ("binary", ("not smiling", "smiling")),
        "age": ("ordinal", ()),
        "both": ("multilabel", ("smiling", "hat")),
    }
    assert manifest.groups == ("sex", "age")
    assert manifest.table["age"].tolist() == [number * 7.0 for number in range(12)]


def test_class_order_and_binary_words_are_given(pack, tmp_path):
    run(pack, tmp_path / "a.csv", ["sex:class=m,f", "age:class"])
    assert read_manifest(tmp_path / "a.csv").labels["sex"].classes == ("m", "f")
    assert read_manifest(tmp_path / "a.csv").labels["age"].classes[:3] == ("0", "7", "14")
    run(pack, tmp_path / "b.parquet", ["sex:binary=f,m"])
    manifest = read_manifest(tmp_path / "b.parquet")
    assert manifest.table["sex"].tolist() == [1, 0] * 6


@pytest.mark.parametrize(
    ("label", "options", "message"),
    [
        (["sax"], {}, "column 'sax' is missing .did you mean 'sex'"),
        (["age"], {}, "age:ordinal"),
        (["sex:klass"], {}, "KIND is one of class, binary"),
        (["sex:class=m,x"], {}, "row 2 has sex 'f'; expected m, x"),
        (["smiling:multilabel"], {}, "smiling:multilabel=COLUMN,COLUMN"),
        (["age:binary"], {}, "expected 0 or 1"),
        (["sex:ordinal"], {}, "row 1 has sex 'm'; expected a number"),
        (["sex", "sex"], {}, "given twice"),
        (["sex"], {"path": "file"}, "column 'file' is missing"),
        (["sex"], {"split": "sex"}, "row 1 has sex 'm'; expected train, val or test"),
        (["sex"], {"split_fractions": "0.5,0.5"}, "three numbers"),
        (["sex"], {"source": "hat"}, "more than one split"),
        (["sex"], {"frame": "sex"}, "row 1 has sex 'm'; expected an integer"),
    ],
)
def test_bad_options_give_one_line_and_write_nothing(pack, tmp_path, label, options, message):
    if "split_fractions" in options:
        pd.read_csv(pack / "labels.csv").drop(columns="split").to_csv(pack / "labels.csv", index=False)
    with pytest.raises(InputError, match=message) as caught:
        run(pack, tmp_path / "a.parquet", label, **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "a.parquet").exists()
    assert not list(tmp_path.glob("a.*"))


@pytest.mark.parametrize("content", [b"", b"path,split\n", b'"', b"\xff\xfe\x00\x01"])
def test_a_file_that_is_no_table_is_refused(pack, tmp_path, content):
    (pack / "labels.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"labels\.csv"):
        run(pack, tmp_path / "a.parquet")


def test_without_a_split_column_sources_stay_together(pack, tmp_path):
    table = pd.read_csv(pack / "labels.csv").drop(columns="split")
    table["person"] = [f"person {number // 2}" for number in range(12)]
    table.to_csv(pack / "labels.csv", index=False)
    run(pack, tmp_path / "a.parquet", source="person")
    rows = read_manifest(tmp_path / "a.parquet").table
    assert rows.groupby("source")["split"].nunique().max() == 1
    assert set(rows["split"]) == {"train", "val", "test"}
    assert rows["frame"].tolist() == [0, 1] * 6


def test_paths_below_the_manifest_are_relative(pack, tmp_path):
    run(pack, pack / "in.parquet")
    assert read_manifest(pack / "in.parquet").table["path"][0] == "images/0.png"
    run(pack, tmp_path / "elsewhere" / "out.parquet")
    assert read_manifest(tmp_path / "elsewhere" / "out.parquet").table["path"][0] == str(pack / "images" / "0.png")


@pytest.mark.parametrize("folder", [".", "elsewhere"])
def test_rejected_and_leaking_paths_are_written_as_in_the_manifest(pack, tmp_path, folder):
    images = pack / "images"
    # An unreadable file, and the same image in train and val with different bytes.
    (images / "1.png").write_bytes(b"")
    shutil.copyfile(images / "3.png", images / "4.png")
    with (images / "4.png").open("ab") as file:
        file.write(b"x")
    out = (pack if folder == "." else tmp_path / folder) / "in.parquet"
    run(pack, out)
    expected = "images/{}" if folder == "." else str(images / "{}")
    assert pd.read_csv(out.with_name("in.rejected.csv"))["path"].tolist() == [expected.format("1.png")]
    leaks = pd.read_csv(out.with_name("in.leaks.csv"))
    assert set(leaks["path"]) | set(leaks["other_path"]) == {expected.format("3.png"), expected.format("4.png")}


def test_every_unusable_image_is_counted_and_listed(pack, tmp_path):
    (pack / "images" / "0.png").write_text("not an image")
    (pack / "images" / "1.png").write_bytes(b"")
    (pack / "images" / "2.png").unlink()
    (pack / "images" / "3.png").write_bytes((pack / "images" / "7.png").read_bytes())
    (pack / "images" / "6.png").write_bytes((pack / "images" / "8.png").read_bytes())
    account = run(pack, tmp_path / "a.parquet")
    assert account == {
        "found": 12, "usable": 7, "no_face": 0, "unreadable": 3, "duplicate": 2, "conflicting_labels": 0
    }  # fmt: skip
    assert json.loads((tmp_path / "a.account.json").read_text()) == account
    rejected = pd.read_csv(tmp_path / "a.rejected.csv").set_index("path")["reason"]
    named = {path.rsplit("/", 1)[1]: reason for path, reason in rejected.items()}
    assert named.keys() == {"0.png", "1.png", "2.png", "3.png", "6.png"}
    assert named["0.png"] == "not an image"
    assert named["1.png"] == "empty file"
    assert named["2.png"] == "no such file"
    # 7 is in val and 3 in train; 8 is in test and 6 in train: the copy outside training is kept.
    assert named["3.png"].endswith("7.png")
    assert named["6.png"].endswith("8.png")
    keep = prepare(
        "table", pack / "labels.csv", out=tmp_path / "b.parquet", options={"label": ["sex"]}, duplicates="keep"
    )
    assert keep["duplicate"] == 0
    assert keep["usable"] == 9


def test_copies_with_different_labels_are_not_used(tmp_path):
    layout_trees.folder(tmp_path / "data")
    happy, sad = (tmp_path / "data/train" / name / "copy.png" for name in ("happy", "sad"))
    layout_trees.image(happy)
    shutil.copyfile(happy, sad)
    notes: list[str] = []
    account = prepare("folder", tmp_path / "data", out=tmp_path / "a.parquet", warn=notes.append)
    assert (account["conflicting_labels"], account["duplicate"]) == (2, 0)
    assert account["found"] == account["usable"] + 2
    assert not any("copy" in path for path in read_manifest(tmp_path / "a.parquet").table["path"])
    rejected = pd.read_csv(tmp_path / "a.rejected.csv")
    assert rejected["status"].tolist() == ["conflicting_labels"] * 2
    reasons = [
        f"same file as {sad}, where class is sad, not happy",
        f"same file as {happy}, where class is happy, not sad",
    ]
    assert rejected["reason"].tolist() == reasons
    told = "2 files are identical to a file with another label"
    assert f"{told} and are not used (such as {happy}: {reasons[0]})" in notes
    kept = prepare("folder", tmp_path / "data", out=tmp_path / "b.parquet", duplicates="keep", warn=notes.append)
    assert kept["usable"] == account["usable"] + 2
    assert any(note.startswith(f"{told} and are used, since duplicates are kept") for note in notes)


def test_a_copy_without_a_label_is_a_duplicate(pack, tmp_path):
    shutil.copyfile(pack / "images" / "4.png", pack / "images" / "3.png")
    table = pd.read_csv(pack / "labels.csv").astype({"sex": object})
    table.loc[3, "sex"] = None
    table.to_csv(pack / "labels.csv", index=False)
    account = run(pack, tmp_path / "a.parquet")
    assert (account["conflicting_labels"], account["duplicate"]) == (0, 1)


def test_rejected_images_have_their_key_and_groups(pack, tmp_path):
    (pack / "images" / "1.png").write_bytes(b"")
    run(pack, tmp_path / "a.parquet", group=["sex"])
    (row,) = pd.read_csv(tmp_path / "a.rejected.csv").to_dict("records")
    assert (row["status"], row["split"], row["sex"]) == ("unreadable", "val", "f")
    assert row["source"] == "images/1.png"


def test_no_usable_image_is_an_error(pack, tmp_path):
    for path in (pack / "images").iterdir():
        path.write_text("x")
    with pytest.raises(InputError, match=r"none of the 12 images .*not an image"):
        run(pack, tmp_path / "a.parquet")


def test_an_existing_output_is_refused_first(pack, tmp_path):
    (tmp_path / "a.parquet").write_text("mine")
    with pytest.raises(InputError, match="--overwrite"):
        run(pack, tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").read_text() == "mine"
    with pytest.raises(InputError, match=r"\.parquet or \.csv"):
        run(pack, tmp_path / "a.txt")


def test_files_of_others_beside_a_manifest_are_kept(pack, tmp_path):
    (tmp_path / "a.rejected.csv").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"a\.rejected\.csv was not written by auxface"):
            run(pack, tmp_path / "a.parquet", overwrite=overwrite)
    assert (tmp_path / "a.rejected.csv").read_text() == "mine"
    assert not (tmp_path / "a.parquet").exists()


def test_a_json_file_of_others_beside_a_csv_is_kept(pack, tmp_path):
    (tmp_path / "a.json").write_text('{"mine": 1}')
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"a\.json is not a manifest header"):
            run(pack, tmp_path / "a.csv", overwrite=overwrite)
    assert (tmp_path / "a.json").read_text() == '{"mine": 1}'
    (tmp_path / "a.json").unlink()
    for overwrite in (False, True):
        run(pack, tmp_path / "a.csv", overwrite=overwrite)


def test_a_manifest_does_not_replace_its_source(pack):
    before = (pack / "labels.csv").read_bytes()
    with pytest.raises(InputError, match="input of this command"):
        run(pack, pack / "labels.csv", overwrite=True)
    assert (pack / "labels.csv").read_bytes() == before


def test_a_second_run_opens_changed_files_only(pack, tmp_path, monkeypatch):
    run(pack, tmp_path / "a.parquet")
    before = read_manifest(tmp_path / "a.parquet").hash
    opened = []
    real = file_processing.read_image
    monkeypatch.setattr(file_processing, "read_image", lambda data: opened.append(1) or real(data))
    run(pack, tmp_path / "a.parquet", overwrite=True)
    assert opened == []
    assert read_manifest(tmp_path / "a.parquet").hash == before
    (pack / "images" / "3.png").write_text("broken since")
    assert run(pack, tmp_path / "a.parquet", overwrite=True)["unreadable"] == 1
    assert len(opened) == 1


def test_links_out_of_the_data_set_are_not_followed(tmp_path):
    layout_trees.folder(tmp_path / "data")
    layout_trees.image(tmp_path / "secret.png")
    (tmp_path / "data/train/happy/link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "data/train/happy/inside.png").symlink_to(tmp_path / "data/train/happy/0.png")
    (tmp_path / "data/train/happy/loop").symlink_to(tmp_path / "data")
    account = prepare("folder", tmp_path / "data", out=tmp_path / "a.parquet")
    assert account == {
        "found": 14,
        "usable": 12,
        "no_face": 0,
        "unreadable": 1,
        "duplicate": 1,
        "conflicting_labels": 0,
    }
    assert "leaves" in (tmp_path / "a.rejected.csv").read_text()


def test_masks_outside_the_data_set_are_not_read(tmp_path):
    layout_trees.faceforensics(tmp_path / "data")
    mask = tmp_path / "data/manipulated_sequences/Deepfakes/masks/videos/000_003.mp4"
    mask.rename(tmp_path / "outside.mp4")
    mask.symlink_to(tmp_path / "outside.mp4")
    account = prepare("faceforensics", tmp_path / "data", out=tmp_path / "a.parquet")
    assert (account["usable"], account["unreadable"]) == (29, 1)
    assert "leaves" in (tmp_path / "a.rejected.csv").read_text()


def test_file_names_in_any_script_are_read(tmp_path):
    names = ["Ångström", "顔", "وجه", "лицо", "ใบหน้า", "😀 smile", "a'b\"c", "-n", "x" * 200]
    for name in names:
        layout_trees.image(tmp_path / "data/train/α β" / f"{name}.png")
        layout_trees.image(tmp_path / "data/test/γ" / f"{name}.png")
    account = prepare("folder", tmp_path / "data", out=tmp_path / "a.csv")
    assert account["usable"] == 18
    manifest = read_manifest(tmp_path / "a.csv")
    assert all(path.is_file() for path in manifest.paths())
    assert manifest.labels["class"].classes == ("α β", "γ")


def test_progress_counts_every_file(pack, tmp_path):
    seen = []
    prepare(
        "table",
        pack / "labels.csv",
        out=tmp_path / "a.parquet",
        options={"label": ["sex"]},
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(done, 12) for done in range(1, 13)]


def test_videos_are_kept_or_become_frames_or_clips(tmp_path):
    layout_trees.uadfv(tmp_path / "data")
    (tmp_path / "data/real/0003.mp4").write_bytes(b"no video")
    rows = prepare("uadfv", tmp_path / "data", out=tmp_path / "rows.parquet")
    assert rows == {"found": 24, "usable": 23, "no_face": 0, "unreadable": 1, "duplicate": 0, "conflicting_labels": 0}
    with pytest.raises(InputError, match="--crops"):
        prepare("uadfv", tmp_path / "data", out=tmp_path / "x.parquet", frames=FrameSettings())

    frames = FrameSettings(count=3)
    place = tmp_path / "frames"
    account = prepare("uadfv", tmp_path / "data", out=tmp_path / "f.parquet", frames=frames, crops=place)
    assert account == {
        "found": 70,
        "usable": 69,
        "no_face": 0,
        "unreadable": 1,
        "duplicate": 0,
        "conflicting_labels": 0,
    }
    manifest = read_manifest(tmp_path / "f.parquet")
    one = manifest.table[manifest.table["video"] == "0001_fake"]
    assert one["frame"].tolist() == [1, 3, 5]
    levels = [np.asarray(Image.open(tmp_path / path)).mean() for path in one["path"]]
    assert levels == pytest.approx([40, 120, 200], abs=6)
    stamps = {path: path.stat().st_mtime_ns for path in place.rglob("*.png")}
    prepare("uadfv", tmp_path / "data", out=tmp_path / "f.parquet", frames=frames, crops=place, overwrite=True)
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*.png")} == stamps

    clips = FrameSettings("clips", count=2, length=2, stride=2)
    account = prepare("uadfv", tmp_path / "data", out=tmp_path / "c.parquet", frames=clips, crops=tmp_path / "clips")
    assert account["usable"] == 46
    manifest = read_manifest(tmp_path / "c.parquet")
    assert manifest.crop == {"clip": {"length": 2, "stride": 2}}
    assert Image.open(tmp_path / manifest.table["path"][0]).size == (48, 64)


@pytest.fixture
def cropped(pack, tmp_path, monkeypatch):
    """Prepares the images with a cropper that returns their corners, enlarged to the given size."""

    class Corner:
        def __init__(self, settings, weights):
            self.settings = settings

        def crop(self, image, mask):
            return [(None, np.tile(image, (3, 3, 1))[: self.settings.size, : self.settings.size])]

    monkeypatch.setattr(module, "FaceCropper", Corner)

    def call(size=32):
        options = {"label": ["sex"]}
        faces = FaceSettings(size=size)
        place, output = tmp_path / "crops", tmp_path / "a.parquet"
        prepare("table", pack / "labels.csv", out=output, options=options, faces=faces, crops=place, overwrite=True)
        return sorted(place.rglob("*.png"))

    return call


def test_crops_are_rewritten_beside_files_of_the_user(cropped, tmp_path):
    assert {Image.open(path).size for path in cropped(32)} == {(32, 32)}
    (tmp_path / "crops" / "notes.txt").write_text("mine")
    assert {Image.open(path).size for path in cropped(48)} == {(48, 48)}
    assert (tmp_path / "crops" / "notes.txt").read_text() == "mine"


def test_a_changed_crop_is_not_replaced(cropped):
    changed = cropped(32)[3]
    layout_trees.image(changed)
    before = changed.read_bytes()
    with pytest.raises(InputError, match=f"{changed.name}' has changed"):
        cropped(48)
    assert changed.read_bytes() == before


def test_crops_of_a_killed_run_are_rewritten(cropped, monkeypatch):
    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(file_processing, "record_files", kill)
        with pytest.raises(KeyboardInterrupt):
            cropped(32)
    assert {Image.open(path).size for path in cropped(48)} == {(48, 48)}


def test_rendered_faces_do_not_replace_a_users_image(tmp_path):
    layout_trees.image(tmp_path / "faces" / "000003.png")
    before = (tmp_path / "faces" / "000003.png").read_bytes()
    options = {"count": 9, "size": 32}
    with pytest.raises(InputError, match=r"'000003\.png' is not recorded"):
        prepare("synthetic", tmp_path / "faces", out=tmp_path / "f.parquet", options=options)
    assert [path.read_bytes() for path in (tmp_path / "faces").iterdir()] == [before]


def test_crop_settings_are_recorded_and_no_face_is_counted(tmp_path, shared_data):
    weights = shared_data.parent / "weights" / "yunet_n_640_640.onnx"
    faces = sorted((shared_data / "attributes_celeba" / "images").glob("*.jpg"))[:6]
    for number, path in enumerate(faces):
        place = tmp_path / "data" / ("a" if number % 2 else "b") / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    layout_trees.image(tmp_path / "data/a/noise.png", side=200)
    settings = FaceSettings(cut="align", size=64)
    account = prepare(
        "folder",
        tmp_path / "data",
        out=tmp_path / "a.parquet",
        faces=settings,
        weights=weights,
        crops=tmp_path / "c",
    )
    assert account == {"found": 7, "usable": 6, "no_face": 1, "unreadable": 0, "duplicate": 0, "conflicting_labels": 0}
    manifest = read_manifest(tmp_path / "a.parquet")
    assert manifest.crop is not None
    assert FaceSettings.from_json(dict(manifest.crop)) == settings
    assert {Image.open(path).size for path in manifest.paths()} == {(64, 64)}
    assert "no face found" in (tmp_path / "a.rejected.csv").read_text()
    again = prepare(
        "folder",
        tmp_path / "data",
        out=tmp_path / "a.parquet",
        faces=settings,
        weights=weights,
        crops=tmp_path / "c",
        overwrite=True,
    )
    assert again == account
    assert len(list((tmp_path / "c").rglob("*.png"))) == 6


def test_a_data_set_of_6664_images_is_prepared(shared_data, tmp_path):
    account = prepare(
        "table",
        shared_data / "demographics_utkface" / "labels.csv",
        out=tmp_path / "utk.parquet",
        options={"label": ["gender"], "group": ["race", "age_group"]},
    )
    assert account == {
        "found": 6664,
        "usable": 6664,
        "no_face": 0,
        "unreadable": 0,
        "duplicate": 0,
        "conflicting_labels": 0,
    }
    assert os.path.isabs(read_manifest(tmp_path / "utk.parquet").table["path"][0])
