import numpy as np
import pandas as pd
import pytest
import torch

from auxface.data.random import sample_seeds
from auxface.encoders import random_mask
from auxface.errors import InputError
from auxface.objectives import LearnedTask
from auxface.recipe import Train
from auxface.training.data_loader import DataLoader
from auxface.training.sampling import inverse_frequency, number_draws, sample_weights

TABLE = pd.DataFrame({"race": ["a"] * 90 + ["b"] * 9 + [None], "smile": ["no"] * 50 + ["yes"] * 50})
SMILE = (LearnedTask("smile", "class", ("no", "yes")),)


def test_each_group_has_the_same_total_weight():
    weights = inverse_frequency(TABLE["race"]).numpy()
    assert weights[:90].sum() == pytest.approx(weights[90:99].sum())
    assert weights[99] == 1
    assert weights.mean() == pytest.approx(1)


def test_group_balanced_epochs_draw_groups_equally_often():
    weights = sample_weights(Train(sampling="group_balanced", group="race"), TABLE, ("race",), SMILE)
    loader = DataLoader(
        images=np.zeros((100, 3, 8, 8), np.uint8),
        labels={},
        seed=0,
        batch_size=10,
        augment="none",
        size=8,
        draw_weights=weights.draw,
    )
    orders = [loader.order(epoch) for epoch in range(40)]
    assert not torch.equal(orders[0], orders[1])
    assert torch.equal(orders[0], loader.order(0))
    drawn = torch.cat(orders)
    small = ((drawn >= 90) & (drawn < 99)).float().mean()
    assert float(small) == pytest.approx(0.495, abs=0.03)


def test_an_image_drawn_again_gets_other_views_and_masks():
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 16, 16), np.uint8)
    loader = DataLoader(
        images=images,
        labels={"smile": torch.arange(5)},
        seed=0,
        batch_size=5,
        augment="light",
        size=16,
        draw_weights=torch.tensor([1.0, 1.0, 1.0, 1.0, 36.0]),
    )
    order = torch.tensor([4, 1, 4, 4])
    batch = loader.batch(number_draws(order, 5), 3, torch.device("cpu"))
    assert batch.labels["smile"].tolist() == batch.indices.tolist() == order.tolist()
    same = batch.primary[[0, 2, 3]].flatten(1)
    assert all(not torch.equal(same[a], same[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    hidden = random_mask(batch.seeds[[0, 2, 3]], patches=16, mask_ratio=0.75).hidden
    assert len(hidden.unique(dim=0)) == 3
    # The first use of an image is the one that it has without repetitions.
    assert torch.equal(batch.seeds[:2], sample_seeds(0, 3, torch.tensor([4, 1])))
    epoch = torch.cat(list(loader.draws(0)))
    assert len(loader.positions(epoch).unique()) < len(epoch)
    assert len(loader.batch(epoch, 0, torch.device("cpu")).seeds.unique()) == len(epoch)


def test_reweighted_groups_have_equal_totals():
    weights = sample_weights(Train(reweight_group=True, group="race"), TABLE, ("race",), SMILE)
    loader = DataLoader(
        images=np.zeros((100, 3, 8, 8), np.uint8),
        labels={},
        seed=0,
        batch_size=10,
        augment="none",
        size=8,
        loss_weights=weights.loss,
    )
    batch = loader.batch(torch.tensor([0, 95]), 0, torch.device("cpu"))
    assert batch.weights is not None
    assert float(batch.weights[1] / batch.weights[0]) == pytest.approx(10)


def test_groups_matter_only_where_the_recipe_names_them():
    assert sample_weights(Train(), TABLE, ("race",), SMILE) == sample_weights(Train(), TABLE, (), SMILE)
    assert sample_weights(Train(sampling="class_balanced"), TABLE, (), SMILE).draw is not None
    with pytest.raises(ValueError, match=r"need train\.group"):
        Train(sampling="group_balanced")
    with pytest.raises(ValueError, match="no effect"):
        Train(group="race")
    with pytest.raises(InputError, match="no group column 'rcae'; it has: race"):
        sample_weights(Train(reweight_group=True, group="rcae"), TABLE, ("race",), SMILE)
