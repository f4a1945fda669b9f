"""The contract of every encoder family, on the smallest model of each architecture."""

import math
import re
from pathlib import Path

import pytest
import torch

from auxface.encoders import build_encoder, random_mask
from auxface.encoders.hierarchical import HierarchicalEncoder
from auxface.encoders.maskable import Family, families, family_of, register, registry
from auxface.encoders.masking import Mask
from auxface.errors import InputError
from auxface.model import JointModel
from auxface.objectives import Batch, LearnedTask
from auxface.recipe import Encoder, Recipe, ReconstructionOptions, Target

EXAMPLES = [name for family in families() for name in family.examples]
TASKS = (LearnedTask("emotion", "class", ("happy", "sad", "angry")),)
LDP = Target(name="local_directional_pattern", encoding="bits")
# Patches of 14 pixels do not tile 64; a clip of 16 frames has as many tokens at 64 pixels as an image at 180.
SIZES = {"eva02_tiny_patch14_224": (224, 56), "videomae_tiny": (64, 32)}


def joint(name, size, **encoder):
    auxiliary = ReconstructionOptions(target=(LDP,), decoder_width=32, decoder_depth=1, decoder_heads=4)
    return JointModel(Recipe(auxiliary=auxiliary, encoder=Encoder(name=name, image_size=size, **encoder)), TASKS)


def batch_of(shape, count=2):
    generator = torch.Generator().manual_seed(3)
    clean = torch.randint(0, 256, (count, *shape), generator=generator, dtype=torch.uint8)
    return Batch(
        primary=clean.float() / 255,
        clean=clean,
        labels={"emotion": torch.tensor([0, 2])[:count]},
        seeds=torch.arange(count),
    )


def pixels(mask, encoder):
    """Return the hidden pixels, bool [B, 3, S, S]; for clips [B, T, 3, S, S]."""
    side = encoder.patch_size
    hidden = mask.boolean().view(-1, *encoder.grid)
    hidden = hidden.repeat_interleave(side, -1).repeat_interleave(side, -2)
    if hidden.ndim == 4:
        hidden = hidden.repeat_interleave(encoder.tubelet, 1)
    return hidden.unsqueeze(-3).expand(*hidden.shape[:-2], 3, *hidden.shape[-2:])


def test_the_examples_cover_ten_architectures():
    assert len(EXAMPLES) == len(set(EXAMPLES)) >= 14
    known = ("vit", "deit3", "eva02", "dinov3", "swinv2", "convnextv2", "pvt_v2", "maxvit", "resnet", "efficientnet")
    assert all(any(part in name for name in EXAMPLES) for part in known)


