"""Odd file names: each command reads the files, and writes names that can be read back."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from auxface.data.manifest import read_manifest, write_manifest
from auxface.data.media import original_path, printable
from auxface.data.video.h264 import write_video
from auxface.errors import escape_controls
from auxface.evaluation.csv_cells import restore_cells
from auxface.inference.embed import read_embeddings

STEMS = {
    "dash": b"-rf --help",
    "colon": b"12:30:05",
    "control": b"a\nb\x1b[31m\tc\r",
    "not_utf8": b"caf\xe9\xff",
    "formula": b"=1+1",
    "quotes": b"a,\"b';c\\",
    "markup": b"[b]<i>$x$&amp;|",
}
NAMES = {kind: os.fsdecode(stem) + ".png" for kind, stem in STEMS.items()}
VIDEOS = {kind: os.fsdecode(stem) + ".mp4" for kind, stem in STEMS.items()}


@pytest.fixture
def faces(sixty, tmp_path) -> Path:
    """A folder with a face under each odd name."""
    folder = tmp_path / "faces"
    folder.mkdir()
    for source, name in zip(read_manifest(sixty).paths(), NAMES.values(), strict=False):
        shutil.copyfile(source, folder / name)
    return folder


@pytest.fixture
def inside(run, faces, monkeypatch):
    """Run a command in the folder with the faces, so that the names are arguments without a folder."""

    def call(*arguments):
        monkeypatch.chdir(faces)
        done = run(*arguments)
        assert done.code == 0, done.err
        assert not set(done.out + done.err) & set("\x1b\t\r")
        return done

    return call


def inputs_of(folder: Path) -> list[str]:
    """Return the names in the tables that predict wrote, which are equal in CSV and JSON."""
    table = restore_cells(pd.read_csv(folder / "predictions.csv", keep_default_na=False))
    listed = [item["input"] for item in json.loads((folder / "predictions.json").read_text(encoding="utf-8"))]
    assert list(table["input"].unique()) == listed
    return listed


def test_predict_reads_each_file(inside, tmp_path, trained):
    out = tmp_path / "out"
    done = inside("predict", trained, "-o", out, "--overlay", "--device", "cpu", "--", *NAMES.values())
    assert inputs_of(out) == [printable(name) for name in NAMES.values()]
    assert len(list((out / "overlay").iterdir())) == len(NAMES)
    for name in NAMES.values():
        assert f"{escape_controls(printable(name))}: emotion " in done.out
    names = [item["input"] for item in json.loads((out / "predictions.json").read_text())]
    assert all(original_path(name).is_file() for name in names)


def test_predict_reads_a_folder(inside, tmp_path, trained, faces):
    printed = inside("predict", trained, faces, "-o", tmp_path / "out", "--device", "cpu", "--json").out
    expected = {printable(faces / name) for name in NAMES.values()}
    assert set(inputs_of(tmp_path / "out")) == {item["input"] for item in json.loads(printed)} == expected


def test_predict_reads_videos(inside, tmp_path, trained, faces):
    write_video(tmp_path / "v.mp4", (np.full((48, 48, 3), 40 * number, np.uint8) for number in range(3)))
    for name in VIDEOS.values():
        shutil.copyfile(tmp_path / "v.mp4", faces / name)
    options = ("--overlay", "--faces", "whole", "--device", "cpu", "--")
    inside("predict", trained, "-o", tmp_path / "out", *options, *VIDEOS.values())
    assert inputs_of(tmp_path / "out") == [printable(name) for name in VIDEOS.values()]
    assert len(list((tmp_path / "out" / "overlay").iterdir())) == len(VIDEOS)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_prepare_uses_or_lists_each_file(inside, tmp_path, faces, suffix):
    (tmp_path / "root" / "b").mkdir(parents=True)
    faces.rename(tmp_path / "root" / "a")
    faces.mkdir()
    Image.new("RGB", (20, 20), "red").save(tmp_path / "root" / "b" / "1.png")
    inside("prepare", "folder", "../root", "-o", f"m{suffix}")
    manifest = read_manifest(faces / f"m{suffix}")
    assert all(path.is_file() for path in manifest.paths())
    rejected = restore_cells(pd.read_csv(faces / "m.rejected.csv"))
    assert {path.name for path in manifest.paths()} == {"1.png", *NAMES.values()} - {NAMES["not_utf8"]}
    assert [Path(path).name for path in rejected["path"]] == [printable(NAMES["not_utf8"])]
    assert "not UTF-8" in rejected["reason"].iloc[0]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_evaluate_measures_every_row(inside, tmp_path, trained, sixty, faces, suffix):
    manifest = read_manifest(sixty)
    sources = manifest.paths()
    stems = [os.fsdecode(stem) for kind, stem in STEMS.items() if kind != "not_utf8"]
    paths = [f"{stems[number % len(stems)]}{number}.png" for number in range(len(sources))]
    for source, path in zip(sources, paths, strict=True):
        shutil.copyfile(source, faces / path)
    manifest.table["path"] = paths
    write_manifest(manifest, faces / f"m{suffix}")
    out = tmp_path / "out"
    inside("evaluate", trained, "--data", f"m{suffix}", "-o", out, "--severity", 1, "--resamples", 100)
    measured = len(pd.read_parquet(out / "predictions.parquet"))
    assert measured == (manifest.table["split"] == "test").sum()


@pytest.mark.parametrize("kind", ["dash", "control", "not_utf8"])
def test_explain_draws_the_image(inside, tmp_path, trained, kind):
    inside("explain", trained, "-o", tmp_path / "x.png", "--device", "cpu", "--", NAMES[kind])
    assert Image.open(tmp_path / "x.png").width > 100


def test_embed_and_search_name_the_file(inside, tmp_path, trained, faces):
    table = tmp_path / "e.parquet"
    inside("embed", trained, faces, "-o", table, "--device", "cpu")
    paths = read_embeddings(table).table["path"]
    assert {Path(path).name for path in paths} == {printable(name) for name in NAMES.values()}
    for kind in ("dash", "control", "not_utf8"):
        page = tmp_path / f"{kind}.html"
        found = inside("search", table, "-o", page, "--device", "cpu", "--", NAMES[kind])
        assert "similarity 1.000" in found.out.splitlines()[0]
        assert found.out.splitlines()[0].endswith("the same file")
        assert page.read_text().count("data:image/jpeg") >= len(NAMES)
