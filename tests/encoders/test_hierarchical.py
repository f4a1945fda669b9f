"""Hierarchical encoders: replaced patches, and separate batch-norm statistics."""

import pytest
import timm
import torch
from torch import nn

from auxface.encoders import build_encoder, random_mask
from auxface.encoders.masking import Mask
from auxface.encoders.patch_alignment import find_alignment
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


def center_of_token(encoder, mask):
    """Center of mass of the absolute gradient of the middle token, from the center of its patch, in patches."""
    side, count = encoder.patch_size, encoder.grid[0]
    middle = count // 2
    images = torch.rand(1, 3, encoder.image_size, encoder.image_size, requires_grad=True)
    token = encoder(images, mask).tokens[0, middle * count + middle]
    (gradient,) = torch.autograd.grad(token @ torch.randn(len(token)), images)
    weight = gradient.abs().sum((0, 1))
    at = torch.arange(len(weight)) + 0.5
    return [float((weight.sum(axis) * at).sum() / weight.sum()) / side - middle - 0.5 for axis in (1, 0)]


@pytest.mark.parametrize(
    ("name", "size", "off", "left"),
    [
        ("resnet18", 352, -0.49, 0.12),
        ("efficientnet_lite0", 416, -0.45, 0.12),
        ("tf_mixnet_s", 416, 0.4, 0.12),
        ("pvt_v2_b0", 352, -0.48, 0.12),
        # Its shortcuts are centered and its main path is not, so that no shift centers both.
        ("resnet18d", 352, -0.38, 0.2),
    ],
)
def test_tokens_of_masked_images_are_centered_on_patches(name, size, off, left):
    """Nothing is hidden here but one corner, far from the middle token."""
    torch.manual_seed(0)
    encoder = build_encoder(Encoder(name=name, image_size=size, patch_size=None)).eval()
    for norm in encoder.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.ones_(norm.weight)  # timm starts some at 0, which takes their layers out of the network.
    mask = Mask(torch.arange(1, encoder.grid[0] ** 2)[None], torch.zeros(1, 1, dtype=torch.int64))
    before = center_of_token(encoder, None)
    assert before == pytest.approx([off, off], abs=0.15)
    assert center_of_token(encoder, mask) == pytest.approx([0, 0], abs=left)


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0"])
def test_complete_images_have_the_logits_of_timm(name):
    torch.manual_seed(0)
    encoder = build_encoder(Encoder(name=name, image_size=64, patch_size=None)).eval()
    images = torch.rand(2, 3, 64, 64)
    plain = encoder.backbone.forward_features((images - encoder.mean) / encoder.std)
    mask = random_mask(torch.arange(2), 4, 0.5)
    assert encoder(images, mask).tokens.shape == (2, 4, plain.shape[1])
    assert torch.equal(encoder(images).tokens, plain.flatten(2).mT)


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("resnet18", 64, ("layer3", 1, 0, True)),
        ("tf_efficientnet_lite0", 64, ("blocks.4", 0, 1, False)),
        ("convnext_atto", 64, None),
        ("swin_tiny_patch4_window7_224", 224, None),
        ("resnet18d", 64, ("layer2", 3, 0, True)),
        ("pvt_v2_b0", 64, ("stages.2", 1, 0, True)),
        ("densenet121", 64, None),
    ],
)
def test_only_models_off_their_patches_are_aligned(name, size, expected):
    """Patchifying layers are centered; DenseNet pools two by two from its third reduction on."""
    model = timm.create_model(name, num_classes=0).eval()
    found = find_alignment(model, image_size=size, side=size // 32)
    assert (None if found is None else (found.stage, found.before, found.after, found.skips_first)) == expected
