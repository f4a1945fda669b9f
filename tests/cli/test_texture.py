"""``auxface texture``: the sheet, the codes of one descriptor, measured targets, and refused input."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from auxface import texture
from auxface.cli import main


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs the command in this process: exit code, standard output, standard error, files written."""
    Image.fromarray(astronaut()[40:100, 180:260]).save(tmp_path / "face.png")
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["auxface", "texture", *arguments])
        before = set(os.listdir(tmp_path))
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        written = set(os.listdir(tmp_path)) - before
        return SimpleNamespace(code=ended.value.code or 0, out=captured.out, err=captured.err, written=written)

    return call


def gray() -> np.ndarray:
    with Image.open("face.png") as opened:
        return np.asarray(texture.gray(np.asarray(opened)))


def panel(sheet: str, place: int) -> np.ndarray:
    """A panel of the first row: 60 x 80 pixels, each drawn as a square of three."""
    with Image.open(sheet) as opened:
        pixels = np.asarray(opened)
    left = 10 + 250 * place
    return pixels[28 : 28 + 180 : 3, left : left + 240 : 3]


def contrast_stretched(values: np.ndarray) -> np.ndarray:
    low, high = int(values.min()), int(values.max())
    return np.round((values.astype(float) - low) * (255 / (high - low)))


def test_the_default_sheet_shows_all_descriptors(run) -> None:
    done = run("face.png", "-o", "sheet.png")
    assert (done.code, done.err) == (0, "")
    images = [name for name, found in texture.available().items() if found.input == "image"]
    assert f"{len(images)} descriptors" in done.out
    np.testing.assert_array_equal(panel("sheet.png", 0), contrast_stretched(gray()))
    np.testing.assert_array_equal(
        panel("sheet.png", 1), contrast_stretched(np.asarray(texture.local_binary_pattern(gray())))
    )
    with Image.open("sheet.png") as sheet:
        # The image, twelve descriptors and two variants fill three rows of five.
        assert sheet.size == (5 * 250 + 10, 3 * 208 + 10)


def test_a_sheet_of_one_descriptor_takes_its_parameters(run) -> None:
    done = run("face.png", "-o", "one.png", "--descriptor", "local_directional_pattern", "--set", "k=5")
    assert (done.code, done.out) == (0, "one.png: 1 descriptor\n")
    codes = np.asarray(texture.local_directional_pattern(gray(), k=5))
    np.testing.assert_array_equal(panel("one.png", 1), contrast_stretched(codes))


def test_npy_holds_the_codes_of_the_descriptor(run) -> None:
    settings = ("--set", "points=16", "--set", "radius=2")
    done = run("face.png", "--descriptor", "local_binary_pattern", "--npy", "c.npy", *settings)
    assert (done.code, done.written) == (0, {"c.npy"})
    assert done.out == "c.npy: local_binary_pattern, int32 60 x 80\n"
    expected = texture.local_binary_pattern(gray(), points=16, radius=2)
    np.testing.assert_array_equal(np.load("c.npy", allow_pickle=False), expected)


CENSUS = ("face.png", "-o", "s.png", "--descriptor", "census_transform")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("face.png",), "no output"),
        (("face.png", "--npy", "c.npy"), "name it with --descriptor"),
        (("missing.png", "-o", "s.png"), "missing.png"),
        (("face.png", "-o", "s.jpg"), "must end in .png"),
        (("face.png", "--descriptor", "census_transform", "--npy", "c.txt"), "must end in .npy"),
        (("face.png", "-o", "s.png", "--descriptor", "census"), "did you mean 'census_transform'"),
        (("face.png", "-o", "s.png", "--set", "window=5"), "name it with --descriptor"),
        ((*CENSUS, "--set", "window"), "key=value"),
        ((*CENSUS, "--set", "window=4"), "odd number from 3 to 7"),
        ((*CENSUS, "--set", "widow=5"), "did you mean 'window'"),
        ((*CENSUS, "--set", "window=[1"), "not valid YAML"),
        (("face.png", "-o", "s.png", "--descriptor", "lbp_top"), "describes clips"),
        (("text.png", "-o", "s.png"), "text.png"),
        (("tiny.png", "-o", "s.png"), "sides of at least"),
        (("face.png", "-o", "taken.png"), "--overwrite"),
    ],
)
def test_bad_input_is_refused_and_writes_nothing(run, arguments: tuple[str, ...], message: str) -> None:
    Path("text.png").write_text("no image")
    Path("taken.png").write_text("here already")
    Image.new("L", (9, 9)).save("tiny.png")
    done = run(*arguments)
    assert (done.code, done.out, done.written) == (2, "", set())
    assert done.err.startswith("auxface: ")
    assert done.err.count("\n") == 1
    assert message in done.err
    assert Path("taken.png").read_text() == "here already"


def test_overwrite_replaces_an_output(run) -> None:
    Path("sheet.png").write_text("old")
    assert run("face.png", "-o", "sheet.png", "--descriptor", "census_transform", "--overwrite").code == 0
    with Image.open("sheet.png") as sheet:
        assert sheet.format == "PNG"


def test_sheet_and_codes_of_a_photographed_face(run, shared_data: Path) -> None:
    image = min((shared_data / "identity_orl").rglob("*.jpg"))
    done = run(str(image), "-o", "sheet.png", "--descriptor", "local_directional_pattern", "--npy", "codes.npy")
    assert (done.code, done.written) == (0, {"sheet.png", "codes.npy"})
    assert (np.unpackbits(np.load("codes.npy")[..., None], axis=-1).sum(-1) == 3).all()


LBP_BITS = "{name: local_binary_pattern, encoding: bits}"


def test_sheet_is_the_default_subcommand(run) -> None:
    assert run("sheet", "face.png", "-o", "a.png").out.split(":")[1] == run("face.png", "-o", "b.png").out.split(":")[1]
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_learnable_prints_and_writes_a_sorted_table(run, sixty: Path) -> None:
    options = ("--size", "40", "--target", LBP_BITS, "--target", "rgb", "-o", "table.csv")
    done = run("learnable", str(sixty), *options)
    assert (done.code, done.written) == (0, {"table.csv"})
    lines = done.out.splitlines()
    assert [line.split()[1] for line in lines[1:3]] == ["rgb", "local_binary_pattern"]
    assert "training faces, scored on" in lines[3]
    assert Path("table.csv").read_text().startswith("name,encoding,")
    assert "--overwrite" in run("learnable", str(sixty), *options).err


def test_learnable_prints_one_json_document(run, sixty: Path) -> None:
    done = run("learnable", str(sixty), "--size", "40", "--target", "rgb", "--faces", "20", "--json")
    [found] = json.loads(done.out)
    assert (found["name"], found["faces"]) == ("rgb", 20)
    assert found["r2"] <= 1


def test_learnable_refuses_what_is_no_manifest(run) -> None:
    done = run("learnable", "face.png")
    assert (done.code, done.out) == (2, "")
    assert "must end in .parquet or .csv" in done.err
