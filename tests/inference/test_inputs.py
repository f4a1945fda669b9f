"""One image gives one answer, in whatever form it is given."""

import importlib.util
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from auxface.data.images.decode import UnreadableImage, count_unread_frames, read_image
from auxface.data.media import is_heic
from auxface.errors import InputError
from auxface.inference.predict import predict
from auxface.inference.preprocessing import to_rgb

CASES = Path(__file__).parents[3] / "shared" / "cases" / "images"
PIXELS = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def files(folder: Path) -> list[Path]:
    """Write one image in the forms in which PIL and the decoder could differ."""
    image = Image.fromarray(PIXELS)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(folder / "turned.jpg", exif=exif)
    half = image.convert("RGBA")
    half.putalpha(Image.fromarray(np.repeat(np.arange(48, dtype=np.uint8)[:, None] * 5, 64, 1)))
    half.save(folder / "alpha.png")
    image.convert("P").save(folder / "palette.gif", transparency=3)
    Image.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 257).save(folder / "gray16.png")
    image.convert("LA").save(folder / "gray_alpha.png")
    image.save(folder / "photo.jfif", format="JPEG")
    image.save(folder / "without_suffix", format="PNG")
    image.save(folder / "photo.avif", quality=90)
    return sorted(folder.iterdir())


def test_path_bytes_and_pil_image_give_equal_pixels(tmp_path):
    for path in [*files(tmp_path), *(sorted(CASES.glob("*")) if CASES.is_dir() else [])]:
        if is_heic(path.read_bytes()[:64]) and importlib.util.find_spec("pi_heif") is None:
            with pytest.raises(UnreadableImage, match=r"pip install 'auxface\[heif\]'"):
                read_image(path)
            continue
        expected = read_image(path)
        assert np.array_equal(to_rgb(path), expected)
        assert np.array_equal(to_rgb(path.read_bytes()), expected)
        with Image.open(path) as image:
            assert np.array_equal(to_rgb(image), expected), path.name
    with (
        Image.open(io.BytesIO((tmp_path / "alpha.png").read_bytes()[:900])) as truncated,
        pytest.raises(UnreadableImage),
    ):
        to_rgb(truncated)


@pytest.mark.skipif(not CASES.is_dir(), reason="the case files are not beside the checkout")
def test_case_images_show_the_reference_picture():
    reference = read_image(CASES / "corners.png").astype(int)
    for name, tolerance in (("corners.avif", 6), ("corners.jfif", 6), ("no_suffix", 6)):
        image = read_image(CASES / name).astype(int)
        assert image.shape == reference.shape, name
        assert np.abs(image - reference).mean() < tolerance, name


@pytest.mark.parametrize(
    "given",
    [
        PIXELS,
        PIXELS.astype(np.float32) / 255,
        PIXELS.astype(np.float64) / 255,
        torch.from_numpy(PIXELS).permute(2, 0, 1),
        torch.from_numpy(PIXELS).permute(2, 0, 1) / 255,
    ],
)
def test_arrays_and_tensors_give_equal_pixels(given):
    assert np.array_equal(to_rgb(given), PIXELS)


def test_gray_arrays_are_taken():
    gray = np.repeat(PIXELS[:, :, :1], 3, axis=2)
    for given in (PIXELS[:, :, 0], PIXELS[:, :, :1], torch.from_numpy(PIXELS[:, :, 0].copy()), PIXELS[:, :, 0] / 255):
        assert np.array_equal(to_rgb(given), gray)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (PIXELS.astype(np.float32), "image / 255"),
        (PIXELS.astype(np.uint16), "(image // 257).astype(np.uint8)"),
        (PIXELS > 9, "image.astype(np.uint8) * 255"),
        (PIXELS.transpose(2, 0, 1), "image.transpose(1, 2, 0)"),
        (torch.from_numpy(PIXELS), "image.permute(2, 0, 1)"),
        (np.dstack([PIXELS, PIXELS[:, :, 0]]), "image[..., :3]"),
        (PIXELS[None], "list(images)"),
        (np.full((4, 4), np.nan), "image / 255"),
    ],
)
def test_a_refused_array_gets_the_line_that_converts_it(given, line):
    with pytest.raises(InputError) as raised:
        to_rgb(given)
    assert line in str(raised.value)


def test_frames_of_an_animation_are_counted(tmp_path):
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (0, 90, 180, 250)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "still.png")
    assert count_unread_frames(tmp_path / "moving.gif") == 3
    assert count_unread_frames(tmp_path / "still.png") == count_unread_frames(b"no image") == 0


def test_no_cell_of_predictions_begins_as_a_formula(model_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PIXELS).save("=1+1.png")
    predict(model_folder, ["=1+1.png"], out=Path("out"), warn=lambda text: None)
    cells = pd.read_csv("out/predictions.csv")
    assert set(cells["input"]) == {"'=1+1.png"}
