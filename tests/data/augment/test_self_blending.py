"""Self-blended images: labels, masks, dependence on the seed, manifests and recipes."""

import numpy as np
import pandas as pd
import pytest
import torch

from auxface.data.augment.self_blending import blend_batch, blend_validation, real_faces, self_blend
from auxface.data.manifest import Label, Manifest
from auxface.data.synthetic import render_faces
from auxface.errors import InputError
from auxface.recipe import Recipe, SelfBlend


@pytest.fixture(scope="module")
def faces():
    return torch.from_numpy(render_faces(48, seed=3, size=64).images).permute(0, 3, 1, 2).contiguous()


def test_a_fraction_is_forged_and_the_rest_unchanged(faces):
    many = faces.repeat(20, 1, 1, 1)
    done = self_blend(many, torch.arange(len(many)), fraction=0.3)
    assert done.forged.float().mean().item() == pytest.approx(0.3, abs=0.06)
    assert torch.equal(done.images[~done.forged], many[~done.forged])
    assert (done.masks[~done.forged] == 0).all()
    changed = (done.images != many).flatten(1).any(1)
    assert changed[done.forged].float().mean() > 0.95
    assert done.images.dtype == torch.uint8


def test_a_forgery_stays_near_the_face_it_is_made_of(faces):
    done = self_blend(faces, torch.arange(len(faces)), fraction=1.0)
    assert done.forged.all()
    difference = (done.images.float() - faces.float()).abs().mean((1, 2, 3))
    assert difference.max() < 45
    masks = done.masks[:, 0]
    assert masks.min() >= 0
    assert masks.max() <= 1
    # The mask covers the middle of the face in nearly every image and the corners in none.
    assert masks[:, :4, :4].max() < 0.35
    assert (masks[:, 28:44, 24:40].mean((1, 2)) > 0.15).float().mean() > 0.9
    levels = masks.amax((1, 2))
    assert levels.min() < 0.3
    assert levels.max() > 0.9


def test_pixels_outside_the_mask_are_unchanged(faces):
    done = self_blend(faces, torch.arange(len(faces)), fraction=1.0)
    outside = done.masks[:, 0] < 1e-6
    same = (done.images == faces).all(1)
    # If the inner face is the changed one, pixels outside the mask are those of the image.
    untouched = torch.stack([same[row][outside[row]].all() for row in range(len(faces)) if outside[row].any()])
    assert 0.25 < untouched.float().mean() < 0.75


def test_a_row_depends_on_its_own_seed_only(faces):
    seeds = torch.arange(48) * 7
    together = self_blend(faces, seeds)
    apart = [self_blend(faces[row : row + 1], seeds[row : row + 1]) for row in range(12)]
    assert torch.equal(together.forged[:12], torch.cat([one.forged for one in apart]))
    differences = (together.images[:12].int() - torch.cat([one.images for one in apart]).int()).abs()
    assert differences.max() <= 1


def manifest(forged=None):
    rows = pd.DataFrame(
        {"path": [f"{n}.png" for n in range(6)], "split": ["train", "train", "val", "val", "test", "test"]}
    )
    rows = rows.assign(dataset="d", method="", source=rows["path"], video="", frame=0, smiling=1)
    labels = {"smiling": Label("binary", ("no", "yes"))}
    if forged is not None:
        rows["forged"] = pd.array(forged, dtype="Int64")
        labels["forged"] = Label("binary", ("real", "fake"))
    return Manifest(rows, labels)


def test_a_manifest_of_real_faces_gets_the_label():
    made = real_faces(manifest(), SelfBlend())
    assert made.labels["forged"] == Label("binary", ("real", "fake"))
    assert made.table["forged"].tolist() == [0] * 6


def test_forgeries_stay_in_the_test_split_only():
    made = real_faces(manifest([0, 1, 0, None, 1, 0]), SelfBlend())
    assert made.table["path"].tolist() == ["0.png", "2.png", "4.png", "5.png"]
    with pytest.raises(InputError, match="split 'val' has no real face"):
        real_faces(manifest([0, 1, 1, 1, 1, 0]), SelfBlend())
    with pytest.raises(InputError, match="expected a binary label"):
        real_faces(Manifest(manifest().table, {"smiling": Label("ordinal")}), SelfBlend(label="smiling"))


def test_labels_follow_images_and_validation_is_fixed(faces):
    labels = {"forged": torch.zeros(48), "smiling": torch.ones(48)}
    images, made = blend_batch(faces, labels, torch.arange(48), SelfBlend())
    changed = (images != faces).flatten(1).any(1)
    assert torch.equal(made["forged"].bool() | ~changed, torch.ones(48, dtype=torch.bool))
    assert 12 < made["forged"].sum() < 36
    assert made["smiling"].sum() == 48
    first, second = (blend_validation(faces.numpy(), labels, 5, SelfBlend()) for _ in range(2))
    assert np.array_equal(first[0], second[0])
    assert torch.equal(first[1]["forged"], second[1]["forged"])
    assert not np.array_equal(first[0], blend_validation(faces.numpy(), labels, 6, SelfBlend())[0])


def test_a_recipe_names_the_label_of_self_blending():
    assert Recipe(primary_weight=1, train={"self_blend": "fake"}).train.self_blend == SelfBlend(label="fake")
    with pytest.raises(ValueError, match="not among the tasks"):
        Recipe(primary_weight=1, tasks=["smiling"], train={"self_blend": {}})