@pytest.mark.parametrize("small", [False, True], ids=["224", "small"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_encoder_trains_in_a_joint_step(name, small, tmp_path):
    size = SIZES.get(name, (224, 64))[small]
    torch.manual_seed(0)
    model = joint(name, size)
    encoder, batch = model.encoder, batch_of(model.recipe.encoder.sample_shape)
    assert encoder.image_size == size == encoder.grid[-1] * encoder.patch_size

    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    before = {key: value.clone() for key, value in encoder.named_parameters()}
    loss = model(batch).loss
    loss.backward()
    assert torch.isfinite(loss)
    without = [key for key, value in encoder.named_parameters() if value.requires_grad and value.grad is None]
    assert not without
    fixed = {key for key, value in encoder.named_parameters() if not value.requires_grad}
    assert fixed <= {"vit.pos_embed"}
    optimizer.step()
    assert any(not torch.equal(value, before[key]) for key, value in encoder.named_parameters())

    model.eval()
    patches = math.prod(encoder.grid)
    mask = random_mask(batch.seeds, patches, 0.75)
    with torch.inference_mode():
        once, again = encoder(batch.primary, mask), encoder(batch.primary, mask)
        assert torch.equal(once.tokens, again.tokens)
        assert torch.equal(model.logits(batch.primary)["emotion"], model.logits(batch.primary)["emotion"])
        assert once.pooled.shape == (2, encoder.width)
        assert once.tokens.shape in ((2, mask.visible.shape[1], encoder.width), (2, patches, encoder.width))

        # No hidden pixel reaches a token or a prediction, and every visible patch reaches some.
        hidden = pixels(mask, encoder)
        changed = torch.where(hidden, torch.rand_like(batch.primary), batch.primary)
        leaked = encoder(changed, mask)
        assert torch.equal(once.tokens, leaked.tokens)
        assert torch.equal(once.pooled, leaked.pooled)
        decode = model.auxiliaries["reconstruction"].decoder
        predicted, other = decode(once, mask, mask.hidden), decode(leaked, mask, mask.hidden)
        assert torch.equal(predicted[LDP.name], other[LDP.name])
        changed = torch.where(hidden, batch.primary, torch.rand_like(batch.primary))
        assert not torch.equal(once.tokens, encoder(changed, mask).tokens)

    if small:
        model.save_pretrained(tmp_path / "model")
        restored = JointModel.from_pretrained(tmp_path / "model")
        assert torch.equal(restored.logits(batch.primary)["emotion"], model.logits(batch.primary)["emotion"])


@pytest.mark.parametrize("name", EXAMPLES)
def test_hiding_nothing_equals_no_mask(name):
    torch.manual_seed(0)
    options = Encoder(name=name, image_size=SIZES.get(name, (224, 64))[1])
    encoder = build_encoder(options).eval()
    patches = math.prod(encoder.grid)
    images = torch.rand(2, *options.sample_shape)
    everything = Mask(torch.arange(patches).expand(2, -1), torch.zeros(2, 0, dtype=torch.int64))
    if isinstance(encoder, HierarchicalEncoder):
        encoder.alignment = None  # Tokens of masked images are centered on patches, test_hierarchical.py tests that.
    with torch.inference_mode():
        torch.testing.assert_close(encoder(images, everything).tokens, encoder(images).tokens)


@pytest.mark.parametrize("name", EXAMPLES)
def test_drop_path_reaches_the_blocks(name):
    torch.manual_seed(0)
    encoder = build_encoder(Encoder(name=name, image_size=SIZES.get(name, (224, 64))[1], drop_path=0.5)).train()
    rates = [module.drop_prob for module in encoder.modules() if type(module).__name__ == "DropPath"]
    assert max(rates) > 0.3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": "vit_tiny_patch16_225"}, r"not a timm model .did you mean .*vit_tiny"),
        (
            {"name": "eva02_tiny_patch14_224", "image_size": 64},
            r"14 pixels.*does not divide image_size 64.*can be 56 or 70",
        ),
        ({"name": "convnextv2_atto", "image_size": 112}, r"does not accept encoder.image_size 112.*can be 96 or 128"),
        (
            {"name": "maxvit_pico_rw_256", "image_size": 112},
            r"does not accept encoder.image_size 112.*can be 96 or 128",
        ),
        ({"name": "resnet10t", "image_size": 32}, r"encoder.image_size 32 \(.*single position\).*can be 64"),
        ({"name": "resnet10t", "image_size": 64, "patch_size": 8}, r"a patch size of 32 pixels, not 8; remove"),
        ({"name": "pvt_v2_b0", "image_size": 64, "width": 32}, r"does not support encoder.width"),
        ({"name": "resnet10t", "image_size": 64, "positions": "sincos"}, r"does not support encoder.positions"),
        ({"name": "pvt_v2_b0", "image_size": 64, "output_stride": 16}, r"does not support encoder.output_stride"),
        (
            {"image_size": 32, "patch_size": 8, "width": 24, "depth": 2, "heads": 5},
            r"encoder.width 24.*set encoder.heads to a divisor",
        ),
        ({"image_size": 64, "output_stride": 16}, r"does not support encoder.output_stride"),
        ({"name": "vgg11", "image_size": 64, "drop_path": 0.1}, r"does not support encoder.drop_path"),
        ({"name": "vit_tiny_patch16_dinov3_qkvb", "positions": "sincos"}, r"does not add position embeddings"),
    ],
)
def test_options_that_do_not_fit_are_one_line_errors(options, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        build_encoder(Encoder(**options))
    assert "\n" not in str(caught.value)


def test_the_patch_size_comes_from_the_model_name():
    assert build_encoder(Encoder(image_size=32)).patch_size == 8
    assert build_encoder(Encoder(name="vit_tiny_patch16_224", image_size=32)).patch_size == 16
    assert build_encoder(Encoder(name="resnet10t", image_size=64, patch_size=32)).patch_size == 32
    assert build_encoder(Encoder(name="vit_base_patch16_224.mae", image_size=32, depth=1)).patch_size == 16


def test_families_of_other_packages_take_precedence():
    mine = Family("mine", lambda name: name == "resnet10t_mine", lambda _: build_encoder(Encoder(image_size=32)))
    with registry.isolated():
        register(mine)
        assert family_of("resnet10t_mine") is mine
        assert build_encoder(Encoder(name="resnet10t_mine", image_size=32)).patch_size == 8
    assert family_of("resnet10t_mine") is None


def test_the_documented_family_trains_in_a_joint_step():
    document = (Path(__file__).resolve().parents[2] / "docs" / "backbones.md").read_text()
    code = re.search(r"```python\n(.*?)```", document.split("## Adding a family of encoders")[1], re.DOTALL)
    assert code
    names = {}
    exec(code[1], names)
    with registry.isolated():
        register(names["family"])
        model = joint("linear_patches", 64)
        loss = model(batch_of((3, 64, 64))).loss
    loss.backward()
    assert torch.isfinite(loss)
    assert model.encoder.patches.weight.grad.abs().sum() > 0
