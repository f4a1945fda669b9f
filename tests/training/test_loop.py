import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from auxface.model import JointModel
from auxface.model.saved_model import load_model, save_model
from auxface.model.scoring import score_images
from auxface.objectives import LearnedTask
from auxface.recipe import Encoder, Recipe, ReconstructionOptions, Target, Train, load_recipe
from auxface.training import loop
from auxface.training.data_loader import DataLoader
from auxface.training.logging import read_log
from auxface.training.loop import run_training
from auxface.training.run_errors import NonFiniteLoss
from auxface.training.selection import Validation
from auxface.training.train_step import Stepper

TASK = LearnedTask("shade", "class", ("dark", "light"))


def recipe_for(primary_weight=0.1, target="rgb", **train):
    targets = (Target(name=target or "rgb"),)
    auxiliary = ReconstructionOptions(target=targets, decoder_width=32, decoder_depth=1, decoder_heads=4)
    options = {"epochs": 3, "batch_size": 16, "base_learning_rate": 0.02} | train
    drop_path = options.pop("drop_path", 0.1)
    return Recipe(
        primary_weight=primary_weight,
        auxiliary=auxiliary if target else None,
        encoder=Encoder(image_size=32, patch_size=8, width=32, depth=2, heads=4, drop_path=drop_path),
        train=Train(**options),
    )


def faces(count=40, seed=0):
    generator = np.random.default_rng(seed)
    labels = torch.from_numpy(generator.integers(0, 2, count))
    images = generator.integers(0, 120, (count, 3, 32, 32)) + labels.numpy()[:, None, None, None] * 60
    return images.astype(np.uint8), {"shade": labels}


def run(folder, recipe, count=40, epochs_to_break_after=None):
    model = JointModel(recipe, [TASK])
    images, labels = faces(count)
    loader = DataLoader(
        images=images,
        labels=labels,
        seed=recipe.seed,
        batch_size=recipe.train.batch_size,
        augment=recipe.train.augment,
        size=32,
    )
    folder.mkdir(exist_ok=True)

    class Stopped(Exception):
        pass

    steps = 0

    def advance(count, note=None, **_):
        nonlocal steps
        steps += count
        if epochs_to_break_after is not None and steps > epochs_to_break_after * loader.steps_per_epoch:
            raise Stopped

    try:
        return run_training(model, loader, Validation(*faces(24, 1)), folder=folder, device="cpu", advance=advance)
    except Stopped:
        return None


def same(one, two):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


def test_the_seed_determines_the_weights(tmp_path):
    first = run(tmp_path / "a", recipe_for())
    second = run(tmp_path / "b", recipe_for())
    other = run(tmp_path / "c", recipe_for().model_copy(update={"seed": 1}))
    assert same(first.model, second.model)
    assert not same(first.model, other.model)


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    uninterrupted = run(tmp_path / "a", recipe_for(epochs=4))
    assert run(tmp_path / "b", recipe_for(epochs=4), epochs_to_break_after=2) is None
    resumed = run(tmp_path / "b", recipe_for(epochs=4))
    assert same(uninterrupted.model, resumed.model)
    assert (uninterrupted.best_epoch, uninterrupted.best_value) == (resumed.best_epoch, resumed.best_value)
    logs = [read_log(tmp_path / name / "log.jsonl").drop(columns="seconds") for name in "ab"]
    assert logs[0].equals(logs[1])


def test_primary_weight_one_equals_supervised_training(tmp_path):
    one = run(tmp_path / "a", recipe_for(primary_weight=1.0)).model.state_dict()
    two = run(tmp_path / "b", recipe_for(primary_weight=1.0, target=None)).model.state_dict()
    assert all(torch.equal(value, one[name]) for name, value in two.items())


