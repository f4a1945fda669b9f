"""The contract of every registered corruption, and known values of those that have an oracle."""

import io
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from auxface.data.corruptions import SEVERITIES, corrupt, corruptions
from auxface.data.synthetic import render_faces

THE_FIFTEEN = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip


@pytest.fixture(scope="module")
def faces():
    images = render_faces(12, seed=5, size=64).images
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def seeds(count, start=0):
    return torch.arange(start, start + count, dtype=torch.int64)


def psnr(a, b):
    return -10 * torch.log10(((a.float() - b.float()) / 255).square().mean()).item()


def test_the_published_fifteen_are_registered():
    assert set(THE_FIFTEEN) <= set(corruptions())
    assert {"gaussian_blur", "jpeg_quality", "resize", "occlusion_eyes", "occlusion_mouth", "occlusion_random"} <= set(
        corruptions()
    )


@pytest.mark.parametrize("name", corruptions())
class TestEveryCorruption:
    def test_corruption_keeps_shape_and_input(self, faces, name):
        for height, width in ((64, 64), (40, 56), (16, 16)):
            before = faces[:2, :, :height, :width].contiguous()
            copy = before.clone()
            after = corrupt(before, name, 5, seeds(2))
            assert after.shape == before.shape
            assert after.dtype == torch.uint8
            assert torch.equal(before, copy)
            assert not torch.equal(after, before)

    def test_corruption_grows_with_severity(self, faces, name):
        quality = [psnr(corrupt(faces, name, severity, seeds(len(faces))), faces) for severity in SEVERITIES]
        if name == "elastic_transform":  # its published constants turn from coarse to fine after 2
            assert quality[1] < quality[0], quality
            assert quality[4] < quality[3] < quality[2], quality
            return
        assert quality[-1] < quality[0] - 1, quality
        # A tolerance of 1 dB, since the published levels of snow, frost and fog change several parameters at once.
        assert all(later < earlier + 1.0 for earlier, later in pairwise(quality)), quality

    def test_corruption_ignores_the_rest_of_the_batch(self, faces, name):
        numbers = seeds(len(faces), 100)
        for severity in (1, 4):
            together = corrupt(faces, name, severity, numbers)
            apart = torch.cat([corrupt(faces[i:j], name, severity, numbers[i:j]) for i, j in ((0, 1), (1, 6), (6, 12))])
            assert torch.equal(together, apart)
            turned = corrupt(faces.flip(0), name, severity, numbers.flip(0)).flip(0)
            assert torch.equal(together, turned)

    def test_equal_seeds_give_equal_corruption(self, faces, name):
        assert torch.equal(corrupt(faces, name, 3, seeds(12)), corrupt(faces, name, 3, seeds(12)))

    def test_an_empty_batch_is_returned(self, faces, name):
        assert corrupt(faces[:0], name, 2, seeds(0)).shape == (0, 3, 64, 64)


RANDOM = (
    "gaussian_noise", "shot_noise", "impulse_noise", "glass_blur", "motion_blur", "snow", "frost", "fog",
    "elastic_transform", "occlusion_random",
)  # fmt: skip


@pytest.mark.parametrize("name", RANDOM)
def test_random_corruptions_depend_on_the_seed(faces, name):
    assert not torch.equal(corrupt(faces, name, 3, seeds(12)), corrupt(faces, name, 3, seeds(12, 1000)))


def test_invalid_arguments_are_refused(faces):
    with pytest.raises(ValueError, match=r"unknown corruption 'rain'.*expected one of brightness, contrast,"):
        corrupt(faces, "rain", 1, seeds(12))
    for severity in (0, 6):
        with pytest.raises(ValueError, match=f"severity must be 1, 2, 3, 4 or 5, not {severity}"):
            corrupt(faces, "fog", severity, seeds(12))
    with pytest.raises(TypeError, match="uint8"):
        corrupt(faces.float(), "fog", 1, seeds(12))
    with pytest.raises(ValueError, match="one per image"):
        corrupt(faces, "fog", 1, seeds(3))
    with pytest.raises(ValueError, match="H and W of at least 16"):
        corrupt(faces[:, :, :8], "fog", 1, seeds(12))


