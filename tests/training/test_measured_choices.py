"""Automatic choices follow measured times; the times of these tests are set, not measured."""

import json
from copy import deepcopy

import numpy as np
import pytest
import torch

from auxface.model import JointModel
from auxface.objectives import LearnedTask
from auxface.recipe import load_recipe
from auxface.training import measured_choices
from auxface.training.data_loader import DataLoader
from auxface.training.measured_choices import Kernels, Trial, choose_speed

VIT = ("encoder.image_size=32", "encoder.width=32", "encoder.depth=1", "encoder.heads=2", "train.batch_size=8")
CONVOLUTIONS = ("encoder.name=test_resnet", "encoder.image_size=64", "train.batch_size=8")
FP32, BF16 = Kernels("fp32", "fused", False), Kernels("bf16", "plain", False)


def _model(*settings, epochs=100_000):
    recipe = load_recipe("supervised", [*settings, f"train.epochs={epochs}"])
    model = JointModel(recipe, [LearnedTask("shade", "class", ("dark", "light"))])
    images = np.zeros((16, 3, recipe.encoder.image_size, recipe.encoder.image_size), np.uint8)
    size, labels = recipe.encoder.image_size, {"shade": torch.zeros(16, dtype=torch.int64)}
    return model, DataLoader(images=images, labels=labels, seed=0, batch_size=8, augment="none", size=size)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with two threads, on which steps take given seconds; ``machine.steps`` lists what was timed."""
    monkeypatch.setenv("AUXFACE_CACHE", str(tmp_path))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)

    class Machine:
        kernels, by_threads, steps, setup = {}, {1: 1.0, 2: 0.7}, [], 0.0

        def step(self, kernels, *, in_wall_time=False):
            count = torch.get_num_threads()
            Machine.steps.append((kernels, count))
            # The first step with a kernel sets it up.
            setup = Machine.setup if Machine.steps.count((kernels, count)) == 1 else 0.0
            return setup + 0.02 * Machine.kernels.get(kernels, 1.0) * Machine.by_threads[count]

    monkeypatch.setattr(Trial, "step", Machine.step)
    monkeypatch.setattr(measured_choices, "_probe", lambda count: Machine.by_threads[count])
    Machine.kernels, Machine.by_threads, Machine.steps, Machine.setup = {}, {1: 1.0, 2: 0.7}, [], 0.0
    yield Machine
    torch.set_num_threads(threads)


def _chosen(options):
    return Kernels(options.precision, options.attention, options.channels_last)


def test_the_fastest_kernels_and_threads_are_chosen(machine):
    machine.kernels = {BF16: 0.5, Kernels("fp32", "plain", False): 0.8}
    options, record = choose_speed(*_model(*VIT), "cpu")
    assert _chosen(options) == BF16
    assert options.threads == 2
    assert record["chosen"] == {"precision": "bf16", "attention": "plain", "channels_last": False, "threads": 2}
    assert record["images_per_second"]["kernels"]["bf16, plain"] == pytest.approx(1 / (0.02 * 0.7 * 0.5), abs=0.1)


def test_one_thread_is_chosen_where_the_cores_are_busy(machine):
    machine.by_threads = {1: 1.0, 2: 37.0}
    assert choose_speed(*_model(*VIT), "cpu")[0].threads == 1
    assert all(count == 1 for _, count in machine.steps)
    # So small a loss that whole steps must decide.
    machine.by_threads = {1: 1.0, 2: 1.2}
    assert choose_speed(*_model(*VIT), "cpu")[0].threads == 1
    assert torch.get_num_threads() == 2


def test_a_gain_within_the_noise_changes_nothing(machine):
    machine.kernels = {BF16: 0.96}
    assert _chosen(choose_speed(*_model(*VIT), "cpu")[0]) == FP32


def test_channels_last_is_tried_for_convolutions_only(machine):
    best = Kernels("fp32", "fused", True)
    machine.kernels = {best: 0.5}
    assert _chosen(choose_speed(*_model(*CONVOLUTIONS), "cpu")[0]) == best
    machine.steps.clear()
    choose_speed(*_model(*VIT), "cpu")
    assert not any(kernels.channels_last for kernels, _ in machine.steps)


def test_explicit_settings_win(machine):
    machine.kernels, machine.by_threads = {BF16: 0.1}, {1: 1.0, 2: 0.1}
    given = ("train.precision=fp32", "train.attention=plain", "train.channels_last=false", "train.threads=1")
    model, loader = _model(*VIT, *given)
    options, record = choose_speed(model, loader, "cpu")
    assert (options, record, machine.steps) == (model.recipe.train, {}, [])
    options, _ = choose_speed(*_model(*VIT, "train.precision=fp32"), "cpu")
    assert options.precision == "fp32"
    assert {kernels.precision for kernels, _ in machine.steps} == {"fp32"}


def test_a_set_number_of_threads_is_kept(machine, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    machine.by_threads = {1: 0.1, 2: 1.0}
    assert choose_speed(*_model(*VIT), "cpu")[0].threads == 2


def test_times_of_kernels_are_cached_and_of_threads_are_not(machine):
    machine.kernels = {BF16: 0.5}
    choose_speed(*_model(*VIT), "cpu")
    machine.kernels = {BF16: 2.0}
    machine.steps.clear()
    assert choose_speed(*_model(*VIT), "cpu")[0].precision == "bf16"
    assert {count for kernels, count in machine.steps if kernels == FP32} == {1, 2}
    assert BF16 not in [kernels for kernels, _ in machine.steps]
    # Another model is measured for itself.
    assert choose_speed(*_model(*VIT, "encoder.depth=2"), "cpu")[0].precision == "fp32"


@pytest.mark.parametrize("text", ['{"fp32', '{"fp32, fused": 0, "bf16, plain": 0}', '{"fp32, fused": NaN}'])
def test_a_corrupt_cache_is_measured_again(machine, tmp_path, text):
    machine.kernels = {BF16: 0.5}
    choose_speed(*_model(*VIT), "cpu")
    (written,) = (tmp_path / "measured_choices").iterdir()
    assert set(json.loads(written.read_text())) >= {"fp32, fused", "bf16, plain"}
    written.write_text(text)
    machine.kernels = {}
    assert choose_speed(*_model(*VIT), "cpu")[0].precision == "fp32"


def test_only_the_first_process_measures(machine, monkeypatch):
    machine.kernels = {BF16: 0.1}
    monkeypatch.setenv("RANK", "1")
    options, record = choose_speed(*_model(*VIT), "cpu")
    assert (_chosen(options), record, machine.steps) == (FP32, {}, [])


def test_a_slow_trial_ends_after_two_candidates(machine, monkeypatch):
    machine.by_threads = {1: 80.0, 2: 800.0}
    monkeypatch.setattr(measured_choices.time, "perf_counter", lambda: 0.0)
    choose_speed(*_model(*VIT), "cpu")
    assert len({kernels for kernels, _ in machine.steps}) == 2


def test_a_first_step_that_sets_up_kernels_does_not_make_a_model_slow(machine):
    """The steps of a deep convolutional network are short, but its first step takes many times as long."""
    best = Kernels("bf16", "fused", False)
    machine.kernels, machine.setup = {best: 0.5}, 0.5
    assert _chosen(choose_speed(*_model(*VIT), "cpu")[0]) == best


def test_a_large_encoder_is_timed_by_some_of_its_blocks(monkeypatch, tmp_path):
    monkeypatch.setenv("AUXFACE_CACHE", str(tmp_path))
    monkeypatch.setattr(measured_choices, "_LARGE_ENCODER", 0)
    model, loader = _model(*VIT, "encoder.depth=6")
    trial = Trial(model, loader, "cpu")
    assert (trial.scale, len(trial.model.encoder.vit.blocks), len(model.encoder.vit.blocks)) == (3.0, 2, 6)
    assert trial.step(FP32) > 0


def test_short_runs_make_no_trial(machine):
    machine.kernels = {BF16: 0.1}
    options, record = choose_speed(*_model(*VIT, epochs=2), "cpu")
    assert (_chosen(options), options.threads, record) == (FP32, 2, {})


def test_apple_gpus_compute_in_fp32():
    model, _ = _model(*VIT)
    assert {kernels.precision for kernels in measured_choices.open_kernels(model, "mps")} == {"fp32"}


def test_a_trial_changes_neither_model_nor_random_state(monkeypatch, tmp_path):
    monkeypatch.setenv("AUXFACE_CACHE", str(tmp_path))
    model, loader = _model(*CONVOLUTIONS)
    before, state = deepcopy(model.state_dict()), torch.get_rng_state()
    options, record = choose_speed(model, loader, "cpu")
    assert "auto" not in _chosen(options)
    assert len(record["images_per_second"]["kernels"]) >= 2
    assert torch.equal(torch.get_rng_state(), state)
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(weight.grad is None and weight.is_contiguous() for weight in model.parameters())


def test_a_trial_ends_with_fewer_images_than_a_batch(machine):
    """Steps so fast that the trial asks for more images than there are."""
    machine.by_threads = {1: 1e-4, 2: 1e-4}
    model, loader = _model(*VIT)
    labels = {"shade": torch.zeros(16, dtype=torch.int64)}
    few = DataLoader(images=loader.images, labels=labels, seed=0, batch_size=64, augment="none", size=32)
    _, record = choose_speed(model, few, "cpu")
    assert record["images"] == 16
