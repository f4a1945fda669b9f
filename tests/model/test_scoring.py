"""Scores belong to an image, not to the batch that it came in."""

import numpy as np
import pytest
import torch

from auxface.model import JointModel
from auxface.model.scoring import full_precision, pooled_features, score_images
from auxface.objectives import LearnedTask
from auxface.recipe import Encoder, Recipe

TOLERANCE = 1e-5
TASKS = (LearnedTask("mood", "class", ("calm", "glad", "cross")), LearnedTask("forged", "binary", ("real", "forged")))


def make_model() -> JointModel:
    recipe = Recipe(primary_weight=1, encoder=Encoder(image_size=32, patch_size=8, width=32, depth=2, heads=4))
    model = JointModel(recipe, TASKS).eval()
    # Untrained heads give nearly equal scores; these differ by whole units.
    for head in model.primary.heads:
        head.weight.data *= 40
    return model


@pytest.fixture(scope="module")
def model() -> JointModel:
    return make_model()


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (17, 3, 32, 32), dtype=np.uint8)


@pytest.fixture
def tf32():
    kept = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = kept


def assert_same_alone_and_in_batches(model: JointModel, images: np.ndarray) -> None:
    alone = score_images(model, images, batch_size=1)
    assert np.ptp(alone["mood"]) > 1
    for size in (2, 3, 8, 17):
        together = score_images(model, images, batch_size=size)
        for name, logits in alone.items():
            np.testing.assert_allclose(together[name], logits, rtol=0, atol=TOLERANCE, err_msg=f"{name}, {size}")


def test_an_image_has_the_same_score_in_any_batch(model, images):
    assert_same_alone_and_in_batches(model, images)


def test_scores_are_fp32_inside_autocast(model, images):
    scores, features = score_images(model, images), pooled_features(model, images)
    with torch.autocast("cpu", torch.bfloat16):
        assert_same_alone_and_in_batches(model, images)
        for name, logits in score_images(model, images).items():
            np.testing.assert_allclose(logits, scores[name], rtol=0, atol=TOLERANCE)
        torch.testing.assert_close(pooled_features(model, images), features, rtol=0, atol=TOLERANCE)


def test_convolutions_on_a_gpu_use_tf32_only_on_request(tf32):
    device = torch.device("cuda")
    with full_precision(device):
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high")
    with full_precision(device):
        assert torch.backends.cudnn.allow_tf32


@pytest.mark.gpu
def test_an_image_scores_the_same_in_any_batch_on_a_gpu(images):
    assert_same_alone_and_in_batches(make_model().to("cuda"), images)
