import pytest
import torch

from auxface.encoders import build_encoder, random_mask
from auxface.encoders.maskable import sincos_positions
from auxface.encoders.masking import Mask
from auxface.errors import InputError
from auxface.recipe import Encoder

SMALL = Encoder(image_size=32, patch_size=8, width=24, depth=2, heads=3)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return build_encoder(SMALL).eval()


def test_the_whole_image_is_what_timm_computes(encoder):
    images = torch.rand(3, 3, 32, 32)
    features = encoder(images)
    wanted = encoder.vit.forward_features((images - encoder.mean) / encoder.std)
    torch.testing.assert_close(features.tokens, wanted[:, 1:])
    torch.testing.assert_close(features.pooled, wanted[:, 0])
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


def test_hiding_nothing_equals_the_whole_image(encoder):
    images = torch.rand(2, 3, 32, 32)
    everything = Mask(torch.arange(16).expand(2, -1), torch.zeros(2, 0, dtype=torch.int64))
    torch.testing.assert_close(encoder(images, everything).tokens, encoder(images).tokens)


@pytest.mark.parametrize(
    ("patches", "ratio", "hidden"), [(196, 0.75, 147), (100, 0.9, 90), (196, 0.9, 176), (4, 0.01, 1)]
)
def test_exactly_the_stated_share_is_hidden(patches, ratio, hidden):
    mask = random_mask(torch.arange(5), patches, ratio)
    assert mask.hidden.shape == (5, hidden)
    together = torch.cat([mask.visible, mask.hidden], dim=1).sort(dim=1).values
    assert torch.equal(together, torch.arange(patches).expand(5, -1))


def test_a_mask_depends_on_its_own_seed_alone():
    both = random_mask(torch.tensor([7, 8]), 64, 0.75)
    alone = random_mask(torch.tensor([8]), 64, 0.75)
    assert torch.equal(both.hidden[1:], alone.hidden)
    assert not torch.equal(both.hidden[0], both.hidden[1])


def test_masks_hide_every_patch_equally_often():
    share = random_mask(torch.arange(4000), 16, 0.75).boolean().float().mean(dim=0)
    assert (share - 0.75).abs().max() < 5 * (0.75 * 0.25 / 4000) ** 0.5


def test_sincos_positions_by_hand():
    table = sincos_positions((2, 3), 8, prefix=1)
    assert table.shape == (7, 8)
    assert torch.equal(table[0], torch.zeros(8))
    row, column = 1.0, 2.0
    frequency = torch.tensor([1.0, 0.01])
    wanted = torch.cat(
        [(column * frequency).sin(), (column * frequency).cos(), (row * frequency).sin(), (row * frequency).cos()]
    )
    torch.testing.assert_close(table[-1], wanted)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (Encoder(name="vit_tiny_patch16_225"), "not a timm model"),
        (SMALL.model_copy(update={"heads": 5}), "cannot be built"),
    ],
)
def test_an_encoder_that_cannot_be_built_is_one_sentence(options, sentence):
    with pytest.raises(InputError, match=sentence):
        build_encoder(options)


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
    from auxface.objectives import Task
    from auxface.recipe import Auxiliary, Recipe

    recipe = Recipe(
        auxiliary=Auxiliary(decoder_width=decoder[0], decoder_depth=decoder[1]),
        encoder=Encoder(name=name, image_size=size, patch_size=patch),
    )
    model = JointModel(recipe, [Task("task", "class", tuple(map(str, range(classes))))])
    count = {
        part: sum(p.numel() for p in module.parameters() if p.requires_grad) / 1e6
        for part, module in (("encoder", model.encoder), ("head", model.primary), ("decoder", model.auxiliaries))
    }
    assert count["encoder"] + count["head"] == pytest.approx(encoder_millions, abs=6e-4)
    assert count["decoder"] == pytest.approx(decoder_millions, abs=6e-4)
