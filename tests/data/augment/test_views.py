"""Views: the affine map from the view to the source image, requests, options and registration."""

from dataclasses import replace

import pytest
import torch

from auxface.data.augment.presets import PRESETS, make_views
from auxface.data.augment.views import ViewMaker, ViewRequest, make_view, registry
from auxface.errors import InputError

COUNT = 200
# The fill value of the preset `ssat`, so that only the dot differs from the background.
BACKGROUND = 124


def dots(side):
    """Return images with one bright dot each, and the centers of the dots, float32 [B, 2], in pixel coordinates."""
    centers = side * (0.25 + 0.5 * torch.rand(COUNT, 2, generator=torch.Generator().manual_seed(0)))
    at = torch.arange(side) + 0.5
    squared = (at - centers[:, :1])[:, None, :] ** 2 + (at - centers[:, 1:])[:, :, None] ** 2
    dot = BACKGROUND + (255 - BACKGROUND) * torch.exp(-squared / (2 * (side / 32) ** 2))
    return dot.round().to(torch.uint8)[:, None].expand(-1, 3, -1, -1).contiguous(), centers


def found(images):
    """Return the centers of the dots in a view, float32 [B, 2]."""
    gray = images.float().mean(1)
    away = (gray - gray.flatten(1).median(1).values[:, None, None]).abs()
    away = torch.where(away > 0.2 * away.amax((1, 2), keepdim=True), away, 0)
    total = away.sum((1, 2)).clamp(min=1e-6)
    at = torch.arange(gray.shape[-1]) + 0.5
    return torch.stack([(away.sum(1) * at).sum(1) / total, (away.sum(2) * at).sum(1) / total], 1)


def made(name, images, seeds, size):
    if name in PRESETS:
        views = make_views(images, seeds, name, size=size)
        return views.clean, views.affine
    view = make_view(ViewRequest(name), images, seeds, size)
    return view.images, view.affine


@pytest.mark.parametrize("size", [64, 48, 96])
# Masks and silence hide the dot in views of spectrograms, which have tests of their own.
@pytest.mark.parametrize("name", [name for name in (*PRESETS, *registry.available()) if "spectrogram" not in name])
def test_the_map_leads_to_a_dot_in_the_view(name, size):
    images, centers = dots(64)
    pixels, affine = made(name, images, torch.arange(COUNT), size)
    assert affine.shape == (COUNT, 2, 3)
    assert affine.dtype == torch.float32
    # The inverse of the map gives the center of the dot in the view.
    expected = torch.linalg.solve(affine[:, :, :2], (centers - affine[:, :, 2])[:, :, None])[:, :, 0]
    # Only views that contain the whole dot; a small crop enlarges it.
    radius = 4 * size / 32 * (64 / size) / affine[:, :, :2].det().abs().sqrt()
    inside = ((expected > radius[:, None]) & (expected < size - radius[:, None])).all(1)
    assert inside.float().mean() > (0.2 if name == "ssat" else 0.5)
    error = (found(pixels) - expected)[inside].abs()
    assert error.max() < 0.5


def test_pixel_centers_are_at_halves():
    images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    affine = make_views(images, torch.tensor([0]), "none", size=4).affine[0]
    assert affine.tolist() == [[2, 0, 0], [0, 2, 0]]
    # The first of four by four pixels covers the first two by two of eight by eight.
    assert (affine @ torch.tensor([0.5, 0.5, 1.0])).tolist() == [1.0, 1.0]


def test_a_mirrored_view_has_a_mirrored_map():
    images = torch.zeros(64, 3, 32, 32, dtype=torch.uint8)
    affine = make_views(images, torch.arange(64), "light", size=32).affine
    left = affine @ torch.tensor([0.0, 16.0, 1.0])
    right = affine @ torch.tensor([32.0, 16.0, 1.0])
    mirrored = affine[:, 0, 0] < 0
    assert 16 < mirrored.sum() < 48
    assert torch.equal(left[:, 0] > right[:, 0], mirrored)
    assert torch.minimum(left, right).min() >= 0
    assert torch.maximum(left, right).max() <= 32


def test_requests_with_equal_options_are_equal():
    first = ViewRequest("contrast_crop", {"number": 2, "area": (0.05, 0.4)}, size=32)
    second = ViewRequest("contrast_crop", (("area", (0.05, 0.4)), ("number", 2)), size=32)
    assert {first: "view"}[second] == "view"
    assert first != ViewRequest("contrast_crop", {"number": 2})


def test_one_step_holds_views_of_several_sizes():
    images, _ = dots(64)
    requests = [ViewRequest("contrast_crop", {"number": 3, "area": (0.05, 0.4)}, size=24), ViewRequest("contrast_crop")]
    small, large = (make_view(request, images, torch.arange(COUNT), 64) for request in requests)
    assert small.images.shape == (COUNT, 3, 24, 24)
    assert large.images.shape == (COUNT, 3, 64, 64)
    covered = (small.affine[:, :, :2] * 24 / 64).det().abs()
    assert covered.min() > 0.04
    assert covered.max() < 0.41


def test_an_unknown_view_or_option_is_named():
    images, _ = dots(32)
    with pytest.raises(InputError, match=r"unknown view 'contrast_crops' \(did you mean 'contrast_crop'\?\)"):
        make_view(ViewRequest("contrast_crops"), images, torch.arange(COUNT), 32)
    with pytest.raises(InputError, match=r"has no option 'nummer' \(did you mean 'number'\?\); expected"):
        make_view(ViewRequest("contrast_crop", {"nummer": 1}), images, torch.arange(COUNT), 32)


def test_another_package_adds_a_view_with_options():
    def darker(images, seeds, size, *, factor=0.5):
        whole = make_view(ViewRequest("contrast_crop", {"area": (1.0, 1.0)}), images, seeds, size)
        return replace(whole, images=whole.images * factor)

    images, _ = dots(32)
    with registry.isolated():
        registry.register(ViewMaker("darker", darker))
        assert registry.get("darker").options == {"factor": 0.5}
        black = make_view(ViewRequest("darker", {"factor": 0.0}), images, torch.arange(COUNT), 32)
    assert black.images.max() == 0
