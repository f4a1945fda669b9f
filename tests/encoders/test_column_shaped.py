"""Column-shaped encoders: equal to timm, and hidden patches are dropped."""

import pytest
import torch

from auxface.encoders import build_encoder, random_mask
from auxface.encoders.maskable import family_of, sincos_positions
from auxface.encoders.masking import Mask
from auxface.recipe import Encoder

SMALL = Encoder(image_size=32, patch_size=8, width=24, depth=2, heads=3)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return build_encoder(SMALL).eval()


def test_without_a_mask_tokens_are_those_of_timm(encoder):
    images = torch.rand(3, 3, 32, 32)
    features = encoder(images)
    expected = encoder.vit.forward_features((images - encoder.mean) / encoder.std)
    torch.testing.assert_close(features.tokens, expected[:, 1:])
    torch.testing.assert_close(features.pooled, expected[:, 0])
    assert encoder.grid == (4, 4)


def test_hidden_patches_do_not_reach_the_encoder(encoder):
    images = torch.rand(2, 3, 32, 32)
    mask = random_mask(torch.tensor([1, 2]), 16, 0.75)
    changed = images.clone()
    hidden = mask.boolean().view(2, 1, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3).expand(-1, 3, -1, -1)
    changed[hidden] = torch.rand(int(hidden.sum()))
    before, after = encoder(images, mask), encoder(changed, mask)
    assert before.tokens.shape == (2, 4, 24)
    torch.testing.assert_close(before.tokens, after.tokens, rtol=0, atol=0)
    torch.testing.assert_close(before.pooled, after.pooled, rtol=0, atol=0)


def test_hiding_nothing_equals_no_mask(encoder):
    images = torch.rand(2, 3, 32, 32)
    everything = Mask(torch.arange(16).expand(2, -1), torch.zeros(2, 0, dtype=torch.int64))
    torch.testing.assert_close(encoder(images, everything).tokens, encoder(images).tokens)


@pytest.mark.parametrize(
    ("name", "size", "patch", "classes", "encoder_millions", "decoder_millions", "decoder"),
    [
        ("vit_tiny_patch16_224", 224, 16, 1000, 5.680, 0.521, (128, 2)),
        ("vit_tiny_patch16_224", 224, 16, 2, 5.487, 0.521, (128, 2)),
        ("vit_tiny_patch16_224", 32, 2, 10, 5.343, 0.423, (128, 2)),
        ("vit_small_patch16_224", 224, 16, 2, 21.591, 0.545, (128, 2)),
        ("vit_base_patch16_224", 224, 16, 2, 85.649, 26.008, (512, 8)),
    ],
)
def test_parameter_counts_are_the_published_ones(
    name, size, patch, classes, encoder_millions, decoder_millions, decoder
):
    from auxface.model import JointModel
    from auxface.objectives import LearnedTask
    from auxface.recipe import Recipe, ReconstructionOptions

    recipe = Recipe(
        auxiliary=ReconstructionOptions(decoder_width=decoder[0], decoder_depth=decoder[1]),
        encoder=Encoder(name=name, image_size=size, patch_size=patch),
    )
    model = JointModel(recipe, [LearnedTask("task", "class", tuple(map(str, range(classes))))])
    count = {
        part: sum(p.numel() for p in module.parameters() if p.requires_grad) / 1e6
        for part, module in (("encoder", model.encoder), ("head", model.primary), ("decoder", model.auxiliaries))
    }
    assert count["encoder"] + count["head"] == pytest.approx(encoder_millions, abs=6e-4)
    assert count["decoder"] == pytest.approx(decoder_millions, abs=6e-4)


@pytest.mark.parametrize("name", family_of("vit_tiny_patch16_224").examples)
def test_dropping_patches_equals_masking_their_attention(name):
    # timm keeps every token with its position, and its attention mask excludes the hidden ones.
    torch.manual_seed(0)
    encoder = build_encoder(Encoder(name=name, image_size=56 if name == "eva02_tiny_patch14_224" else 64)).eval()
    images = torch.rand(1, 3, encoder.image_size, encoder.image_size)
    mask = random_mask(torch.tensor([5]), encoder.grid[0] * encoder.grid[1], 0.5)
    prefix = encoder.vit.num_prefix_tokens
    visible = torch.cat([torch.ones(1, prefix, dtype=torch.bool), ~mask.boolean()], dim=1)
    attention_mask = visible.expand(visible.shape[1], -1)[None, None]
    with torch.inference_mode():
        complete = encoder.vit.forward_features((images - encoder.mean) / encoder.std, attn_mask=attention_mask)
        features = encoder(images, mask)
    torch.testing.assert_close(features.prefix, complete[:, :prefix], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(features.tokens, complete[:, prefix:][:, mask.visible[0]], rtol=1e-4, atol=1e-5)


def test_sincos_positions_by_hand():
    table = sincos_positions((2, 3), 8, prefix=1)
    assert table.shape == (7, 8)
    assert torch.equal(table[0], torch.zeros(8))
    row, column = 1.0, 2.0
    frequency = torch.tensor([1.0, 0.01])
    expected = torch.cat(
        [(column * frequency).sin(), (column * frequency).cos(), (row * frequency).sin(), (row * frequency).cos()]
    )
    torch.testing.assert_close(table[-1], expected)
