"""Crops, resizing and shifts against Pillow and known values."""

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
    whole_pixels,
)
from auxface.data.random import uniforms
from auxface.data.synthetic import render_faces


@pytest.fixture(scope="module")
def faces():
    return torch.from_numpy(render_faces(32, seed=9, size=64).images).permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize(("kernel", "filtered"), [(None, Image.Resampling.BILINEAR), (CUBIC, Image.Resampling.BICUBIC)])
@pytest.mark.parametrize("size", [24, 64, 90])
def test_scaling_equals_pillow(faces, kernel, filtered, size):
    ours = resize(faces[:4], size, kernel) if kernel else resize(faces[:4], size)
    for image, made in zip(faces[:4].permute(0, 2, 3, 1).numpy(), ours.round().clamp(0, 255)):
        theirs = np.asarray(Image.fromarray(image).resize((size, size), filtered)).transpose(2, 0, 1)
        # Pillow rounds between the two passes.
        assert np.abs(made.numpy() - theirs).max() <= 2
        assert np.abs(made.numpy() - theirs).mean() < 0.5


@pytest.mark.parametrize(
    ("kernel", "filtered"), [(TRIANGLE, Image.Resampling.BILINEAR), (CUBIC, Image.Resampling.BICUBIC)]
)
@pytest.mark.parametrize("size", [16, 32, 90])
def test_crops_equal_pillow(faces, kernel, filtered, size):
    left, top, width, height = box = (5, 9, 30, 41)
    cut = Image.fromarray(faces[0].permute(1, 2, 0).numpy()).crop((left, top, left + width, top + height))
    cut = cut.resize((size, size), filtered)
    theirs = np.asarray(cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)).transpose(2, 0, 1).astype(int)
    boxes, mirrored = torch.tensor([box, (0, 0, 64, 64)]), torch.tensor([True, False])
    ours = crop_resize(faces[:2], boxes, mirrored, size, kernel)[0].numpy()
    assert np.abs(ours - theirs).max() <= 1
    # The implementation for other devices: a matrix per axis.
    matrices = _scaled(faces[:2], boxes, size, kernel)[0].round().clamp(0, 255).flip(2).numpy()
    assert np.abs(matrices - theirs).max() <= 2
    assert np.abs(matrices - theirs).mean() < 0.3


@given(st.integers(0, 2**31), st.sampled_from([(0.08, 1.0), (0.5, 0.9)]))
@settings(max_examples=40, deadline=None)
def test_random_boxes_lie_inside_with_the_given_area(seed, area):
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


def test_shifts_repeat_the_edge_pixels():
    image = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4)
    moved = shift_flip(image, torch.tensor([1]), torch.tensor([-1]), torch.tensor([False]))
    assert moved[0, 0].tolist() == [[1, 2, 3, 3], [1, 2, 3, 3], [5, 6, 7, 7], [9, 10, 11, 11]]
    turned = shift_flip(image, torch.tensor([0]), torch.tensor([0]), torch.tensor([True]))
    assert torch.equal(turned, image.flip(3))
