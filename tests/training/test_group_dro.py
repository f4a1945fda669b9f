import numpy as np
import pandas as pd
import pytest
import torch
from accelerate import Accelerator

from auxface.errors import InputError
from auxface.model import JointModel
from auxface.objectives import Task
from auxface.recipe import Encoder, Recipe, Train
from auxface.training.data_loader import Feed
from auxface.training.loop import run_training
from auxface.training.sampling import GroupShares, balance_for, group_shares
from auxface.training.selection import Validation
from auxface.training.train_step import Stepper

GROUP = torch.tensor([0, 0, 0, 0, 1, 1, 2, -1])
TASKS = (Task("shade", "class", ("dark", "light")),)


def test_shares_follow_the_losses_as_in_a_hand_worked_case():
    shares = GroupShares(GROUP, 3, step_size=0.5)
    every = torch.arange(8)
    weights = shares.weights(every, every)
    # 7 images with a group, 3 groups alike: 7/3 for each group, over its images.
    torch.testing.assert_close(weights, torch.tensor([7 / 12] * 4 + [7 / 6] * 2 + [7 / 3, 1.0]))
    shares.add(every[:4], torch.tensor([1.0, 2.0, 3.0, 2.0]))
    shares.add(every[4:], torch.tensor([0.0, 0.0, 4.0, 99.0]))
    shares.move(shares.seen)
    wanted = np.exp([0.5 * 2, 0, 0.5 * 4])
    np.testing.assert_allclose(shares.log_shares.exp(), wanted / wanted.sum())
    shares.move(shares.seen)
    np.testing.assert_allclose(shares.log_shares.exp(), wanted / wanted.sum())


def test_the_loss_of_a_step_is_the_sum_of_the_groups_mean_losses_by_their_shares():
    shares = GroupShares(GROUP[:7], 3, step_size=1.0)
    shares.log_shares = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64).log()
    losses = torch.rand(7, generator=torch.Generator().manual_seed(0))
    weights = shares.weights(torch.arange(7), torch.arange(7))
    wanted = 0.2 * losses[:4].mean() + 0.3 * losses[4:6].mean() + 0.5 * losses[6]
    torch.testing.assert_close((weights * losses).sum() / weights.sum(), wanted)


def faces(count=24):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, 3, 32, 32)).astype(np.uint8)
    return images, {"shade": torch.from_numpy(generator.integers(0, 2, count))}


def feed_of(recipe, count=24):
    column = pd.Series(["a", "b", "b", None] * (count // 4))
    shares = group_shares(column, "race", 0.5)
    return Feed(*faces(count), 0, recipe.train.images_per_step, "none", 32, shares=shares)


def recipe_for(epochs=4, **more):
    small = Encoder(image_size=32, patch_size=8, width=32, depth=1, heads=2)
    options = {"batch_size": 8, "epochs": epochs, "precision": "fp32", "base_learning_rate": 0.05}
    return Recipe(primary_weight=1.0, encoder=small, train=Train(group="race", group_dro=0.5, **options | more))


class Stopped(Exception):
    pass


def run(folder, recipe, stop_after=None):
    feed = feed_of(recipe)

    def advance(steps, note=""):
        done[0] += steps
        if stop_after is not None and done[0] > stop_after:
            raise Stopped

    done = [0]
    folder.mkdir(exist_ok=True)
    trained = run_training(
        JointModel(recipe, TASKS), feed, Validation(*faces(8)), folder=folder, device="cpu", advance=advance
    )
    assert feed.shares is not None
    return trained.model, feed.shares


def test_a_resumed_run_equals_an_unbroken_one_shares_included(tmp_path):
    whole, shares = run(tmp_path / "a", recipe_for())
    with pytest.raises(Stopped):
        run(tmp_path / "b", recipe_for(), stop_after=7)
    resumed, others = run(tmp_path / "b", recipe_for())
    for one, two in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, two)
    assert torch.equal(shares.log_shares, others.log_shares)
    assert not torch.allclose(shares.log_shares, shares.log_shares.mean())


def test_a_step_in_parts_moves_weights_and_shares_as_a_whole_one():
    found = []
    for accumulate in (1, 3):
        recipe = recipe_for(accumulate=accumulate)
        model, feed, accelerator = JointModel(recipe, TASKS), feed_of(recipe), Accelerator(cpu=True)
        optimizer = torch.optim.SGD([{"params": list(model.parameters()), "scale": 1.0}], lr=0.1)
        stepper = Stepper(model, model, optimizer, accelerator, feed, 10)
        for step in range(2):
            stepper.take(torch.arange(step, step + 7), 0, step)
        assert feed.shares is not None
        found.append((feed.shares.log_shares, torch.cat([p.detach().flatten() for p in model.parameters()])))
    torch.testing.assert_close(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-6, rtol=1e-4)


def test_the_recipe_asks_for_it_in_one_line_and_says_what_does_not_fit():
    table = pd.DataFrame({"race": ["a", "b", "b"], "shade": ["dark", "light", "dark"]})
    assert balance_for(Train(group="race", group_dro=0.01), table, ("race",), TASKS).shares is not None
    with pytest.raises(ValueError, match="both weigh the groups"):
        Train(group="race", group_dro=0.01, reweight_group=True)
    with pytest.raises(ValueError, match=r"need train\.group"):
        Train(group_dro=0.01)
    with pytest.raises(InputError, match="'race' has 1 group"):
        group_shares(table["race"][1:], "race", 0.01)
