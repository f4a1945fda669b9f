from itertools import pairwise

import pytest
import timm
import torch
from torch import nn

from auxface.recipe import Train
from auxface.training.optimizer import make_optimizer
from auxface.training.schedule import learning_rate, set_learning_rate


def test_the_learning_rate_warms_up_and_follows_a_half_cosine():
    options = Train(batch_size=128, base_learning_rate=1e-3, min_learning_rate=1e-6, warmup_fraction=0.1)
    rates = [learning_rate(step, 100, options) for step in range(100)]
    assert rates[0] == 0
    assert rates[5] == pytest.approx(2.5e-4)
    assert rates[10] == max(rates) == pytest.approx(5e-4)
    assert rates[55] == pytest.approx((5e-4 + 1e-6) / 2)
    assert rates[99] == pytest.approx(1e-6, abs=1e-6)
    assert all(a > b for a, b in pairwise(rates[10:]))


def test_layer_decay_lowers_the_rate_of_early_layers():
    encoder = timm.create_model("vit_tiny_patch16_224", num_classes=0, depth=2)
    model = nn.ModuleDict({"encoder": encoder, "head": nn.Linear(192, 2)})
    optimizer = make_optimizer(model, Train(layer_decay=0.5))
    set_learning_rate(optimizer, 0.1)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates[id(model["head"].weight)] == pytest.approx(0.1)
    assert rates[id(encoder.blocks[1].mlp.fc1.weight)] == pytest.approx(0.1)
    assert rates[id(encoder.blocks[0].mlp.fc1.bias)] == pytest.approx(0.05)
    assert rates[id(encoder.patch_embed.proj.weight)] == pytest.approx(0.025)


def test_vectors_have_no_weight_decay_and_frozen_ones_no_group():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    model[2].weight.requires_grad_(False)
    decayed, free = make_optimizer(model, Train()).param_groups
    assert [p.shape for p in decayed["params"]] == [torch.Size([4, 3])]
    assert decayed["weight_decay"] == 0.05
    assert [p.ndim for p in free["params"]] == [1, 1, 1, 1]
    assert free["weight_decay"] == 0
