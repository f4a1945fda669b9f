from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from auxface.model import JointModel
from auxface.objectives import Batch, Task
from auxface.recipe import Auxiliary, Encoder, Recipe
from auxface.training.data_loader import Feed
from auxface.training.train_step import deal, label_counts

TASKS = (Task("shade", "class", ("dark", "light")), Task("marks", "multilabel", ("a", "b", "c")))


@given(count=st.integers(1, 40), ranks=st.integers(1, 4), accumulate=st.integers(1, 3))
def test_every_image_is_dealt_out_once_and_shares_add_up(count, ranks, accumulate):
    indices = torch.arange(100, 100 + count)
    parts = [part for rank in range(ranks) for part in deal(indices, ranks=ranks, rank=rank, accumulate=accumulate)]
    assert len(parts) == ranks * accumulate
    assert all(len(part.indices) for part in parts)
    real = torch.cat([part.indices for part in parts if part.share])
    assert torch.equal(real.sort().values, indices)
    assert sum(part.share for part in parts) / len(parts) == pytest.approx(1)


def gradients(encoder: Encoder, accumulate: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The gradient of a step of seven images, as a whole and added up over parts."""
    recipe = Recipe(
        primary_weight=0.3,
        auxiliary=Auxiliary(decoder_width=32, decoder_depth=1, decoder_heads=4),
        encoder=encoder,
    )
    size = encoder.image_size
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (7, 3, size, size)).astype(np.uint8)
    marks = torch.from_numpy(generator.integers(0, 2, (7, 3))).float()
    marks[:5, 1] = torch.nan
    labels = {"shade": torch.tensor([0, 1, -1, -1, 1, 0, -1]), "marks": marks}
    feed = Feed(images, labels, 0, 7, "light", size)
    model = JointModel(recipe, TASKS)
    indices, device = torch.arange(7), torch.device("cpu")
    model(feed.batch(indices, 0, device))[0].backward()
    whole = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    for part in deal(indices, ranks=1, rank=0, accumulate=accumulate):
        batch: Batch = feed.batch(part.indices, 0, device)
        batch.share, batch.counts = part.share, label_counts(TASKS, labels, accumulate)
        if not part.share:
            batch.weights = torch.zeros(len(part.indices))
        (model(batch)[0] / accumulate).backward()
    return whole, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("accumulate", [2, 3, 5])
def test_the_gradients_of_parts_add_up_to_the_gradient_of_the_whole(accumulate):
    whole, parts = gradients(Encoder(image_size=32, patch_size=8, width=32, depth=1, heads=4), accumulate)
    assert set(parts) == set(whole)
    for name, gradient in parts.items():
        torch.testing.assert_close(gradient, whole[name], atol=1e-6, rtol=1e-4)


def test_parts_are_another_step_with_batch_norm_and_docs_say_so():
    """Each part has batch statistics of its own, so the documents must not call it the same step."""
    whole, parts = gradients(Encoder(name="test_resnet", image_size=64, output_stride=16), 2)
    difference = sum(float((parts[name] - whole[name]).square().sum()) for name in whole)
    assert difference > 0.05**2 * sum(float(gradient.square().sum()) for gradient in whole.values())
    root = Path(__file__).parents[2]
    for file in ("docs/training.md", "src/auxface/recipe/optimization.py"):
        text = " ".join((root / file).read_text(encoding="utf-8").split())
        told = text[text.index("accumulate") :]
        assert "batch normalization" in told[:600], file
        assert "memory, the same step" not in text, file
