"""Presets: both views have the same geometry, only the primary view changes in color, and seeds determine both."""

import numpy as np
import pytest
import torch

from auxface.data.augment.presets import PRESETS, make_views
from auxface.data.augment.views import ViewRequest
from auxface.data.synthetic import render_faces
from auxface.training.data_loader import DataLoader, make_sample_view

GRAY = 120


@pytest.fixture(scope="module")
def faces():
    return torch.from_numpy(render_faces(32, seed=9, size=64).images).permute(0, 3, 1, 2).contiguous()


def corners(count):
    """Return images with a smooth ramp in each channel, so that the color of a pixel shows its origin."""
    at = torch.linspace(60, 190, 64)
    ramps = torch.stack([at[None].expand(64, 64), at[:, None].expand(64, 64), (at[None] + at[:, None]) / 2])
    return ramps.round().to(torch.uint8).expand(count, 3, 64, 64).contiguous()


@pytest.mark.parametrize("preset", PRESETS)
class TestEveryPreset:
    def test_views_have_shape_dtype_and_range(self, faces, preset):
        for size in (64, 48, 96):
            views = make_views(faces, torch.arange(32), preset, size=size)
            assert views.primary.shape == views.clean.shape == (32, 3, size, size)
            assert views.primary.dtype == torch.float32
            assert views.clean.dtype == torch.uint8
            # Only the noise of erased boxes leaves 0..1.
            assert preset == "ssat" or 0 <= views.primary.min() <= views.primary.max() <= 1
            assert views.primary.isfinite().all()

    def test_a_row_depends_on_its_own_seed_only(self, faces, preset):
        before = faces.clone()
        seeds = torch.arange(32) * 101
        together = make_views(faces, seeds, preset, size=64)
        again = make_views(faces, seeds, preset, size=64)
        assert torch.equal(together.primary, again.primary)
        order = torch.arange(31, -1, -1)
        turned = make_views(faces[order], seeds[order], preset, size=64)
        apart = [make_views(faces[row : row + 1], seeds[row : row + 1], preset, size=64) for row in range(32)]
        for name in ("primary", "clean"):
            whole = getattr(together, name).float()
            step = 1.0 if name == "clean" else 1 / 255
            alone = torch.cat([getattr(one, name) for one in apart]).float()
            # Another order of summation can change a level by one, which can then pass a threshold.
            assert ((whole - alone).abs() > step * 1.01).float().mean() < 2e-3
            assert ((whole - getattr(turned, name)[order].float()).abs() > step * 1.01).float().mean() < 2e-3
        assert torch.equal(faces, before)

    def test_the_clean_view_has_no_photometric_change(self, preset):
        # Geometry can turn a constant image into its color and the fill color only.
        flat = torch.full((200, 3, 32, 32), GRAY, dtype=torch.uint8)
        clean = make_views(flat, torch.arange(200), preset, size=32).clean
        if preset == "ssat":
            assert clean.min() >= GRAY
            assert clean.max() <= 124
        elif preset == "spectrogram":
            # Silence follows the crop.
            assert set(clean.unique().tolist()) == {0, GRAY}
        else:
            assert (clean == GRAY).all()


@pytest.mark.parametrize("preset", ["light", "ssat", "forensic", "forensic_sharp"])
def test_random_presets_depend_on_the_seed(faces, preset):
    views = make_views(faces, torch.arange(32), preset, size=64)
    other = make_views(faces, torch.arange(32) + 1000, preset, size=64)
    changed = ((views.primary - views.clean / 255).abs().amax((1, 2, 3)) > 0.02).float().mean()
    assert changed > (0.4 if preset == "ssat" else 0.7)
    assert ((views.clean.float() - other.clean.float()).abs().mean((1, 2, 3)) > 1).float().mean() > 0.8


@pytest.mark.parametrize("preset", ["light", "ssat", "forensic", "forensic_sharp"])
def test_both_views_share_their_geometry(preset):
    """Values of the primary and the clean view are correlated in most images, so pixels have the same places."""
    views = make_views(corners(64), torch.arange(64), preset, size=64)
    agreed = []
    for primary, clean in zip(views.primary, views.clean.float()):
        across = [torch.corrcoef(torch.stack([primary[c].flatten(), clean[c].flatten()]))[0, 1].abs() for c in (0, 1)]
        agreed.append(torch.stack(across).nan_to_num(1).min().item())
    # Solarizing, inverting, erasing and posterizing lower the correlation.
    assert np.mean(np.array(agreed) > 0.98) > (0.55 if preset == "ssat" else 0.95)