@pytest.mark.parametrize(
    "settings", [(), ("balance=learned",), ("balance=0.1",), ("balance={kind: schedule, start: 0.1, end: 0.9}",)]
)
def test_auxiliary_weight_zero_equals_supervised_training(tmp_path, settings):
    """Weights, losses and validation figures are equal to the bit, whatever the balance."""
    small = ["image_size=32", "patch_size=8", "width=32", "depth=2", "heads=4", "drop_path=0.1"]
    common = [*(f"encoder.{each}" for each in small), "train.epochs=2", "train.batch_size=16", "train.ema=0.9"]
    off = run(tmp_path / "a", load_recipe("l_ssat", [*common, "auxiliary.weight=0", *settings])).model.state_dict()
    alone = run(tmp_path / "b", load_recipe("supervised", common)).model.state_dict()
    assert {name for name in off if not name.startswith("auxiliaries.")} == set(alone)
    assert all(torch.equal(value, off[name]) for name, value in alone.items())
    logs = [read_log(tmp_path / name / "log.jsonl").drop(columns="seconds") for name in "ab"]
    assert logs[0].equals(logs[1])


@pytest.mark.parametrize(
    ("weight", "target"),
    [(1.0, None), (0.1, "rgb"), (0.1, "local_directional_pattern")],
    ids=["supervised", "ssat", "l_ssat"],
)
def test_each_model_overfits_32_faces(tmp_path, weight, target):
    recipe = recipe_for(weight, target, epochs=40, augment="none", base_learning_rate=0.05)
    trained = run(tmp_path / "a", recipe, count=32)
    images, labels = faces(32)
    with torch.no_grad():
        predicted = trained.model.logits(torch.from_numpy(images).float() / 255)["shade"].argmax(dim=1)
    assert (predicted == labels["shade"]).float().mean() >= 0.95
    log = read_log(tmp_path / "a" / "log.jsonl")
    assert log["loss"].iloc[-1] < 0.9 * log["loss"].iloc[0]


def test_the_log_has_every_unweighted_loss_per_epoch(tmp_path):
    run(tmp_path / "a", recipe_for())
    log = read_log(tmp_path / "a" / "log.jsonl")
    assert log["epoch"].tolist() == [1, 2, 3]
    assert log["step"].tolist() == [3, 6, 9]
    expected = 0.1 * log["primary.shade"] + 0.9 * log["reconstruction.rgb"]
    np.testing.assert_allclose(log["loss"], expected, rtol=1e-5)
    assert "val.balanced_accuracy" in log


def test_every_epoch_is_a_new_permutation_of_the_images():
    images, labels = faces()
    loader = DataLoader(images=images, labels=labels, seed=0, batch_size=16, augment="none", size=32)
    orders = [torch.cat(list(loader.draws(epoch))) for epoch in range(3)]
    assert all(torch.equal(order.sort().values, torch.arange(40)) for order in orders)
    assert not torch.equal(orders[0], orders[1])
    seeds = [loader.batch(torch.arange(4), epoch, torch.device("cpu")).seeds for epoch in range(2)]
    assert not torch.equal(seeds[0], seeds[1])


def test_a_non_finite_loss_stops_the_run_and_names_the_step(tmp_path):
    recipe = recipe_for(base_learning_rate=1e9, epochs=5)
    with pytest.raises(NonFiniteLoss, match="not finite at step") as caught:
        run(tmp_path / "a", recipe)
    written = json.loads((tmp_path / "a" / "nonfinite.json").read_text())
    assert f"at step {written['step']} " in str(caught.value)
    assert 0 < len(written["keys"]) <= 16
    kept = sorted((tmp_path / "a" / "checkpoint").glob("*/model.safetensors"))
    assert all(torch.isfinite(value).all() for path in kept for value in load_file(path).values())


@pytest.mark.parametrize("option", [{"checkpoint_activations": True}, {"accumulate": 2}, {"attention": "plain"}])
def test_options_of_execution_do_not_change_the_weights(tmp_path, option):
    plain = run(tmp_path / "a", recipe_for(epochs=1, precision="fp32", clip_norm=1.0, drop_path=0.0))
    other = run(tmp_path / "b", recipe_for(epochs=1, precision="fp32", clip_norm=1.0, drop_path=0.0, **option))
    for name, value in plain.model.state_dict().items():
        if not name.endswith("qkv.bias"):
            torch.testing.assert_close(other.model.state_dict()[name], value, atol=2e-5, rtol=0)


