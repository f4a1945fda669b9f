"""``auxface texture``: the sheet, the codes of one descriptor, and what is refused."""

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
    """The command in this process: exit code, standard output, standard error, files made."""
    Image.fromarray(astronaut()[40:100, 180:260]).save(tmp_path / "face.png")
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["auxface", "texture", *arguments])
        before = set(os.listdir(tmp_path))
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        made = set(os.listdir(tmp_path)) - before
        return SimpleNamespace(code=ended.value.code or 0, out=said.out, err=said.err, made=made)

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


def stretched(values: np.ndarray) -> np.ndarray:
    low, high = int(values.min()), int(values.max())
    return np.round((values.astype(float) - low) * (255 / (high - low)))


def test_the_sheet_of_all_descriptors(run) -> None:
    done = run("face.png", "-o", "sheet.png")
    assert (done.code, done.err) == (0, "")
    images = [name for name, found in texture.available().items() if found.input == "image"]
    assert f"{len(images)} descriptors" in done.out
    np.testing.assert_array_equal(panel("sheet.png", 0), stretched(gray()))
    np.testing.assert_array_equal(panel("sheet.png", 1), stretched(np.asarray(texture.local_binary_pattern(gray()))))
    with Image.open("sheet.png") as sheet:
        # The image, twelve descriptors and two variants fill three rows of five.
        assert sheet.size == (5 * 250 + 10, 3 * 208 + 10)


def test_the_sheet_of_one_descriptor(run) -> None:
    done = run("face.png", "-o", "one.png", "--descriptor", "local_directional_pattern", "--set", "k=5")
    assert (done.code, done.out) == (0, "one.png: 1 descriptor\n")
    codes = np.asarray(texture.local_directional_pattern(gray(), k=5))
    np.testing.assert_array_equal(panel("one.png", 1), stretched(codes))


def test_the_codes_of_one_descriptor(run) -> None:
    settings = ("--set", "points=16", "--set", "radius=2")
    done = run("face.png", "--descriptor", "local_binary_pattern", "--npy", "c.npy", *settings)
    assert (done.code, done.made) == (0, {"c.npy"})
    assert done.out == "c.npy: local_binary_pattern, int32 60 x 80\n"
    wanted = texture.local_binary_pattern(gray(), points=16, radius=2)
    np.testing.assert_array_equal(np.load("c.npy", allow_pickle=False), wanted)


CENSUS = ("face.png", "-o", "s.png", "--descriptor", "census_transform")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("face.png",), "nothing to make"),
        (("face.png", "--npy", "c.npy"), "name it with --descriptor"),
        (("missing.png", "-o", "s.png"), "missing.png"),
        (("face.png", "-o", "s.jpg"), "the sheet is a PNG"),
        (("face.png", "--descriptor", "census_transform", "--npy", "c.txt"), "written as .npy"),
        (("face.png", "-o", "s.png", "--descriptor", "census"), "did you mean 'census_transform'"),
        (("face.png", "-o", "s.png", "--set", "window=5"), "name it with --descriptor"),
        ((*CENSUS, "--set", "window"), "key=value"),
        ((*CENSUS, "--set", "window=4"), "odd number 3 to 7"),
        ((*CENSUS, "--set", "widow=5"), "did you mean 'window'"),
        ((*CENSUS, "--set", "window=[1"), "not a readable value"),
        (("face.png", "-o", "s.png", "--descriptor", "lbp_top"), "describes clips"),
        (("text.png", "-o", "s.png"), "text.png"),
        (("tiny.png", "-o", "s.png"), "sides of at least"),
        (("face.png", "-o", "taken.png"), "--overwrite"),
    ],
)
def test_what_is_refused(run, arguments: tuple[str, ...], said: str) -> None:
    Path("text.png").write_text("no image")
    Path("taken.png").write_text("here already")
    Image.new("L", (9, 9)).save("tiny.png")
    done = run(*arguments)
    assert (done.code, done.out, done.made) == (2, "", set())
    assert done.err.startswith("auxface: ")
    assert done.err.count("\n") == 1
    assert said in done.err
    assert Path("taken.png").read_text() == "here already"


def test_an_output_is_replaced_where_asked(run) -> None:
    Path("sheet.png").write_text("old")
    assert run("face.png", "-o", "sheet.png", "--descriptor", "census_transform", "--overwrite").code == 0
    with Image.open("sheet.png") as sheet:
        assert sheet.format == "PNG"


def test_a_face_of_the_real_packs(run, shared_data: Path) -> None:
    image = min((shared_data / "identity_orl").rglob("*.jpg"))
    done = run(str(image), "-o", "sheet.png", "--descriptor", "local_directional_pattern", "--npy", "codes.npy")
    assert (done.code, done.made) == (0, {"sheet.png", "codes.npy"})
    assert (np.unpackbits(np.load("codes.npy")[..., None], axis=-1).sum(-1) == 3).all()
