"""RandAugment: its distribution of operations, and geometric operations against Pillow."""

import numpy as np
import pytest
import torch
from PIL import Image

from auxface.data.augment.geometry import (
    warp,
)
from auxface.data.augment.presets import CHANCES, OPERATIONS, choose_operations, movement
from auxface.data.random import uniforms
from auxface.data.synthetic import render_faces


@pytest.fixture(scope="module")
def faces():
    return torch.from_numpy(render_faces(32, seed=9, size=64).images).permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize(
    ("name", "strength", "sign", "matrix"),
    [
        # The affine transform of Pillow: x' = a x + b y + c, y' = d x + e y + f about the middle, in pixels.
        ("translate_x", 0.5, 1.0, (1, 0, 0.225 * 64, 0, 1, 0)),
        ("translate_y", 1.0, -1.0, (1, 0, 0, 0, 1, -0.45 * 64)),
        ("shear_x", 1.0, 1.0, (1, 0.3, 0, 0, 1, 0)),
        ("shear_y", 0.5, -1.0, (1, 0, 0, -0.15, 1, 0)),
        ("rotate", 1.0, 1.0, (np.cos(np.pi / 6), -np.sin(np.pi / 6), 0, np.sin(np.pi / 6), np.cos(np.pi / 6), 0)),
    ],
)
def test_geometric_operations_equal_pillow(faces, name, strength, sign, matrix):
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
    # At the border of the source, Pillow fills whole pixels; this warp blends over one pixel.
    assert np.mean(difference.max(2) > 2) < 0.05


def test_randaugment_draws_as_documented():
    operations, strength, signs = choose_operations(uniforms(torch.arange(20_000), CHANCES))
    assert operations.shape == strength.shape == signs.shape == (20_000, 2)
    assert (operations >= 0).float().mean().item() == pytest.approx(0.5, abs=0.01)
    counts = torch.bincount(operations[operations >= 0], minlength=len(OPERATIONS)).float()
    assert (counts / counts.sum() - 1 / len(OPERATIONS)).abs().max() < 0.01
    assert strength.mean().item() == pytest.approx(0.9, abs=0.01)
    assert strength.std().item() == pytest.approx(0.05, abs=0.005)
    assert signs.mean().abs().item() < 0.03
