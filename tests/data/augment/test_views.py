"""Both views of an image: the same geometry, another look of the primary alone, the same again from one seed."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from auxface.data.augment.geometry import (
    CUBIC,
    TRIANGLE,
    _scaled,
    crop_resize,
    random_boxes,
    resize,
    shift_flip,
    warp,
    whole_pixels,
)
from auxface.data.augment.presets import PRESETS, make_views
from auxface.data.augment.randaugment import CHANCES, OPERATIONS, choose_operations, movement
from auxface.data.random import uniforms
from auxface.data.synthetic import render_faces

GRAY = 120


@pytest.fixture(scope="module")
def faces():
    return torch.from_numpy(render_faces(32, seed=9, size=64).images).permute(0, 3, 1, 2).contiguous()


def corners(count):
    """Images with a smooth ramp in each channel, so that a pixel's color tells where it came from."""
    at = torch.linspace(60, 190, 64)
    ramps = torch.stack([at[None].expand(64, 64), at[:, None].expand(64, 64), (at[None] + at[:, None]) / 2])
    return ramps.round().to(torch.uint8).expand(count, 3, 64, 64).contiguous()


@pytest.mark.parametrize("preset", PRESETS)
class TestEveryPreset:
    def test_shapes_types_and_ranges(self, faces, preset):
        for size in (64, 48, 96):
            views = make_views(faces, torch.arange(32), preset, size=size)
            assert views.primary.shape == views.clean.shape == (32, 3, size, size)
            assert views.primary.dtype == torch.float32
            assert views.clean.dtype == torch.uint8
            assert views.primary.min() >= 0
            assert views.primary.max() <= 1
            assert views.primary.isfinite().all()

    def test_a_sample_depends_on_its_seed_alone(self, faces, preset):
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
            # Sums in another order may round to the next level, and a level may fall on the other side of a threshold.
            assert ((whole - alone).abs() > step * 1.01).float().mean() < 2e-3
            assert ((whole - getattr(turned, name)[order].float()).abs() > step * 1.01).float().mean() < 2e-3
        assert torch.equal(faces, before)

    def test_the_clean_view_never_sees_a_photometric_change(self, preset):
        # Of a flat image, geometry can make nothing but that color, and the fill of what lies outside.
        flat = torch.full((200, 3, 32, 32), GRAY, dtype=torch.uint8)
        clean = make_views(flat, torch.arange(200), preset, size=32).clean
        if preset == "ssat":
            assert clean.min() >= GRAY
            assert clean.max() <= 124
        else:
            assert (clean == GRAY).all()


@pytest.mark.parametrize("preset", ["light", "ssat", "forensic"])
def test_random_presets_change_the_primary_view_and_follow_the_seed(faces, preset):
    views = make_views(faces, torch.arange(32), preset, size=64)
    other = make_views(faces, torch.arange(32) + 1000, preset, size=64)
    changed = ((views.primary - views.clean / 255).abs().amax((1, 2, 3)) > 0.02).float().mean()
    assert changed > (0.4 if preset == "ssat" else 0.7)
    assert ((views.clean.float() - other.clean.float()).abs().mean((1, 2, 3)) > 1).float().mean() > 0.8


@pytest.mark.parametrize("preset", ["light", "ssat", "forensic"])
def test_both_views_share_their_geometry(preset):
    """Where colors keep their order, each pixel of the primary view must still rank as in the clean one."""
    views = make_views(corners(64), torch.arange(64), preset, size=64)
    agreed = []
    for primary, clean in zip(views.primary, views.clean.float()):
        across = [torch.corrcoef(torch.stack([primary[c].flatten(), clean[c].flatten()]))[0, 1].abs() for c in (0, 1)]
        agreed.append(torch.stack(across).nan_to_num(1).min().item())
    # Solarized, inverted, erased and posterized images lose their order; no image loses its place.
    assert np.mean(np.array(agreed) > 0.98) > (0.55 if preset == "ssat" else 0.95)


