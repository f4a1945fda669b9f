"""Gradient ratios with values worked out by hand, and the weights that follow from them."""

import pytest
import torch

from auxface.model import JointModel
from auxface.model.balance import MEAN_DECAY, MEASURED_EVERY, GradientMeter, is_measured
from auxface.objectives import Batch, LearnedTask, TrainProgress
from auxface.recipe import Balance, Encoder, Recipe, ReconstructionOptions

NAMES = ("primary", "a", "b")


def losses_of(point, **scales):
    """Linear losses, whose gradients are the given vectors."""
    return {name: torch.tensor(vector) @ point for name, vector in scales.items()}


def joint_model(**settings):
    encoder = Encoder(image_size=32, patch_size=8, width=32, depth=2, heads=4)
    decoder = ReconstructionOptions(decoder_width=16, decoder_depth=1, decoder_heads=2)
    settings = {"auxiliary": decoder} | settings
    return JointModel(Recipe(encoder=encoder, **settings), [LearnedTask("t", "class", ("x", "y"))])


def batch_of(count=8):
    clean = torch.randint(0, 256, (count, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels = {"t": torch.arange(count) % 2}
    return Batch(primary=clean.float() / 255, clean=clean, labels=labels, seeds=torch.arange(count))


def one_step(model, step, optimizer=None):
    model.zero_grad()
    progress = TrainProgress(step, 100)
    loss, logs, _ = model(batch_of(), progress)
    loss.backward()
    if optimizer is not None:
        optimizer.step()
    return logs | model.after_step(progress)


def test_ratio_and_cosine_are_those_of_the_vectors():
    meter, point = GradientMeter(NAMES), torch.nn.Parameter(torch.zeros(2))
    meter.accumulate(losses_of(point, primary=[3.0, 4.0], a=[8.0, 6.0], b=[0.0, -1.0]), [point])
    logs = meter.finish({"primary": 0.1, "a": 0.9, "b": 0.5})
    assert logs["a.gradient_ratio"] == pytest.approx(0.9 * 10 / (0.1 * 5))
    assert logs["a.cosine"] == pytest.approx((24 + 24) / 50)
    assert logs["b.gradient_ratio"] == pytest.approx(0.5 * 1 / (0.1 * 5))
    assert logs["b.cosine"] == pytest.approx(-4 / 5)


def test_gradients_are_averaged_over_micro_batches():
    whole, parts = GradientMeter(NAMES[:2]), GradientMeter(NAMES[:2])
    point = torch.nn.Parameter(torch.zeros(2))
    whole.accumulate(losses_of(point, primary=[2.0, 2.0], a=[1.0, -1.0]), [point])
    parts.accumulate(losses_of(point, primary=[2.0, 4.0], a=[4.0, 0.0]), [point])
    parts.accumulate(losses_of(point, primary=[2.0, 0.0], a=[-2.0, -2.0]), [point])
    weights = {"primary": 1.0, "a": 1.0}
    assert parts.finish(weights) == pytest.approx(whole.finish(weights))
    torch.testing.assert_close(parts.state(), whole.state())


def test_gradients_are_averaged_over_processes():
    meter, point = GradientMeter(NAMES[:2]), torch.nn.Parameter(torch.zeros(2))
    meter.accumulate(losses_of(point, primary=[2.0, 0.0], a=[0.0, 1.0]), [point])
    other = iter([torch.tensor([0.0, 2.0]), torch.tensor([0.0, 5.0])])
    logs = meter.finish({"primary": 1.0, "a": 1.0}, lambda own: (own + next(other)) / 2)
    assert logs["a.gradient_ratio"] == pytest.approx(3 / 2**0.5)
    assert logs["a.cosine"] == pytest.approx(1 / 2**0.5)


def test_the_weight_follows_the_running_means():
    meter, point = GradientMeter(NAMES[:2]), torch.nn.Parameter(torch.zeros(1))
    assert meter.weight("a", ratio=0.5) == 0
    for scale in (4.0, 1.0):
        meter.accumulate(losses_of(point, primary=[2.0], a=[scale]), [point])
        meter.finish({"primary": 1.0, "a": 1.0})
    mean = 4 ** (MEAN_DECAY / (1 + MEAN_DECAY))
    assert meter.weight("a", ratio=0.5) == pytest.approx(0.5 * 2 / mean)


def test_the_weight_follows_a_norm_that_falls_steeply():
    """In the first epoch of a masked autoencoder the norm can fall by two orders of magnitude."""
    meter, point = GradientMeter(NAMES[:2]), torch.nn.Parameter(torch.zeros(1))
    for scale in (*[100.0] * 6, 10.0, *[1.0] * 6):
        meter.accumulate(losses_of(point, primary=[1.0], a=[scale]), [point])
        meter.finish({"primary": 1.0, "a": 1.0})
    assert 0.5 < meter.weight("a", ratio=1) <= 1


def test_a_norm_of_zero_leaves_the_running_means_unchanged():
    meter, point = GradientMeter(NAMES[:2]), torch.nn.Parameter(torch.zeros(1))
    for scale in (2.0, 0.0):
        meter.accumulate(losses_of(point, primary=[1.0], a=[scale]), [point])
        meter.finish({"primary": 1.0, "a": 1.0})
    assert meter.weight("a", ratio=1) == pytest.approx(0.5)


def test_an_overflow_leaves_the_running_means_unchanged():
    meter, point = GradientMeter(NAMES[:2]), torch.nn.Parameter(torch.zeros(1))
    meter.accumulate(losses_of(point, primary=[2.0], a=[1.0]), [point])
    meter.finish({"primary": 1.0, "a": 1.0})
    before = meter.state()
    meter.accumulate(losses_of(point, primary=[2.0], a=[float("inf")]), [point])
    assert meter.finish({"primary": 1.0, "a": 1.0}) == {}
    assert torch.equal(meter.state(), before)


def test_first_steps_and_every_25th_are_measured():
    assert [step for step in range(60) if is_measured(step)] == [0, 1, 2, 4, 8, 16, MEASURED_EVERY, 2 * MEASURED_EVERY]


@pytest.mark.parametrize("kind", ["fixed", "learned", "gradient"])
def test_ratio_and_cosine_are_logged_under_every_balance(kind):
    model = joint_model(balance=Balance(kind=kind))
    # The weight of balance gradient is known after the first measurement.
    one_step(model, 0)
    logs = one_step(model, 1)
    assert -1 <= logs["reconstruction.cosine"] <= 1
    assert logs["reconstruction.gradient_ratio"] > 0
    assert ("reconstruction.set_ratio" in logs) == (kind == "gradient")
    for part in ("primary", "reconstruction"):
        loss, weight, weighted = (logs[f"{part}.{name}"] for name in ("loss", "weight", "weighted"))
        torch.testing.assert_close(weighted, weight * loss)


def test_a_gradient_balance_holds_its_ratio():
    model = joint_model(balance=Balance(kind="gradient", ratio=0.7))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    ratios = [one_step(model, step, optimizer).get("reconstruction.gradient_ratio") for step in range(30)]
    assert ratios[0] is None
    assert ratios[25] == pytest.approx(0.7, rel=0.3)
    assert ratios[3] is None


def test_the_set_ratio_follows_weight_and_warmup():
    auxiliary = ReconstructionOptions(decoder_width=16, decoder_depth=1, decoder_heads=2, weight=0.5, warmup=0.5)
    model = joint_model(balance=Balance(kind="gradient", ratio=0.8), auxiliary=auxiliary)
    assert one_step(model, 25)["reconstruction.set_ratio"] == pytest.approx(0.8 * 0.5 * 0.5)
    assert one_step(model, 75)["reconstruction.set_ratio"] == pytest.approx(0.8 * 0.5)


def test_the_meter_is_resume_state_and_no_weight():
    model = joint_model(balance=Balance(kind="gradient"))
    one_step(model, 0)
    again = joint_model(balance=Balance(kind="gradient"))
    again.load_objective_state(model.objective_state())
    assert again.gradient_meter.weight("reconstruction", ratio=1) == model.gradient_meter.weight(
        "reconstruction", ratio=1
    )
    assert not any("meter" in name for name in model.state_dict())


def test_a_supervised_model_measures_nothing():
    recipe = Recipe(primary_weight=1, encoder=Encoder(image_size=32, patch_size=8, width=32, depth=1, heads=4))
    model = JointModel(recipe, [LearnedTask("t", "class", ("x", "y"))])
    assert not any("gradient" in name for name in one_step(model, 0))


def test_an_auxiliary_without_gradient_is_still_trained():
    """The last layer of an auxiliary may start at 0; with a weight of 0 it would stay there."""
    meter, point = GradientMeter(NAMES[:2]), torch.nn.Parameter(torch.ones(2))
    meter.accumulate({NAMES[0]: point.sum(), NAMES[1]: 0 * point.sum()}, [point])
    meter.finish(dict.fromkeys(NAMES[:2], 1.0))
    assert meter.weight(NAMES[1], ratio=0.3) == 0.3
