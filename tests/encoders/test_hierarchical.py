"""Hierarchical encoders: replaced patches, and separate batch-norm statistics."""

import pytest
import torch

from auxface.encoders import build_encoder, random_mask
from auxface.recipe import Encoder


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_the_output_stride_is_the_patch_size(stride):
    torch.manual_seed(0)
    encoder = build_encoder(Encoder(name="test_resnet", image_size=64, output_stride=stride)).eval()
    assert (encoder.patch_size, encoder.grid) == (stride, (64 // stride, 64 // stride))
    mask = random_mask(torch.tensor([1]), encoder.grid[0] ** 2, 0.75)
    images = torch.rand(1, 3, 64, 64)
    hidden = mask.boolean().view(1, 1, *encoder.grid).repeat_interleave(stride, 2).repeat_interleave(stride, 3)
    other = torch.where(hidden, torch.rand_like(images), images)
    assert torch.equal(encoder(images, mask).tokens, encoder(other, mask).tokens)


def test_auxiliary_images_have_statistics_of_their_own():
    torch.manual_seed(0)
    encoder = build_encoder(Encoder(name="test_resnet", image_size=64)).train()
    images = torch.rand(4, 3, 64, 64)
    encoder(images)
    norm = encoder.backbone.bn1
    before = norm.running_mean.clone()
    apart = encoder.forward_auxiliary(images * 0.2)
    assert torch.equal(norm.running_mean, before)
    assert not torch.equal(norm.masked_running_mean, before)
    torch.testing.assert_close(apart.pooled, encoder(images * 0.2).pooled)
    assert not torch.equal(norm.running_mean, before)


def test_a_model_trained_only_with_masks_evaluates_with_theirs():
    torch.manual_seed(0)
    encoder = build_encoder(Encoder(name="test_resnet", image_size=64)).train()
    encoder(torch.rand(4, 3, 64, 64), random_mask(torch.arange(4), encoder.grid[0] ** 2, 0.5))
    norm = encoder.backbone.bn1
    assert not torch.equal(norm.running_mean, norm.masked_running_mean)
    encoder.eval()
    assert torch.equal(norm.running_mean, norm.masked_running_mean)