def test_none_leaves_a_image_of_the_right_size_alone(faces):
    views = make_views(faces, torch.arange(32), "none", size=64)
    assert torch.equal(views.clean, faces)
    assert torch.equal(views.primary, faces.float() / 255)


def test_forensic_geometry_invents_no_pixel_value(faces):
    views = make_views(faces, torch.arange(32), "forensic", size=64)
    for image, clean in zip(faces, views.clean):
        # The middle of the clean view is a shifted, perhaps mirrored window of the image.
        window = clean[:, 8:-8, 8:-8]
        found = any(
            torch.equal(window, way[:, 8 + down : 56 + down, 8 + across : 56 + across])
            for way in (image, image.flip(2))
            for down in range(-2, 3)
            for across in range(-2, 3)
        )
        assert found


def test_bad_calls_say_so(faces):
    with pytest.raises(ValueError, match="unknown preset 'hard'; expected none, light, ssat, forensic"):
        make_views(faces, torch.arange(32), "hard", size=64)
    with pytest.raises(ValueError, match="uint8"):
        make_views(faces.float(), torch.arange(32), "light", size=64)


@pytest.mark.parametrize(("kernel", "filtered"), [(None, Image.Resampling.BILINEAR), (CUBIC, Image.Resampling.BICUBIC)])
@pytest.mark.parametrize("size", [24, 64, 90])
def test_scaling_equals_pillow(faces, kernel, filtered, size):
    ours = resize(faces[:4], size, kernel) if kernel else resize(faces[:4], size)
    for image, made in zip(faces[:4].permute(0, 2, 3, 1).numpy(), ours.round().clamp(0, 255)):
        theirs = np.asarray(Image.fromarray(image).resize((size, size), filtered)).transpose(2, 0, 1)
        # Pillow rounds between its two passes.
        assert np.abs(made.numpy() - theirs).max() <= 2
        assert np.abs(made.numpy() - theirs).mean() < 0.5


@pytest.mark.parametrize(
    ("kernel", "filtered"), [(TRIANGLE, Image.Resampling.BILINEAR), (CUBIC, Image.Resampling.BICUBIC)]
)
@pytest.mark.parametrize("size", [16, 32, 90])
def test_a_crop_equals_pillows(faces, kernel, filtered, size):
    left, top, width, height = box = (5, 9, 30, 41)
    cut = Image.fromarray(faces[0].permute(1, 2, 0).numpy()).crop((left, top, left + width, top + height))
    cut = cut.resize((size, size), filtered)
    theirs = np.asarray(cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)).transpose(2, 0, 1).astype(int)
    boxes, mirrored = torch.tensor([box, (0, 0, 64, 64)]), torch.tensor([True, False])
    ours = crop_resize(faces[:2], boxes, mirrored, size, kernel)[0].numpy()
    assert np.abs(ours - theirs).max() <= 1
    # What other devices do: a matrix per axis.
    matrices = _scaled(faces[:2], boxes, size, kernel)[0].round().clamp(0, 255).flip(2).numpy()
    assert np.abs(matrices - theirs).max() <= 2
    assert np.abs(matrices - theirs).mean() < 0.3


@given(st.integers(0, 2**31), st.sampled_from([(0.08, 1.0), (0.5, 0.9)]))
@settings(max_examples=40, deadline=None)
def test_random_boxes_lie_inside_and_have_the_area(seed, area):
    boxes = random_boxes(uniforms(torch.arange(64) + seed, 4), 100, area=area, ratio=(3 / 4, 4 / 3))
    left, top, width, height = boxes.T
    assert (boxes[:, :2] >= 0).all()
    assert (left + width <= 100.001).all()
    assert (top + height <= 100.001).all()
    assert (width * height / 1e4 <= area[1] + 1e-4).all()
    ratio = width / height
    assert ratio.min() > 0.74
    assert ratio.max() < 1.35
    whole = whole_pixels(boxes, 100)
    assert whole.dtype == torch.int64
    assert (whole[:, :2] >= 0).all()
    assert (whole[:, 2:] >= 1).all()
    assert (whole[:, :2] + whole[:, 2:] <= 100).all()
    assert (whole - boxes).abs().max() <= 1


