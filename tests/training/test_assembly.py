from types import SimpleNamespace

import numpy as np
import torch

from auxface.data.manifest import read_manifest
from auxface.model import JointModel
from auxface.objectives import LearnedTask, TrainingSet
from auxface.recipe import load_recipe
from auxface.training.assembly import Assembly, agree_on_choices, assemble
from auxface.training.data_loader import DataLoader
from auxface.training.selection import Validation


def test_processes_agree_on_the_choices_of_the_first():
    recipe = load_recipe("l_ssat", ["encoder.width=32", "encoder.depth=1", "encoder.heads=4", "train.batch_size=8"])
    images, labels = np.zeros((20, 3, 16, 16), np.uint8), {"shade": torch.zeros(20, dtype=torch.int64)}
    task = LearnedTask("shade", "class", ("dark", "light"))
    model = JointModel(recipe, [task])
    training = TrainingSet(SimpleNamespace(), lambda: torch.zeros(0))
    loader = DataLoader(images=images, labels=labels, seed=0, batch_size=8, augment="none", size=16)
    parts = Assembly(recipe, SimpleNamespace(), (task,), model, loader, Validation(images, labels), training, {}, {})

    def gather(own):
        """The first process chose bf16, and finds that four images fit."""
        return torch.cat([torch.tensor([2, 2, 1, 4]), own])

    accelerator = SimpleNamespace(device="cpu", gather=gather)
    agreed = agree_on_choices(parts, accelerator)
    assert agreed.loader.batch_size == agreed.recipe.train.batch_size == agreed.model.recipe.train.batch_size == 4
    assert agreed.loader.steps_per_epoch == 5
    options = agreed.model.recipe.train
    assert (options.precision, options.attention, options.channels_last) == ("bf16", "plain", True)
    accelerator.gather = lambda own: torch.cat([own, torch.tensor([1, 1, 0, 16])])
    agreed = agree_on_choices(agreed, accelerator)
    assert (agreed.recipe.train.precision, agreed.loader.batch_size) == ("bf16", 4)


def test_erasing_noise_is_standardized_as_the_recipe_does(sixty, small_settings):
    settings = [*small_settings, "tasks=[emotion]", "encoder.mean=[0.1, 0.2, 0.3]", "encoder.std=[0.4, 0.5, 0.6]"]
    loader = assemble(load_recipe("l_ssat", settings), read_manifest(sixty), "cpu").loader
    assert loader.standardization == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
