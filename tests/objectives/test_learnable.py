"""Targets that neighbors determine are found learnable, and noise is not."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from auxface.data.manifest import Label, Manifest, write_manifest
from auxface.errors import InputError
from auxface.objectives.reconstruction.learnable import learnable, texture_learnable
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
    ("size", "count", "sentence"), [(32, 40, "at least 5 x 5 are needed"), (40, 4, "found 4 faces for fitting")]
)
def test_too_few_patches_or_faces_are_refused(size, count, sentence):
    faces = noise(count, 0)[..., :size, :size]
    with pytest.raises(InputError, match=sentence):
        learnable(faces, faces, [RGB], patch_size=8)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Faces of 40 pixels that are one gradient each, with a brightness of their own; 30 train, 10 val, 5 test."""
    folder = tmp_path_factory.mktemp("gradients")
    faces = smooth_faces(45, 0)
    splits = ["train"] * 30 + ["val"] * 10 + ["test"] * 5
    rows = []
    for number, (face, split) in enumerate(zip(faces, splits, strict=True)):
        name = f"{number}.png"
        # Noise in the test split: reading it would lower the scores.
        pixels = noise(1, number)[0] if split == "test" else face
        Image.fromarray(pixels.transpose(1, 2, 0)).save(folder / name)
        rows.append({"path": name, "split": split, "dataset": "d", "source": name, "video": "", "frame": 0})
    table = pd.DataFrame(rows).assign(method="", kind="a")
    write_manifest(Manifest(table, {"kind": Label("class", ("a",))}, root=folder), folder / "faces.parquet")
    return folder / "faces.parquet"


def test_a_manifest_is_fitted_on_train_and_scored_on_val(manifest):
    [found] = texture_learnable(manifest, targets=["rgb"], size=40)
    assert found.r2 > 0.99
    assert (found.faces, found.held_out) == (30, 10)


def test_at_most_the_given_number_of_faces_is_used(manifest):
    [found] = texture_learnable(manifest, targets=[RGB], size=40, faces=9)
    assert (found.faces, found.held_out) == (9, 9)


def test_targets_are_sorted_and_written(manifest, tmp_path):
    hard = "{name: local_binary_pattern, encoding: bits, parameters: {radius: 2}, smooth: 1.5}"
    found = texture_learnable(manifest, tmp_path / "t.csv", targets=[hard, "rgb"], size=40)
    assert [one.target.name for one in found] == ["rgb", "local_binary_pattern"]
    assert found[1].target == Target(name="local_binary_pattern", encoding="bits", parameters={"radius": 2}, smooth=1.5)
    table = pd.read_csv(tmp_path / "t.csv")
    assert table["name"].tolist() == ["rgb", "local_binary_pattern"]
    assert table["r2"][0] == pytest.approx(found[0].r2)
    # All of these faces have the same texture.
    assert np.isnan(found[1].r2)
    assert found[1].to_dict()["r2"] is None
    assert table["r2"].isna()[1]
    assert table["smooth"].tolist() == [0, 1.5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": ["{name: rgb"]}, "not valid YAML"),
        ({"targets": ["5"]}, "target '5' is neither a name nor a mapping"),
        ({"targets": ["{name: rgb, smoth: 2}"]}, "did you mean 'smooth'"),
        ({"targets": ["local_binary_patern"]}, "did you mean 'local_binary_pattern'"),
        ({"targets": ["{name: rgb, scale: 3}"]}, "scale 3 must divide"),
        ({"targets": ["[rgb]"]}, "write it as in a recipe"),
        ({"targets": ["lbp_top"]}, "requires video clips"),
        ({"size": 42}, "size 42 must be a multiple of the patch size"),
        ({"size": 32}, "at least 5 x 5 are needed"),
        ({"faces": 4}, "found 4 faces for fitting"),
    ],
)
def test_unusable_options_are_refused_and_nothing_is_written(manifest, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        texture_learnable(manifest, tmp_path / "t.csv", **{"size": 40, "targets": ["rgb"], **options})
    assert not any(tmp_path.iterdir())


def test_many_codes_are_reduced_without_losing_the_pattern():
    """Histograms of 256 codes are predicted from 32 components of each surrounding patch's histogram."""
    rng = np.random.default_rng(0)
    stripes = rng.integers(2, 6, 90)
    faces = np.stack([np.broadcast_to((np.arange(40) // width % 2) * 90 + 60, (3, 40, 40)) for width in stripes])
    histogram = Target(name="local_binary_pattern", encoding="histogram")
    [found] = learnable(faces[:60].astype(np.uint8), faces[60:].astype(np.uint8), [histogram], patch_size=8)
    assert found.r2 > 0.9
