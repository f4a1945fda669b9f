"""``auxface prepare``: options of all layouts and of one, and where results and crops are written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from auxface.data.manifest import read_manifest
from auxface.data.video.h264 import write_video


def render(number):
    for frame in range(8):
        yield np.full((32, 32, 3), 30 * number + 2 * frame, np.uint8)


def test_an_option_of_the_layout_replaces_the_shared_one(run):
    done = run("prepare", "synthetic", "--help")
    assert done.code == 0
    assert done.out.count("--size ") == 1
    assert run("prepare", "synthetic", "faces", "--count", 9, "--size", 48, "-o", "f.parquet").code == 0
    assert Image.open("faces/000000.png").size == (48, 48)


@pytest.mark.parametrize("flag", ["--out", "-o"])
def test_out_is_the_manifest_and_crops_the_folder(run, flag):
    for number in range(6):
        place = Path("videos") / ("train", "val", "test")[number // 2] / "ab"[number % 2]
        place.mkdir(parents=True)
        write_video(place / f"{number}.mp4", render(number))
    done = run("prepare", "folder", "videos", flag, "m.parquet", "--frames", 2, "--crops", "frames")
    assert done.code == 0, done.err
    paths = read_manifest(Path("m.parquet")).table["path"]
    assert len(paths) == 12
    assert paths.str.startswith("frames/").all()


def test_frames_without_a_folder_for_crops_are_refused(refused):
    Path("l.csv").write_text("path,split,kind\na.mp4,train,x\n")
    message = refused("prepare", "table", "l.csv", "--frames", 2, "-o", "m.parquet")
    assert "--crops" in message


def test_a_repeated_key_is_refused_with_its_row(refused):
    table = {"path": ["a.png", "b.png", "c.png"], "split": "train", "source": ["p", "q", "p"], "frame": [1, 1, 1]}
    pd.DataFrame(table).to_csv("l.csv", index=False)
    assert "row 3 repeats the key of an earlier row" in refused("prepare", "table", "l.csv", "-o", "m.parquet")


def test_an_unknown_layout_is_named_with_the_nearest_one(refused):
    assert "no layout 'utkfaces' (did you mean 'utkface'?)" in refused("prepare", "utkfaces", ".", "-o", "m.parquet")


def test_images_outside_class_folders_are_named(refused):
    Path("flat").mkdir()
    Image.new("RGB", (8, 8)).save("flat/1.png")
    said = refused("prepare", "folder", "flat", "-o", "m.parquet")
    assert "1 file is outside of them, such as 1.png" in said
