from dataclasses import replace

import numpy as np
import pytest
import torch

from auxface.encoders import Mask
from auxface.errors import InputError
from auxface.model import JointModel
from auxface.model.explained_variance import explained_variance, squared_errors
from auxface.objectives import Batch, LearnedTask, StepContext
from auxface.objectives.reconstruction.masked_autoencoder import Reconstructed
from auxface.recipe import Encoder, Recipe, ReconstructionOptions, Target

TASKS = [LearnedTask("t", "class", ("a", "b"))]
LDP = Target(name="local_directional_pattern", encoding="bits")


def model_of(*targets, **settings):
    auxiliary = ReconstructionOptions(target=targets, decoder_width=32, decoder_depth=1, decoder_heads=4)
    encoder = Encoder(image_size=32, patch_size=8, width=32, depth=1, heads=4)
    return JointModel(Recipe(**{"auxiliary": auxiliary, "encoder": encoder} | settings), TASKS)


def faces(count, seed):
    """A bright blob of its own place and size on a slope: what is visible tells what is hidden."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[:32, :32]
    made = []
    for _ in range(count):
        row, column, width = rng.uniform(8, 24), rng.uniform(8, 24), rng.uniform(4, 9)
        blob = np.exp(-((down - row) ** 2 + (across - column) ** 2) / (2 * width**2))
        made.append(np.repeat((60 + 150 * blob + across)[None], 3, 0))
    return np.clip(np.stack(made), 0, 255).astype(np.uint8)


def test_squared_errors_by_hand():
    mask = Mask(visible=torch.tensor([[0]]), hidden=torch.tensor([[1, 2]]))
    wanted = torch.tensor([[[9.0, 9.0], [1.0, 2.0], [3.0, 4.0]]])
    predicted = torch.tensor([[[0.0, 0.0], [1.0, 1.0], [3.0, 6.0]]])
    mean = torch.tensor([[5.0, 5.0], [0.0, 0.0], [3.0, 3.0]])
    # Hidden: 0 + 1 + 0 + 4 of what was rebuilt; 1 + 4 + 0 + 1 of the mean. The visible patch does not count.
    assert squared_errors(Reconstructed(LDP, wanted, predicted, mask), mean) == (5.0, 6.0)


def test_r2_is_one_for_the_target_and_zero_for_the_mean(monkeypatch):
    model = model_of(Target(name="rgb"))
    seen, held_out = faces(10, 0), faces(6, 1)
    auxiliary = model.auxiliaries["reconstruction"]
    reconstruct = auxiliary.reconstruct

    def with_predictions(guess):
        def call(encoder, batch):
            return [replace(r, prediction=guess(r)) for r in reconstruct(encoder, batch)]

        monkeypatch.setattr(auxiliary, "reconstruct", call)
        return explained_variance(model, held_out, seen)["rgb"]

    clean = torch.from_numpy(seen)
    (whole,) = reconstruct(
        model.encoder, Batch(primary=clean.float() / 255, clean=clean, labels={}, seeds=torch.arange(10))
    )
    mean = whole.target.mean(dim=0)
    assert with_predictions(lambda r: r.target) == 1
    assert with_predictions(lambda r: mean.expand_as(r.target)) == pytest.approx(0, abs=1e-5)
    assert with_predictions(lambda r: 2 * mean - r.target + mean) < 0
    # Half-way between the mean and the truth leaves a quarter of the squared error.
    assert with_predictions(lambda r: (mean + r.target) / 2) == pytest.approx(0.75, abs=1e-5)


def test_training_raises_r2_on_held_out_faces():
    model = model_of(LDP, Target(name="rgb"), seed=1)
    seen, held_out = faces(96, 0), faces(32, 1)
    before = explained_variance(model, held_out, seen)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    clean = torch.from_numpy(seen)
    for step in range(150):
        rows = torch.arange(step * 32, step * 32 + 32) % 96
        seeds = step * 1000 + rows
        batch = Batch(primary=clean[rows].float() / 255, clean=clean[rows], labels={"t": rows % 2}, seeds=seeds)
        model.auxiliaries["reconstruction"](model.encoder, batch, StepContext(model.encoder, batch.primary))[
            0
        ].backward()
        optimizer.step()
        optimizer.zero_grad()
    after = explained_variance(model, held_out, seen)
    assert set(after) == {"local_directional_pattern", "rgb"}
    for name, value in after.items():
        assert before[name] < 0 < value < 1
    assert explained_variance(model, held_out, seen) == after
    assert explained_variance(model, held_out, seen, seed=1) != after


def test_a_model_without_reconstruction_is_refused():
    with pytest.raises(InputError, match="reconstructs nothing"):
        explained_variance(model_of(LDP, auxiliary=None, primary_weight=1), faces(1, 0), faces(1, 0))
    with pytest.raises(InputError, match="one of them is empty"):
        explained_variance(model_of(LDP), faces(1, 0), faces(1, 0)[:0])
