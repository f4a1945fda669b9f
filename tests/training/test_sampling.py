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
from auxface.training.sampling import LabeledMixture, inverse_frequency, number_draws, sample_weights
from auxface.training.train_step import split_micro_batches

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
    with pytest.raises(InputError, match="no group column 'rcae'; its group columns: race"):
        sample_weights(Train(reweight_group=True, group="rcae"), TABLE, ("race",), SMILE)


def few_labels(labeled=6, unlabeled=35, batch_size=10, ratio=0.5, **given):
    known = torch.zeros(labeled + unlabeled, dtype=torch.bool)
    known[torch.randperm(len(known), generator=torch.Generator().manual_seed(3))[:labeled]] = True
    images = np.zeros((len(known), 3, 8, 8), np.uint8)
    loader = DataLoader(
        images=images,
        labels={},
        seed=0,
        batch_size=batch_size,
        augment="none",
        size=8,
        mixture=LabeledMixture(known, ratio),
        **given,
    )
    return loader, known


@pytest.mark.parametrize(
    ("labeled", "ratio", "batch_size", "per_step", "steps"),
    [(6, 0.5, 10, 5, 7), (6, 0.25, 8, 2, 6), (30, 0.5, 10, 5, 7), (90, 0.5, 10, 5, 18), (6, 0.001, 4, 1, 12)],
)
def test_every_step_has_the_set_number_of_labels(labeled, ratio, batch_size, per_step, steps):
    loader, known = few_labels(labeled, batch_size=batch_size, ratio=ratio)
    batches = [loader.positions(draws) for draws in loader.draws(2)]
    assert loader.steps_per_epoch == len(batches) == steps
    assert {len(batch) for batch in batches} == {batch_size}
    assert {int(known[batch].sum()) for batch in batches} == {per_step}


@pytest.mark.parametrize("shards", [None, torch.arange(41) // 8])
def test_an_epoch_draws_each_image_evenly_on_its_side(shards):
    loader, known = few_labels(shards=shards)
    drawn = torch.bincount(loader.order(0), minlength=41)
    assert drawn[~known].tolist() == [1] * 35
    assert set(drawn[known].tolist()) <= {5, 6}
    # Each draw of an image has a number, and so views and masks, of its own.
    assert len(torch.cat(list(loader.draws(0))).unique()) == 70
    assert not torch.equal(loader.order(0), loader.order(1))
    assert torch.equal(loader.order(0), few_labels(shards=shards)[0].order(0))


def test_micro_batches_share_the_labels_of_a_step():
    loader, known = few_labels(batch_size=8)
    for step in loader.draws(0):
        parts = [part for rank in (0, 1) for part in split_micro_batches(step, ranks=2, rank=rank, accumulate=2)]
        assert [int(known[loader.positions(part.draws)].sum()) for part in parts] == [1, 1, 1, 1]


def test_a_fixed_ratio_needs_labeled_and_unlabeled():
    partly = TABLE.assign(smile=[None] * 60 + ["yes"] * 40)
    weights = sample_weights(Train(labeled_per_batch=0.5), partly, (), SMILE)
    assert [len(side) for side in weights.mixture.sides] == [40, 60]
    with pytest.raises(InputError, match=r"100 of 100 are labeled\. Remove the key, or add images with --unlabeled"):
        sample_weights(Train(labeled_per_batch=0.5), TABLE, (), SMILE)
    with pytest.raises(InputError, match="batch_size of at least 2"):
        weights.mixture.counts(1)
    with pytest.raises(ValueError, match="class_balanced both determine how often"):
        Train(labeled_per_batch=0.5, sampling="class_balanced")
    with pytest.raises(ValueError, match="self_blend labels every image"):
        Train(labeled_per_batch=0.5, self_blend="forged")


def test_group_weights_are_those_of_the_labeled_images():
    partly = TABLE.assign(smile=["no", "yes"] * 5 + [None] * 80 + ["no"] * 10)
    alone = partly[partly["smile"].notna()]
    weighted = sample_weights(Train(reweight_group=True, group="race"), partly, ("race",), SMILE).loss
    expected = sample_weights(Train(reweight_group=True, group="race"), alone, ("race",), SMILE).loss
    assert torch.equal(weighted[alone.index.tolist()], expected)
    # Unlabeled images have no loss; as members of a group they would lower its mean.
    dro = sample_weights(Train(group_dro=0.1, group="race"), partly, ("race",), SMILE).group_dro
    assert (dro.group >= 0).numpy().tolist() == (partly["smile"].notna() & partly["race"].notna()).tolist()


def test_a_batch_maps_its_views_to_the_source():
    """The map in fractions: a marked pixel of the source is found where the map says."""
    images = np.zeros((3, 3, 64, 64), np.uint8)
    images[:, :, 20:24, 36:40] = 255
    loader = DataLoader(images=images, labels={}, seed=0, batch_size=3, augment="light", size=32)
    batch = loader.batch(torch.arange(3), 0, torch.device("cpu"))
    weight = batch.clean[:, 0].float()
    at = (torch.arange(32) + 0.5) / 32
    total = weight.sum((1, 2))
    center = torch.stack([(weight.sum(1) * at).sum(1) / total, (weight.sum(2) * at).sum(1) / total, torch.ones(3)], 1)
    found = (batch.to_source @ center[:, :, None])[:, :, 0]
    torch.testing.assert_close(found, torch.tensor([[38 / 64, 22 / 64]]).expand(3, -1), atol=0.01, rtol=0)
