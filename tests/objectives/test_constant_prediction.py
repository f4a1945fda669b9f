"""The constant prediction that skill is measured against, with values worked out by hand."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributions import kl_divergence
from torch.distributions.categorical import Categorical

from auxface.data.manifest import Manifest
from auxface.encoders import build_encoder
from auxface.objectives import Batch, StepContext, TrainingSet
from auxface.objectives.reconstruction.masked_autoencoder import Reconstruction, fit_constant
from auxface.objectives.reconstruction.targets import activate
from auxface.recipe import Encoder, ReconstructionOptions, Target

GENERATOR = torch.Generator().manual_seed(0)
PLACES = torch.tensor([[0, 1]])


def batches_of(targets):
    return list(targets.split(3))


def test_the_constant_of_scalars_is_mean_and_variance():
    targets = torch.randn(10, 2, 5, generator=GENERATOR)
    constant = fit_constant(batches_of(targets), "scalar")
    torch.testing.assert_close(constant.mean, targets.mean(dim=0))
    torch.testing.assert_close(constant.loss, targets.var(dim=0, unbiased=False).mean(dim=-1))


def test_the_constant_of_bits_has_the_entropy_of_a_code():
    targets = torch.zeros(4, 2, 8)
    targets[:2, 0] = 1
    targets[:1, 1] = 1
    constant = fit_constant(batches_of(targets), "bits", bits=8)
    quarter = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert constant.loss.tolist() == pytest.approx([8 * math.log(2), 8 * quarter])


def test_the_constant_of_histograms_has_their_mean_divergence():
    targets = torch.rand(6, 2, 8, generator=GENERATOR).view(6, 2, 2, 4).softmax(dim=-1)
    constant = fit_constant(batches_of(targets.flatten(-2)), "histogram", maps=2)
    mean = Categorical(probs=targets.mean(dim=0).expand_as(targets))
    torch.testing.assert_close(constant.loss, kl_divergence(Categorical(probs=targets), mean).mean(dim=(0, 2)))


@pytest.mark.parametrize(("encoding", "maps", "bits"), [("scalar", 1, 1), ("bits", 1, 4), ("histogram", 2, 1)])
def test_the_constant_has_its_expected_loss_on_its_own_faces(encoding, maps, bits):
    targets = torch.rand(8, 2, 8, generator=GENERATOR)
    if encoding == "bits":
        targets = (targets > 0.4).float()
    if encoding == "histogram":
        targets = targets.view(8, 2, 2, 4).softmax(dim=-1).flatten(-2)
    constant = fit_constant(batches_of(targets), encoding, maps=maps, bits=bits)
    places = PLACES.expand(8, -1)
    torch.testing.assert_close(constant.loss_on(targets, places), constant.expected_loss(places), atol=1e-5, rtol=1e-4)


def test_without_a_face_there_is_no_constant():
    with pytest.raises(ValueError, match="no training face"):
        fit_constant([], "scalar")


@pytest.mark.parametrize(("encoding", "maps", "bits"), [("scalar", 1, 1), ("bits", 1, 4), ("histogram", 2, 1)])
def test_the_start_is_the_mean_target_of_each_place(encoding, maps, bits):
    targets = torch.rand(8, 2, 8, generator=GENERATOR)
    if encoding == "histogram":
        targets = targets.view(8, 2, 2, 4).softmax(dim=-1).flatten(-2)
    start = fit_constant(batches_of(targets), encoding, maps=maps, bits=bits).start()
    torch.testing.assert_close(activate(start[None], encoding, maps)[0], targets.mean(dim=0))


@pytest.mark.parametrize("encoding", ["bits", "histogram"])
def test_the_decoder_of_a_texture_starts_at_the_constant(encoding):
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (20, 3, 32, 32), dtype=np.uint8))
    images = images // 4 + 3 * torch.linspace(0, 40, 32).byte()
    manifest = Manifest(pd.DataFrame(), {}, root=Path())
    training = TrainingSet(
        manifest, lambda: torch.empty(0), augmented=lambda: iter([images]), plain=lambda: iter([images])
    )
    encoder = build_encoder(Encoder(image_size=32, patch_size=8, width=32, depth=1, heads=2))
    target = Target(name="local_directional_pattern", encoding=encoding)
    options = ReconstructionOptions(target=(target,), decoder_width=16, decoder_depth=1, decoder_heads=2)
    auxiliary = Reconstruction(options, encoder)
    batch = Batch(primary=images / 255, clean=images, labels={}, seeds=torch.arange(20))
    before = auxiliary(encoder, batch, StepContext(encoder, batch.primary))[0].item()
    auxiliary.before_training(training)
    start = auxiliary.decoder.get_buffer(f"start_{target.key}")
    values = auxiliary.targets[0].compute(images, encoder.mean, encoder.std)
    torch.testing.assert_close(activate(start, encoding, 1), values.mean(dim=0), atol=0.006, rtol=0)
    loss, logs = auxiliary(encoder, batch, StepContext(encoder, batch.primary))
    assert loss.item() < before
    assert abs(logs["skill.local_directional_pattern"]) < 0.3
    loss.backward()
    # Balance gradient needs a gradient on the encoder from the first step.
    assert max(float(weight.grad.norm()) for weight in encoder.shared_parameters()) > 0


def test_deviations_of_scalar_targets_are_in_their_own_unit():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (20, 3, 32, 32), dtype=np.uint8))
    views = {"augmented": lambda: iter([images]), "plain": lambda: iter([images])}
    training = TrainingSet(Manifest(pd.DataFrame(), {}, root=Path()), lambda: torch.empty(0), **views)
    encoder = build_encoder(Encoder(image_size=32, patch_size=8, width=32, depth=1, heads=2))
    target = Target(name="histogram_of_oriented_gradients")
    options = ReconstructionOptions(target=(target,), decoder_width=16, decoder_depth=1, decoder_heads=2)
    auxiliary = Reconstruction(options, encoder)
    auxiliary.before_training(training)
    values = auxiliary.targets[0].compute(images, encoder.mean, encoder.std)
    spread = (values - values.mean(dim=0)).square().mean().sqrt()
    torch.testing.assert_close(auxiliary.decoder.get_buffer(f"scale_{target.key}"), spread, rtol=1e-4, atol=1e-6)
    batch = Batch(primary=images / 255, clean=images, labels={}, seeds=torch.arange(20))
    skill = auxiliary(encoder, batch, StepContext(encoder, batch.primary))[1][f"skill.{target.key}"]
    # The initial output has a variance near 1: two to three times the loss of the constant.
    assert -4 < skill < 0