def test_gaussian_noise_has_the_published_deviation():
    gray = torch.full((4, 3, 64, 64), 128, dtype=torch.uint8)
    for severity, deviation in ((1, 0.08), (2, 0.12)):
        noise = corrupt(gray, "gaussian_noise", severity, seeds(4)).float() / 255
        assert noise.std().item() == pytest.approx(deviation, rel=0.03)


def test_shot_noise_has_poisson_variance():
    gray = torch.full((4, 3, 64, 64), 102, dtype=torch.uint8)
    noise = corrupt(gray, "shot_noise", 1, seeds(4)).float() / 255
    assert noise.mean().item() == pytest.approx(0.4, rel=0.02)
    assert noise.var().item() == pytest.approx(0.4 / 60, rel=0.05)


def test_impulse_noise_has_the_published_amount():
    gray = torch.full((4, 3, 64, 64), 100, dtype=torch.uint8)
    hit = corrupt(gray, "impulse_noise", 5, seeds(4))
    assert (hit != 100).float().mean().item() == pytest.approx(0.27, abs=0.01)
    assert set(hit.unique().tolist()) == {0, 100, 255}


def test_gaussian_blur_equals_scipy(faces):
    for severity, sigma in zip(SEVERITIES, (1, 2, 3, 4, 6)):
        ours = corrupt(faces[:2], "gaussian_blur", severity, seeds(2)).numpy().astype(int)
        theirs = ndimage.gaussian_filter(
            faces[:2].numpy().astype(float), (0, 0, sigma * 64 / 224, sigma * 64 / 224), mode="mirror"
        )
        assert np.abs(ours - theirs).max() <= 1.0


def test_jpeg_equals_pillow(faces):
    ours = corrupt(faces[:2], "jpeg_compression", 1, seeds(2)).permute(0, 2, 3, 1).numpy()
    for image, compressed in zip(faces[:2].permute(0, 2, 3, 1).numpy(), ours):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=25)
        theirs = np.asarray(Image.open(buffer))
        assert np.abs(theirs.astype(int) - compressed.astype(int)).mean() < 1.0


def test_contrast_and_brightness_have_known_values():
    halves = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    halves[..., 16:] = 200
    flat = corrupt(halves, "contrast", 1, seeds(1))
    assert flat[..., 0].unique().tolist() == [60]
    assert flat[..., -1].unique().tolist() == [140]
    bright = corrupt(halves, "brightness", 2, seeds(1))
    assert bright[..., 0].unique().tolist() == [51]
    assert bright[..., -1].unique().tolist() == [251]


def test_brightness_keeps_hue():
    orange = torch.tensor([120, 60, 30], dtype=torch.uint8).reshape(1, 3, 1, 1).expand(1, 3, 16, 16).contiguous()
    r, g, b = corrupt(orange, "brightness", 3, seeds(1))[0, :, 0, 0].tolist()
    assert (r / g, r / b) == (pytest.approx(2, rel=0.02), pytest.approx(4, rel=0.03))
    assert r == pytest.approx(120 + 0.3 * 255, abs=1)


def test_occlusion_covers_its_region_only(faces):
    for name, rows in (("occlusion_eyes", slice(20, 38)), ("occlusion_mouth", slice(37, 59))):
        changed = (corrupt(faces, name, 5, seeds(12)) != faces).any(1).float().mean(0)
        outside = changed.clone()
        outside[rows] = 0
        assert changed[rows].max() == 1
        assert outside.max() == 0


def test_random_occlusion_covers_the_stated_area():
    black = torch.zeros(8, 3, 64, 64, dtype=torch.uint8)
    for severity, share in ((1, 0.05), (3, 0.2), (5, 0.4)):
        covered = (corrupt(black, "occlusion_random", severity, seeds(8)) > 0).any(1).float().mean().item()
        assert covered == pytest.approx(share, rel=0.15)
