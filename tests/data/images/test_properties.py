"""Properties of image files and their pixels."""

import numpy as np
import pytest
from PIL import Image

from auxface.data.images.properties import file_properties, image_properties


@pytest.mark.parametrize("quality", [10, 35, 50, 75, 95])
def test_jpeg_quality_is_read_from_the_header(quality, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg", quality=quality)
    Image.fromarray(noise).save(tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes(b"no image")
    found = file_properties([tmp_path / name for name in ("a.jpg", "b.png", "c.png", "missing.png")])
    assert found["jpeg_quality"][0] == pytest.approx(quality, abs=1)
    assert list(found["format"][:2]) == ["JPEG", "PNG"]
    assert found.loc[1, ["bytes", "width", "height"]].tolist() == [(tmp_path / "b.png").stat().st_size, 40, 24]
    assert found["jpeg_quality"].isna()[1]
    assert found.iloc[2:].isna().all(axis=None)


def test_pixels_give_brightness_contrast_and_sharpness():
    plain = np.full((3, 16, 16), 51, dtype=np.uint8)
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (3, 16, 8))
    smooth = np.tile(np.arange(0, 256, 17, dtype=np.uint8), (3, 16, 1))
    found = image_properties(np.stack([plain, stripes, smooth]))
    assert found["brightness"].tolist() == pytest.approx([0.2, 0.5, 0.5], abs=1e-3)
    assert found["contrast"].tolist()[:2] == pytest.approx([0, 0.5], abs=1e-3)
    assert found["sharpness"].tolist() == pytest.approx([0, 510**2, 0], abs=1)
    clips = image_properties(np.stack([np.stack([plain, stripes])]))
    assert clips["brightness"][0] == pytest.approx(0.35, abs=1e-3)
