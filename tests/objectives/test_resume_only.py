import sys
from copy import deepcopy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from auxface.data.manifest import Manifest
from auxface.errors import InputError
from auxface.model import JointModel
from auxface.model.saved_model import load_model, save_model
from auxface.objectives import LearnedTask, ResumeOnly, TrainingSet
from auxface.objectives.registry import register, registry
from auxface.recipe import Encoder, Recipe, Train
from auxface.training.data_loader import DataLoader
from auxface.training.loop import run_training
from auxface.training.selection import Validation

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from toy_teacher import TOY_TEACHER

TASK = LearnedTask("shade", "class", ("dark", "light"))


@pytest.fixture(autouse=True)
def _registered():
    with registry.isolated():
        register(TOY_TEACHER)
        yield


def recipe_with(auxiliaries):
    return Recipe(
        primary_weight=0.5 if auxiliaries else 1.0,
        auxiliaries=auxiliaries,
        encoder=Encoder(image_size=32, patch_size=8, width=32, depth=1, heads=4),
        train=Train(epochs=2, batch_size=8, base_learning_rate=0.05, precision="fp32", checkpoint_every=2),
    )


def model_with(*names):
    return JointModel(recipe_with({name: {} for name in names}), [TASK])


def teacher_of(model):
    return model.auxiliaries["toy_teacher"].teacher.module


def test_it_is_neither_a_weight_nor_a_parameter():
    model, plain = model_with("toy_teacher"), model_with()
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in plain.named_parameters()]


def test_it_stays_in_evaluation_mode_without_gradients():
    held = ResumeOnly(nn.Sequential(nn.Linear(2, 2), nn.Dropout()))
    nn.Sequential(held).train()
    assert not any(module.training for module in held.module.modules())
    assert not held(torch.ones(1, 2, requires_grad=True)).requires_grad


def test_it_follows_the_model_and_is_copied_with_it():
    model = model_with("toy_teacher")
    twin = deepcopy(model)
    model.to(torch.float64)
    assert {value.dtype for value in teacher_of(model).parameters()} == {torch.float64}
    assert {value.dtype for value in teacher_of(twin).parameters()} == {torch.float32}
    assert model.auxiliaries["toy_teacher"].center.module.value.dtype == torch.float64


def test_a_saved_model_is_as_large_as_without_it(tmp_path):
    for folder, model in (("with", model_with("toy_teacher")), ("without", model_with())):
        save_model(model, tmp_path / folder)
    sizes = [(tmp_path / folder / "model.safetensors").stat().st_size for folder in ("with", "without")]
    assert sizes[0] == sizes[1]
    assert load_model(tmp_path / "with").model.logits(torch.zeros(1, 3, 32, 32)).keys() == {"shade"}


class Stopped(Exception):
    pass


LAFS = {"prototypes": 16, "head_width": 16, "bottleneck_width": 8, "local_views": 1, "local_fraction": 0.25}


def run(folder, name, options, stop_after=None):
    seen = []
    model = JointModel(recipe_with({name: options}), [TASK])

    class Counted(DataLoader):
        def batch(self, *arguments):
            seen.append(1)
            if stop_after is not None and len(seen) > stop_after:
                raise Stopped
            return super().batch(*arguments)

    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (24, 3, 32, 32)).astype(np.uint8)
    labels = {"shade": torch.from_numpy(generator.integers(0, 2, 24))}
    loader = Counted(images=images, labels=labels, seed=0, batch_size=8, augment="light", size=32, views=model.views)
    table = pd.DataFrame({"path": [f"{row}.png" for row in range(24)]})
    model.before_training(TrainingSet(Manifest(table, {}), lambda: torch.empty(0)))
    folder.mkdir(exist_ok=True)
    return run_training(model, loader, Validation(images, labels), folder=folder, device="cpu").model


@pytest.mark.parametrize(("name", "options"), [("toy_teacher", {}), ("lafs", LAFS)])
def test_a_resumed_run_equals_an_unbroken_one(name, options, tmp_path):
    unbroken = run(tmp_path / "a", name, options)
    with pytest.raises(Stopped):
        run(tmp_path / "b", name, options, stop_after=3)
    resumed = run(tmp_path / "b", name, options)
    for key, value in unbroken.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key
    state, again = unbroken.objective_state(), resumed.objective_state()
    assert state.keys() == again.keys()
    assert all(torch.equal(value, again[key]) for key, value in state.items())
    assert {f"{name}/teacher", f"{name}/center"} <= {key.split(".")[0] for key in state}
    initial = model_with("toy_teacher").objective_state()
    moved = [key for key, value in state.items() if not torch.equal(value, initial.get(key, torch.zeros_like(value)))]
    assert any(key.startswith(f"{name}/teacher.") for key in moved)
    assert any(key.startswith(f"{name}/center.") for key in moved)


def test_a_checkpoint_without_it_is_refused():
    model = model_with("toy_teacher")
    with pytest.raises(RuntimeError, match="Missing key"):
        model.load_objective_state({})


def test_an_unknown_auxiliary_stops_a_model():
    with pytest.raises(InputError, match=r"unknown objective 'toy_teachr' .did you mean 'toy_teacher'"):
        model_with("toy_teachr")
