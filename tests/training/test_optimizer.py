from itertools import pairwise

import numpy as np
import pytest
import timm
import timm.optim
import torch
from torch import nn

from auxface.encoders import build_encoder
from auxface.model import JointModel
from auxface.model.balance import ObjectiveSchedule
from auxface.objectives import LearnedTask, TrainProgress
from auxface.recipe import Encoder, Recipe, ReconstructionOptions, Scheme, Train
from auxface.training.data_loader import DataLoader
from auxface.training.distributed import make_accelerator, prepare
from auxface.training.optimizer import learning_rates, make_optimizer
from auxface.training.train_step import Stepper, set_learning_rate


def test_the_learning_rate_warms_up_and_follows_a_half_cosine():
    options = Train(batch_size=128, base_learning_rate=1e-3, min_learning_rate=1e-6, warmup_fraction=0.1)
    rates = learning_rates(100, options)
    assert rates[0] == 0
    assert rates[5] == pytest.approx(2.5e-4)
    assert rates[10] == max(rates) == pytest.approx(5e-4)
    assert rates[55] == pytest.approx((5e-4 + 1e-6) / 2)
    assert rates[99] == pytest.approx(1e-6, abs=1e-6)
    assert all(a > b for a, b in pairwise(rates[10:]))


@pytest.mark.parametrize("pretraining", [0.5, 0.07, 0.3])
def test_each_phase_has_its_own_warmup_and_schedule(pretraining):
    """The second phase begins where the weights of the objectives change, and neither phase depends on the other."""
    options = Train(batch_size=256, base_learning_rate=1e-3, min_learning_rate=1e-6, warmup_fraction=0.1)
    recipe = Recipe(
        primary_weight=1,
        auxiliary=ReconstructionOptions(),
        scheme=Scheme(kind="frozen", pretrain_fraction=pretraining),
        train=options,
    )
    weights = [ObjectiveSchedule(recipe).primary_weight(TrainProgress(step, 100)) for step in range(100)]
    rates = learning_rates(100, options, pretraining=pretraining)
    first = weights.index(1.0)
    assert rates[:first] == learning_rates(first, options)
    assert rates[first:] == learning_rates(100 - first, options)
    assert rates[first] == 0
    assert max(rates[first:]) == pytest.approx(1e-3, rel=0.01)


def test_a_step_of_the_second_phase_has_its_own_rate():
    """The stepper passes the scheme of the recipe on: the first step of a probe is one of warmup."""
    recipe = Recipe(
        primary_weight=1,
        auxiliary=ReconstructionOptions(decoder_width=16, decoder_depth=1, decoder_heads=2),
        scheme="sequential",
        encoder=Encoder(image_size=32, patch_size=8, width=16, depth=1, heads=2),
        train=Train(batch_size=2, base_learning_rate=0.1, warmup_fraction=0.2, precision="fp32"),
    )
    model = JointModel(recipe, [LearnedTask("shade", "class", ("dark", "light"))])
    images = np.zeros((2, 3, 32, 32), np.uint8)
    labels = {"shade": torch.tensor([0, 1])}
    loader = DataLoader(images=images, labels=labels, seed=0, batch_size=2, augment="none", size=32)
    accelerator = make_accelerator(recipe, "cpu")
    wrapped, optimizer = prepare(accelerator, model, make_optimizer(model, recipe.train))
    stepper = Stepper(
        model=model, wrapped=wrapped, optimizer=optimizer, accelerator=accelerator, loader=loader, total_steps=100
    )
    rates = []
    for step in (5, 10, 50, 55, 60):
        stepper.train_step(torch.arange(2), 0, step)
        rates.append(optimizer.param_groups[0]["lr"])
    peak = 0.1 * 2 / 256
    assert rates == pytest.approx([peak / 2, peak, 0, peak / 2, peak])


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


def test_the_mask_patch_has_the_rate_of_the_first_layer():
    encoder = build_encoder(Encoder(name="test_resnet", image_size=64, output_stride=16))
    optimizer = make_optimizer(nn.ModuleDict({"encoder": encoder, "head": nn.Linear(8, 2)}), Train(layer_decay=0.5))
    scale = {id(p): group["scale"] for group in optimizer.param_groups for p in group["params"]}
    first = scale[id(encoder.backbone.conv1[0].weight)]
    assert first < 0.5
    assert scale[id(encoder.mask_patch)] == first


@pytest.mark.parametrize(
    ("name", "undecayed"),
    [
        ("deit3_small_patch16_224", ("cls_token", "pos_embed")),
        ("swinv2_tiny_window8_256", ("layers.0.blocks.0.attn.cpb_mlp.0.weight", "layers.0.blocks.0.attn.logit_scale")),
    ],
)
def test_names_of_timm_have_no_weight_decay(name, undecayed):
    depth = {"depth": 1} if name.startswith("deit") else {"depths": (1, 1, 1, 1)}
    encoder = timm.create_model(name, num_classes=0, **depth)
    assert set(undecayed) <= encoder.no_weight_decay()
    decay = {
        id(p): group["weight_decay"]
        for group in make_optimizer(nn.ModuleDict({"a": nn.ModuleDict({"vit": encoder})}), Train()).param_groups
        for p in group["params"]
    }
    assert [decay[id(encoder.get_parameter(each))] for each in undecayed] == [0, 0]
    expected = timm.optim.param_groups_weight_decay(encoder, 0.05, no_weight_decay_list=encoder.no_weight_decay())
    assert all(decay[id(p)] == group["weight_decay"] for group in expected for p in group["params"])


def test_vectors_have_no_weight_decay_and_frozen_ones_no_group():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    model[2].weight.requires_grad_(False)
    decayed, free = make_optimizer(model, Train()).param_groups
    assert [p.shape for p in decayed["params"]] == [torch.Size([4, 3])]
    assert decayed["weight_decay"] == 0.05
    assert [p.ndim for p in free["params"]] == [1, 1, 1, 1]
    assert free["weight_decay"] == 0