def test_none_keeps_an_image_of_the_view_size(faces):
    views = make_views(faces, torch.arange(32), "none", size=64)
    assert torch.equal(views.clean, faces)
    assert torch.equal(views.primary, faces.float() / 255)


def test_forensic_geometry_keeps_pixel_values(faces):
    views = make_views(faces, torch.arange(32), "forensic", size=64)
    for image, clean in zip(faces, views.clean):
        # The middle of the clean view is a window of the image, shifted and possibly mirrored.
        window = clean[:, 8:-8, 8:-8]
        found = any(
            torch.equal(window, way[:, 8 + down : 56 + down, 8 + across : 56 + across])
            for way in (image, image.flip(2))
            for down in range(-2, 3)
            for across in range(-2, 3)
        )
        assert found


def test_invalid_arguments_are_refused(faces):
    with pytest.raises(ValueError, match="unknown preset 'hard'; expected none, light, crop, ssat, forensic"):
        make_views(faces, torch.arange(32), "hard", size=64)
    with pytest.raises(ValueError, match="uint8"):
        make_views(faces.float(), torch.arange(32), "light", size=64)


def test_ssat_erases_a_quarter_of_the_images():
    flat = torch.full((2000, 3, 32, 32), 100, dtype=torch.uint8)
    views = make_views(flat, torch.arange(2000), "ssat", size=32)
    # In a constant image, only noise makes neighboring pixels differ.
    rough = (views.primary[:, :, 1:] - views.primary[:, :, :-1]).abs().mean((1, 2, 3)) > 0.004
    assert rough.float().mean().item() == pytest.approx(0.25, abs=0.06)


def test_crop_changes_only_the_geometry(faces):
    views = make_views(faces.repeat(50, 1, 1, 1), torch.arange(50 * len(faces)), "crop", size=32)
    assert torch.equal(views.primary, views.clean.float().div(255))
    # The map from a view of 32 pixels to an image of 64 enlarges areas by 4 where the crop is the whole image.
    area = torch.linalg.det(views.affine[:, :2, :2]).abs() / 4
    assert 0.18 < float(area.min()) < 0.22
    assert 0.97 < float(area.max()) <= 1.001


@pytest.mark.parametrize("preset", ["light", "forensic", "forensic_sharp"])
def test_without_mirroring_the_left_side_stays_left(preset):
    images = torch.zeros(40, 3, 32, 32, dtype=torch.uint8)
    images[..., :16] = 255
    seeds = torch.arange(40)
    is_left = [
        made.clean.float()[..., :16].mean((1, 2, 3)) > made.clean.float()[..., 16:].mean((1, 2, 3))
        for made in (make_views(images, seeds, preset, size=32, mirror=mirror) for mirror in (True, False))
    ]
    assert 5 < int(is_left[0].sum()) < 35
    assert bool(is_left[1].all())
    crops = [
        make_sample_view(ViewRequest("contrast_crop"), images, seeds, 32, mirror=mirror).affine[:, 0, 0]
        for mirror in (True, False)
    ]
    assert bool((crops[0] < 0).any())
    assert bool((crops[1] > 0).all())


def test_erasing_noise_is_standard_normal_after_standardizing():
    """As timm's erasing has it: mean 0, standard deviation 1 in each channel, not clipped."""
    images = np.full((400, 3, 32, 32), 128, np.uint8)
    given = ((0.5, 0.4, 0.6), (0.3, 0.5, 0.1))
    loader = DataLoader(
        images=images, labels={}, seed=0, batch_size=400, augment="ssat", size=32, standardization=given
    )
    primary = loader.batch(torch.arange(400), 0, torch.device("cpu")).primary
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in given)
    gray = (primary == primary[:, :1]).all(1)
    noise = ((primary - mean) / std).permute(1, 0, 2, 3)[:, ~gray]
    assert noise.shape[1] > 5000
    torch.testing.assert_close(noise.mean(1), torch.zeros(3), atol=0.05, rtol=0)
    torch.testing.assert_close(noise.std(1), torch.ones(3), atol=0.05, rtol=0)
    assert float(primary.max()) > 1
    assert float(primary.min()) < 0


def test_forensic_sharp_never_blurs(faces):
    """Differences of neighbors keep their size, up to JPEG and color; some images of ``forensic`` lose half of it."""

    def detail(views):
        primary, clean = (x.float().diff(dim=-1).abs().mean((1, 2, 3)) for x in (views.primary, views.clean / 255))
        return (primary / clean).min().item()

    assert detail(make_views(faces, torch.arange(32), "forensic", size=64)) < 0.6
    assert detail(make_views(faces, torch.arange(32), "forensic_sharp", size=64)) > 0.75
