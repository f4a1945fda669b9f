import sys

import pytest
import torch

from auxface.encoders import Features, Mask, build_encoder, random_mask
from auxface.encoders.maskable import grid_positions, sinusoid_positions
from auxface.errors import InputError
from auxface.objectives import Reconstruction
from auxface.objectives.reconstruction.decoder import Decoder, decoder_size
from auxface.recipe import Encoder, ReconstructionOptions


@pytest.fixture
def decoder():
    torch.manual_seed(0)
    return Decoder(12, (3, 4), {"rgb": 6, "codes": 2}, width=16, depth=2, heads=4).eval()


def features(count, prefix=1):
    return Features(torch.randn(2, count, 12), torch.randn(2, 12), torch.randn(2, prefix, 12))


@pytest.mark.parametrize(
    ("options", "published", "millions"),
    [
        ({"name": "vit_tiny_patch16_224"}, (128, 2, 16), 0.521),
        ({"name": "vit_small_patch16_224"}, (128, 2, 16), 0.545),
        ({"name": "vit_base_patch16_224"}, (512, 8, 16), 26.008),
        ({"name": "vit_large_patch16_224", "depth": 1}, (512, 8, 16), None),
        ({"name": "vit_huge_patch14_224", "depth": 1}, (512, 8, 16), None),
        ({"name": "videomae_small", "depth": 1}, (192, 4, 3), None),
        ({"name": "videomae_base", "depth": 1}, (384, 4, 6), None),
        ({"name": "videomae_large", "depth": 1}, (512, 4, 8), None),
        ({"name": "videomae_huge", "depth": 1}, (640, 4, 8), None),
    ],
)
def test_the_decoder_has_the_published_size(options, published, millions):
    """Sizes of SSAT (millions of trainable parameters at 224 pixels) and of VideoMAE."""
    with torch.device("meta"):
        encoder = build_encoder(Encoder(image_size=224, positions=None, **{"depth": 1} | options))
        assert decoder_size(ReconstructionOptions(), encoder) == published
        if millions is not None:
            made = Reconstruction(ReconstructionOptions(), encoder)
            assert sum(p.numel() for p in made.parameters()) / 1e6 == pytest.approx(millions, abs=6e-4)


def test_an_explicit_decoder_size_wins():
    with torch.device("meta"):
        base = build_encoder(Encoder(name="vit_base_patch16_224", depth=1, image_size=224))
    assert decoder_size(ReconstructionOptions(decoder_depth=3), base) == (512, 3, 16)
    assert decoder_size(ReconstructionOptions(decoder_width=24), base) == (24, 8, 8)
    with pytest.raises(InputError, match="decoder_heads 3 must divide the decoder's width 512"):
        decoder_size(ReconstructionOptions(decoder_heads=3), base)


def test_predictions_of_chosen_places_are_those_of_all_places(decoder):
    mask = random_mask(torch.tensor([1, 2]), 12, 0.75)
    seen = features(mask.visible.shape[1])
    everywhere = decoder(seen, mask, torch.arange(12).expand(2, -1))
    chosen = decoder(seen, mask, mask.hidden)
    assert chosen["rgb"].shape == (2, 9, 6)
    assert chosen["codes"].shape == (2, 9, 2)
    for name, values in chosen.items():
        wanted = everywhere[name].gather(1, mask.hidden.unsqueeze(-1).expand_as(values))
        torch.testing.assert_close(values, wanted)


def test_visible_tokens_have_the_order_of_the_mask(decoder):
    mask = random_mask(torch.tensor([1, 2]), 12, 0.5)
    seen = features(6)
    order = torch.randperm(6)
    shuffled = Features(seen.tokens[:, order], seen.pooled, seen.prefix)
    other = Mask(mask.visible[:, order], mask.hidden)
    torch.testing.assert_close(
        decoder(seen, mask, mask.hidden)["rgb"], decoder(shuffled, other, mask.hidden)["rgb"], rtol=1e-4, atol=1e-5
    )


def test_mask_tokens_are_added_where_all_tokens_are_given(decoder):
    mask = random_mask(torch.tensor([1, 2]), 12, 0.75)
    seen = features(12, prefix=0)
    before = decoder(seen, mask, mask.hidden)["rgb"]
    changed = Features(
        seen.tokens.scatter(1, mask.hidden[:, :1, None].expand(-1, -1, 12), 3.0), seen.pooled, seen.prefix
    )
    assert not torch.allclose(before, decoder(changed, mask, mask.hidden)["rgb"])
    nothing = Mask(torch.arange(12).expand(2, -1), torch.zeros(2, 0, dtype=torch.int64))
    assert not torch.allclose(before, decoder(seen, nothing, mask.hidden)["rgb"])


def test_prefix_tokens_take_part(decoder):
    mask = random_mask(torch.tensor([1, 2]), 12, 0.75)
    seen = features(3)
    other = Features(seen.tokens, seen.pooled, seen.prefix + 1)
    assert not torch.allclose(decoder(seen, mask, mask.hidden)["rgb"], decoder(other, mask, mask.hidden)["rgb"])


def test_positions_of_a_clip_are_those_of_transformers_videomae():
    transformers = pytest.importorskip("transformers")
    module = sys.modules[transformers.VideoMAEForPreTraining.__module__]
    wanted = module.get_sinusoid_encoding_table(2 * 3 * 4, 16)[0]
    torch.testing.assert_close(grid_positions((2, 3, 4), 16), wanted, rtol=0, atol=1e-6)
    assert torch.equal(sinusoid_positions(1, 4), torch.tensor([[0.0, 1.0, 0.0, 1.0]]))
