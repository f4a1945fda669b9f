"""Targets that neighbors determine are found learnable, and noise is not."""

import numpy as np
import pytest
from PIL import Image

from auxface.errors import InputError
from auxface.objectives.reconstruction.learnable import learnable
from auxface.recipe import Target

RGB = Target(name="rgb")
LBP = Target(name="local_binary_pattern", encoding="bits")


def smooth_faces(count, seed):
    """Faces whose brightness is one random number each, with a fixed gradient."""
    brightness = np.random.default_rng(seed).uniform(40, 160, (count, 1, 1, 1))
    return np.broadcast_to(brightness + np.linspace(0, 60, 40), (count, 3, 40, 40)).astype(np.uint8)


def noise(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 40, 40)).astype(np.uint8)


def test_a_patch_that_its_neighbors_determine_is_predicted():
    [found] = learnable(smooth_faces(60, 0), smooth_faces(20, 1), [RGB], patch_size=8)
    assert found.r2 > 0.99
    assert (found.faces, found.held_out) == (60, 20)


def test_noise_is_not_predicted():
    for found in learnable(noise(80, 0), noise(30, 1), [RGB, LBP], patch_size=8):
        assert -0.1 < found.r2 < 0.02


def test_real_faces_rank_rgb_before_bits_of_patterns(shared_data):
    paths = sorted((shared_data / "demographics_utkface").rglob("*.jpg"))[::10][:400]
    faces = np.stack(
        [np.asarray(Image.open(path).convert("RGB").resize((40, 40))).transpose(2, 0, 1) for path in paths]
    )
    bits = Target(name="local_directional_pattern", encoding="bits")
    rgb, lbp, ldp = (one.r2 for one in learnable(faces[:300], faces[300:], [RGB, LBP, bits], patch_size=8))
    assert rgb > 0.5 > lbp > ldp


@pytest.mark.parametrize(
    ("size", "count", "sentence"), [(32, 40, "at least 5 x 5 are needed"), (40, 4, "4 faces to fit")]
)
def test_too_few_patches_or_faces_are_refused(size, count, sentence):
    faces = noise(count, 0)[..., :size, :size]
    with pytest.raises(InputError, match=sentence):
        learnable(faces, faces, [RGB], patch_size=8)
