"""Color operations and JPEG against Pillow, blur against SciPy."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage

from auxface.data.augment import photometric
from auxface.data.augment.photometric import compress_jpeg
from auxface.data.augment.presets import OPERATIONS, recolor
from auxface.data.synthetic import render_faces


@pytest.fixture(scope="module")
def faces():
    images = render_faces(6, seed=21, size=64).images
    # A reduced range of values, so that autocontrast has an effect.
    return np.clip(images.astype(np.float32) * 0.7 + 30, 0, 255).astype(np.uint8)


def tensor(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def ours(operation, images, strength, sign=1.0):
    count = len(images)
    operations = torch.tensor([[OPERATIONS.index(operation), -1]] * count)
    strengths, signs = torch.full((count, 2), strength), torch.full((count, 2), sign)
    made = recolor(tensor(images), operations, strengths, signs)
    return (made * 255).permute(0, 2, 3, 1).numpy()


def enhanced(kind):
    return lambda image, factor: kind(image).enhance(factor)


@pytest.mark.parametrize(
    ("operation", "strength", "sign", "theirs", "tolerance"),
    [
        ("autocontrast", 0.9, 1, ImageOps.autocontrast, 1.6),
        ("equalize", 0.9, 1, ImageOps.equalize, 0.51),
        ("invert", 0.9, 1, ImageOps.invert, 0.01),
        ("posterize", 0.5, 1, lambda image: ImageOps.posterize(image, 2), 0.01),
        ("solarize", 0.5, 1, lambda image: ImageOps.solarize(image, 128), 0.01),
        ("color", 0.5, 1, lambda image: ImageEnhance.Color(image).enhance(1.45), 1.6),
        ("color", 0.9, -1, lambda image: ImageEnhance.Color(image).enhance(0.19), 1.6),
        ("contrast", 0.5, 1, lambda image: ImageEnhance.Contrast(image).enhance(1.45), 1.6),
        ("contrast", 0.9, -1, lambda image: ImageEnhance.Contrast(image).enhance(0.19), 1.6),
        ("brightness", 0.5, 1, lambda image: ImageEnhance.Brightness(image).enhance(1.45), 1.01),
        ("brightness", 1.0, -1, lambda image: ImageEnhance.Brightness(image).enhance(0.1), 1.01),
        ("sharpness", 0.5, 1, lambda image: ImageEnhance.Sharpness(image).enhance(1.45), 1.6),
        ("sharpness", 0.9, -1, lambda image: ImageEnhance.Sharpness(image).enhance(0.19), 1.6),
    ],
)
def test_color_operations_equal_pillow(faces, operation, strength, sign, theirs, tolerance):
    made = ours(operation, faces, strength, float(sign))
    for pixels, result in zip(faces, made):
        expected = np.asarray(theirs(Image.fromarray(pixels))).astype(float)
        assert np.abs(result - expected).max() <= tolerance


def test_solarize_add_has_known_values():
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, 3)
    made = ours("solarize_add", ramp, 0.9)[0, :, :, 0].ravel()
    expected = [min(255, value + 99) if value < 128 else value for value in range(256)]
    assert np.abs(made - expected).max() < 0.01


def test_jitter_equals_its_three_operations_in_order(faces):
    factors = torch.tensor([[1.1, 0.8, 1.2]] * len(faces))
    made = photometric.jitter(tensor(faces) * 0.8, factors)
    step = photometric.scale_brightness(tensor(faces) * 0.8, factors[:, 0])
    step = photometric.scale_contrast(step, factors[:, 1])
    step = photometric.scale_saturation(step, factors[:, 2])
    assert torch.allclose(made, step, atol=1e-5)
    assert torch.allclose(photometric.jitter(tensor(faces), torch.ones(len(faces), 3)), tensor(faces), atol=1e-6)


def test_constant_images_give_finite_results():
    for level in (0, 128, 255):
        flat = np.full((1, 8, 8, 3), level, np.uint8)
        for operation in OPERATIONS:
            assert np.isfinite(ours(operation, flat, 0.9)).all()


@pytest.mark.parametrize("sigma", [0.5, 1.5, 4.0])
def test_blur_equals_scipy_away_from_the_edge(faces, sigma):
    made = photometric.blur(tensor(faces), torch.full((len(faces),), sigma)).numpy()
    expected = ndimage.gaussian_filter(tensor(faces).numpy(), (0, 0, sigma, sigma), truncate=8)
    inside = slice(16, -16)
    assert np.abs(made - expected)[:, :, inside, inside].max() < 2e-3


def test_erasing_changes_the_box_only():
    images, noise = torch.zeros(2, 3, 8, 8), torch.ones(2, 3, 8, 8)
    erased = photometric.erase(images, torch.tensor([[2.0, 1.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]]), noise)
    assert erased[0, 0, 1:5, 2:5].min() == 1
    assert erased[0].sum() == 3 * 12
    assert erased[1].sum() == 0


@pytest.mark.parametrize("quality", [20, 50, 75, 90, 98])
@pytest.mark.parametrize("side", [64, 50])
def test_jpeg_equals_pillows_codec(faces, quality, side):
    images = np.ascontiguousarray(faces[:, :side, :side])
    made = compress_jpeg(tensor(images) * 255, torch.full((len(images),), float(quality)))
    for image, result in zip(images, made.permute(0, 2, 3, 1).numpy()):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=quality)
        theirs = np.asarray(Image.open(buffer)).astype(float)
        damage = np.abs(theirs - image).mean()
        # Integer and floating-point transforms round coefficients halfway between two steps differently.
        assert np.abs(result - theirs).mean() < max(0.95, 0.2 * damage)
        assert np.abs(result - image).mean() == pytest.approx(damage, rel=0.1, abs=0.15)


def test_each_image_has_its_own_quality(faces):
    together = compress_jpeg(tensor(faces[:2]) * 255, torch.tensor([10.0, 95.0]))
    apart = [compress_jpeg(tensor(faces[at : at + 1]) * 255, torch.tensor([q])) for at, q in ((0, 10.0), (1, 95.0))]
    assert torch.equal(together, torch.cat(apart))
