from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from auxface.model import JointModel
from auxface.objectives import LearnedTask
from auxface.recipe import Encoder, Recipe, ReconstructionOptions
from auxface.training.data_loader import DataLoader
from auxface.training.train_step import label_counts, split_micro_batches

TASKS = (LearnedTask("shade", "class", ("dark", "light")), LearnedTask("marks", "multilabel", ("a", "b", "c")))


@given(count=st.integers(1, 40), ranks=st.integers(1, 4), accumulate=st.integers(1, 3))
def test_micro_batches_hold_each_image_once_with_mean_scale_one(count, ranks, accumulate):
    indices = torch.arange(100, 100 + count)
    parts = [
        part
        for rank in range(ranks)
        for part in split_micro_batches(indices, ranks=ranks, rank=rank, accumulate=accumulate)
    ]
    assert len(parts) == ranks * accumulate
    assert all(len(part.draws) for part in parts)
    real = torch.cat([part.draws for part in parts if part.scale])
    assert torch.equal(real.sort().values, indices)
    assert sum(part.scale for part in parts) / len(parts) == pytest.approx(1)


def gradients(encoder: Encoder, accumulate: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The gradient of a step of seven images, as a whole and added up over parts."""
    recipe = Recipe(
        primary_weight=0.3,
        auxiliary=ReconstructionOptions(decoder_width=32, decoder_depth=1, decoder_heads=4),
        encoder=encoder,
    )
    size = encoder.image_size
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (7, 3, size, size)).astype(np.uint8)
    marks = torch.from_numpy(generator.integers(0, 2, (7, 3))).float()
    marks[:5, 1] = torch.nan
    labels = {"shade": torch.tensor([0, 1, -1, -1, 1, 0, -1]), "marks": marks}
    loader = DataLoader(images=images, labels=labels, seed=0, batch_size=7, augment="light", size=size)
    model = JointModel(recipe, TASKS)
    indices, device = torch.arange(7), torch.device("cpu")
    model(loader.batch(indices, 0, device))[0].backward()
    whole = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    for part in split_micro_batches(indices, ranks=1, rank=0, accumulate=accumulate):
        counts = label_counts(TASKS, labels, accumulate)
        batch = replace(loader.batch(part.draws, 0, device), scale=part.scale, label_counts=counts)
        if not part.scale:
            batch = replace(batch, weights=torch.zeros(len(part.draws)))
        (model(batch)[0] / accumulate).backward()
    return whole, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("accumulate", [2, 3, 5])
def test_micro_batch_gradients_add_up_to_that_of_the_step(accumulate):
    whole, parts = gradients(Encoder(image_size=32, patch_size=8, width=32, depth=1, heads=4), accumulate)
    assert set(parts) == set(whole)
    for name, gradient in parts.items():
        torch.testing.assert_close(gradient, whole[name], atol=1e-6, rtol=1e-4)


def test_docs_say_that_batch_norm_makes_accumulation_differ():
    """Each part has batch statistics of its own, so the documents must not call it the same step."""
    whole, parts = gradients(Encoder(name="test_resnet", image_size=64, output_stride=16), 2)
    difference = sum(float((parts[name] - whole[name]).square().sum()) for name in whole)
    assert difference > 0.05**2 * sum(float(gradient.square().sum()) for gradient in whole.values())
    root = Path(__file__).parents[2]
    for file in ("docs/training.md", "src/auxface/recipe/sections.py"):
        text = " ".join((root / file).read_text(encoding="utf-8").split())
        told = text[text.index("accumulate") :]
        assert "batch normalization" in told[:600], file
        assert "memory, the same step" not in text, file
