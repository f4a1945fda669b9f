"""The constant prediction that skill is measured against, with values worked out by hand."""

import math

import pytest
import torch
from torch.distributions import kl_divergence
from torch.distributions.categorical import Categorical

from auxface.objectives.reconstruction.masked_autoencoder import fit_constant

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
def test_on_its_own_faces_the_constant_has_its_expected_loss(encoding, maps, bits):
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
