import numpy as np
import pandas as pd
import pytest
import torch

from auxface.errors import InputError
from auxface.objectives import Task
from auxface.recipe import Train
from auxface.training.data_loader import Feed
from auxface.training.sampling import balance_for, inverse_frequency

TABLE = pd.DataFrame({"race": ["a"] * 90 + ["b"] * 9 + [None], "smile": ["no"] * 50 + ["yes"] * 50})
SMILE = (Task("smile", "class", ("no", "yes")),)


def test_each_group_has_the_same_sum_of_weights_and_unknown_rows_weigh_one():
    weights = inverse_frequency(TABLE["race"]).numpy()
    assert weights[:90].sum() == pytest.approx(weights[90:99].sum())
    assert weights[99] == 1
    assert weights.mean() == pytest.approx(1)


def test_balanced_draws_show_each_group_equally_often_in_a_new_order_every_epoch():
    balance = balance_for(Train(sampling="group_balanced", group="race"), TABLE, ("race",), SMILE)
    feed = Feed(np.zeros((100, 3, 8, 8), np.uint8), {}, 0, 10, "none", 8, chances=balance.chances)
    orders = [feed.order(epoch) for epoch in range(40)]
    assert not torch.equal(orders[0], orders[1])
    assert torch.equal(orders[0], feed.order(0))
    drawn = torch.cat(orders)
    small = ((drawn >= 90) & (drawn < 99)).float().mean()
    assert float(small) == pytest.approx(0.495, abs=0.03)


def test_a_weighted_group_counts_as_much_as_the_others():
    balance = balance_for(Train(reweight_group=True, group="race"), TABLE, ("race",), SMILE)
    feed = Feed(np.zeros((100, 3, 8, 8), np.uint8), {}, 0, 10, "none", 8, weights=balance.weights)
    batch = feed.batch(torch.tensor([0, 95]), 0, torch.device("cpu"))
    assert batch.weights is not None
    assert float(batch.weights[1] / batch.weights[0]) == pytest.approx(10)


def test_group_labels_are_read_only_where_the_recipe_names_them():
    assert balance_for(Train(), TABLE, ("race",), SMILE) == balance_for(Train(), TABLE, (), SMILE)
    assert balance_for(Train(sampling="class_balanced"), TABLE, (), SMILE).chances is not None
    with pytest.raises(ValueError, match=r"need train\.group"):
        Train(sampling="group_balanced")
    with pytest.raises(ValueError, match="no effect"):
        Train(group="race")
    with pytest.raises(InputError, match="no group column 'rcae'; it has: race"):
        balance_for(Train(reweight_group=True, group="rcae"), TABLE, ("race",), SMILE)