def test_shifting_moves_whole_pixels_and_repeats_the_edge():
    image = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4)
    moved = shift_flip(image, torch.tensor([1]), torch.tensor([-1]), torch.tensor([False]))
    assert moved[0, 0].tolist() == [[1, 2, 3, 3], [1, 2, 3, 3], [5, 6, 7, 7], [9, 10, 11, 11]]
    turned = shift_flip(image, torch.tensor([0]), torch.tensor([0]), torch.tensor([True]))
    assert torch.equal(turned, image.flip(3))


@pytest.mark.parametrize(
    ("name", "strength", "sign", "matrix"),
    [
        # What Pillow calls an affine transform: x' = a x + b y + c, y' = d x + e y + f about the middle, in pixels.
        ("translate_x", 0.5, 1.0, (1, 0, 0.225 * 64, 0, 1, 0)),
        ("translate_y", 1.0, -1.0, (1, 0, 0, 0, 1, -0.45 * 64)),
        ("shear_x", 1.0, 1.0, (1, 0.3, 0, 0, 1, 0)),
        ("shear_y", 0.5, -1.0, (1, 0, 0, -0.15, 1, 0)),
        ("rotate", 1.0, 1.0, (np.cos(np.pi / 6), -np.sin(np.pi / 6), 0, np.sin(np.pi / 6), np.cos(np.pi / 6), 0)),
    ],
)
def test_movements_equal_pillows(faces, name, strength, sign, matrix):
    operations = torch.tensor([[OPERATIONS.index(name), -1]])
    maps = movement(operations, torch.tensor([[strength, 0.0]]), torch.tensor([[sign, 1.0]]))
    ours = warp(faces[:1].float(), maps, 124.0)[0].permute(1, 2, 0).numpy()
    a, b, c, d, e, f = matrix
    middle = 32
    data = (a, b, c + middle - a * middle - b * middle, d, e, f + middle - d * middle - e * middle)
    source = Image.fromarray(faces[0].permute(1, 2, 0).numpy())
    theirs = np.asarray(
        source.transform((64, 64), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR, fillcolor=(124,) * 3)
    )
    difference = np.abs(ours - theirs)
    # Pillow fills where the source has no whole pixel, ours fades over one.
    assert np.mean(difference.max(2) > 2) < 0.05


def test_randaugment_draws_two_layers_half_of_the_time_around_magnitude_nine():
    operations, strength, signs = choose_operations(uniforms(torch.arange(20_000), CHANCES))
    assert operations.shape == strength.shape == signs.shape == (20_000, 2)
    assert (operations >= 0).float().mean().item() == pytest.approx(0.5, abs=0.01)
    counts = torch.bincount(operations[operations >= 0], minlength=len(OPERATIONS)).float()
    assert (counts / counts.sum() - 1 / len(OPERATIONS)).abs().max() < 0.01
    assert strength.mean().item() == pytest.approx(0.9, abs=0.01)
    assert strength.std().item() == pytest.approx(0.05, abs=0.005)
    assert signs.mean().abs().item() < 0.03


def test_ssat_erases_a_quarter_with_noise():
    flat = torch.full((2000, 3, 32, 32), 100, dtype=torch.uint8)
    views = make_views(flat, torch.arange(2000), "ssat", size=32)
    # Only noise differs between neighbors in an image without edges.
    rough = (views.primary[:, :, 1:] - views.primary[:, :, :-1]).abs().mean((1, 2, 3)) > 0.004
    assert rough.float().mean().item() == pytest.approx(0.25, abs=0.06)
