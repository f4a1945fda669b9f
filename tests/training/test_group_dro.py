import numpy as np
import pandas as pd
import pytest
import torch
from accelerate import Accelerator

from auxface.errors import InputError
from auxface.model import JointModel
from auxface.objectives import LearnedTask
from auxface.recipe import Encoder, Recipe, Train
from auxface.training.data_loader import DataLoader
from auxface.training.loop import run_training
from auxface.training.sampling import GroupDRO, make_group_dro, sample_weights
from auxface.training.selection import Validation
from auxface.training.train_step import Stepper

GROUP = torch.tensor([0, 0, 0, 0, 1, 1, 2, -1])
TASKS = (LearnedTask("shade", "class", ("dark", "light")),)


def test_group_weights_follow_losses_in_a_worked_case():
    groups = GroupDRO(GROUP, 3, step_size=0.5)
    every = torch.arange(8)
    weights = groups.weights(every, every)
    # 7 images with a group and 3 groups of equal weight: 7/3 for each group, divided by its images.
    torch.testing.assert_close(weights, torch.tensor([7 / 12] * 4 + [7 / 6] * 2 + [7 / 3, 1.0]))
    groups.add(every[:4], torch.tensor([1.0, 2.0, 3.0, 2.0]))
    groups.add(every[4:], torch.tensor([0.0, 0.0, 4.0, 99.0]))
    groups.update(groups.sums)
    wanted = np.exp([0.5 * 2, 0, 0.5 * 4])
    np.testing.assert_allclose(groups.log_weights.exp(), wanted / wanted.sum())
    groups.update(groups.sums)
    np.testing.assert_allclose(groups.log_weights.exp(), wanted / wanted.sum())


def test_a_steps_loss_is_the_weighted_sum_of_group_means():
    groups = GroupDRO(GROUP[:7], 3, step_size=1.0)
    groups.log_weights = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64).log()
    losses = torch.rand(7, generator=torch.Generator().manual_seed(0))
    weights = groups.weights(torch.arange(7), torch.arange(7))
    wanted = 0.2 * losses[:4].mean() + 0.3 * losses[4:6].mean() + 0.5 * losses[6]
    torch.testing.assert_close((weights * losses).sum() / weights.sum(), wanted)


def faces(count=24):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, 3, 32, 32)).astype(np.uint8)
    return images, {"shade": torch.from_numpy(generator.integers(0, 2, count))}


def loader_of(recipe, count=24):
    column = pd.Series(["a", "b", "b", None] * (count // 4))
    images, labels = faces(count)
    return DataLoader(
        images=images,
        labels=labels,
        seed=0,
        batch_size=recipe.train.images_per_step,
        augment="none",
        size=32,
        group_dro=make_group_dro(column, "race", 0.5),
    )


def recipe_for(epochs=4, **more):
    small = Encoder(image_size=32, patch_size=8, width=32, depth=1, heads=2)
    options = {"batch_size": 8, "epochs": epochs, "precision": "fp32", "base_learning_rate": 0.05}
    return Recipe(primary_weight=1.0, encoder=small, train=Train(group="race", group_dro=0.5, **options | more))


class Stopped(Exception):
    pass


def run(folder, recipe, stop_after=None):
    loader = loader_of(recipe)

    def advance(steps, note="", **_):
        done[0] += steps
        if stop_after is not None and done[0] > stop_after:
            raise Stopped

    done = [0]
    folder.mkdir(exist_ok=True)
    trained = run_training(
        JointModel(recipe, TASKS), loader, Validation(*faces(8)), folder=folder, device="cpu", advance=advance
    )
    assert loader.group_dro is not None
    return trained.model, loader.group_dro


def test_a_resumed_run_restores_the_group_weights(tmp_path):
    whole, groups = run(tmp_path / "a", recipe_for())
    with pytest.raises(Stopped):
        run(tmp_path / "b", recipe_for(), stop_after=7)
    resumed, others = run(tmp_path / "b", recipe_for())
    for one, two in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, two)
    assert torch.equal(groups.log_weights, others.log_weights)
    assert not torch.allclose(groups.log_weights, groups.log_weights.mean())


def test_micro_batches_update_group_weights_as_one_batch():
    found = []
    for accumulate in (1, 3):
        recipe = recipe_for(accumulate=accumulate)
        model, loader, accelerator = JointModel(recipe, TASKS), loader_of(recipe), Accelerator(cpu=True)
        optimizer = torch.optim.SGD([{"params": list(model.parameters()), "scale": 1.0}], lr=0.1)
        stepper = Stepper(
            model=model, wrapped=model, optimizer=optimizer, accelerator=accelerator, loader=loader, total_steps=10
        )
        for step in range(2):
            stepper.train_step(torch.arange(step, step + 7), 0, step)
        assert loader.group_dro is not None
        found.append((loader.group_dro.log_weights, torch.cat([p.detach().flatten() for p in model.parameters()])))
    torch.testing.assert_close(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-6, rtol=1e-4)


def test_contradictory_group_options_are_refused():
    table = pd.DataFrame({"race": ["a", "b", "b"], "shade": ["dark", "light", "dark"]})
    assert sample_weights(Train(group="race", group_dro=0.01), table, ("race",), TASKS).group_dro is not None
    with pytest.raises(ValueError, match="both weight the groups"):
        Train(group="race", group_dro=0.01, reweight_group=True)
    with pytest.raises(ValueError, match=r"need train\.group"):
        Train(group_dro=0.01)
    with pytest.raises(InputError, match="'race' has 1 group"):
        make_group_dro(table["race"][1:], "race", 0.01)