def test_averaged_weights_are_validated_and_saved(tmp_path):
    trained = run(tmp_path / "a", recipe_for(ema=0.9, epochs=2))
    newest = max((tmp_path / "a" / "checkpoint").iterdir())
    saved = {name: load_file(newest / f"{name}.safetensors") for name in ("model", "average", "best")}
    name = "encoder.vit.blocks.0.mlp.fc1.weight"
    assert not torch.equal(saved["model"][name], saved["average"][name])
    assert torch.equal(trained.model.state_dict()[name], saved["best"][name])


def test_a_run_without_improvement_stops_after_its_patience(tmp_path):
    recipe = recipe_for(epochs=50, base_learning_rate=1e-9, min_learning_rate=0.0, patience=2)
    trained = run(tmp_path / "a", recipe)
    assert trained.best_epoch == 1
    assert read_log(tmp_path / "a" / "log.jsonl")["epoch"].tolist() == [1, 2, 3]
    assert run(tmp_path / "a", recipe).best_epoch == 1


def test_a_model_trained_in_bf16_scores_in_fp32(tmp_path):
    trained = run(tmp_path / "run", recipe_for(precision="bf16", epochs=1)).model
    save_model(trained, tmp_path / "model")
    images, _ = faces(9, 2)
    alone = score_images(load_model(tmp_path / "model").model, images, batch_size=1)["shade"]
    for size in (1, 2, 9):
        # Calibration after training reads the scores that the saved model returns.
        np.testing.assert_allclose(score_images(trained, images, batch_size=size)["shade"], alone, rtol=0, atol=1e-5)


@pytest.fixture
def slow_steps(monkeypatch):
    """Replace the clock of the loop: a step takes as many seconds as the returned function states, and nothing else."""
    now = 0.0
    seconds = {"of": lambda step: 1.0}
    train_step = Stepper.train_step

    def timed(self, draws, epoch, step):
        nonlocal now
        now += seconds["of"](step)
        return train_step(self, draws, epoch, step)

    monkeypatch.setattr(Stepper, "train_step", timed)
    monkeypatch.setattr(loop.time, "perf_counter", lambda: now)
    return seconds


@pytest.mark.parametrize(
    ("step_seconds", "epochs"),
    [(lambda step: 1.0, 5), (lambda step: 0.1, 10), (lambda step: 1.0 if step < 6 else 2.0, 3), (lambda step: 99.0, 1)],
    ids=["half as fast", "fast enough", "slower in the middle", "too slow for one epoch"],
)
def test_a_run_takes_the_epochs_that_fit_its_time(tmp_path, slow_steps, step_seconds, epochs):
    slow_steps["of"] = step_seconds
    done = run(tmp_path / "a", recipe_for(epochs=10, max_seconds=15.5))
    log = read_log(tmp_path / "a" / "log.jsonl")
    assert (done.epochs, len(log)) == (epochs, epochs)
    assert done.seconds <= 15.5 or epochs == 1
    # The schedule of learning rates ends with the run, if the run was shortened before its last epoch.
    assert log["learning_rate"].iloc[-1] < 0.2 * log["learning_rate"].max() or epochs != 5


def test_a_shortened_run_is_resumed_with_its_schedule(tmp_path, slow_steps):
    recipe = recipe_for(epochs=10, max_seconds=15.5)
    uninterrupted = run(tmp_path / "a", recipe)
    assert run(tmp_path / "b", recipe, epochs_to_break_after=2) is None
    resumed = run(tmp_path / "b", recipe)
    assert resumed.epochs == uninterrupted.epochs == 5
    assert resumed.seconds == uninterrupted.seconds
    assert same(uninterrupted.model, resumed.model)
