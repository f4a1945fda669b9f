import sys

import pytest
import torch

from auxface.encoders import Features, Mask, random_mask
from auxface.encoders.position_embedding import grid_positions, sinusoid_positions
from auxface.objectives.reconstruction.decoder import Decoder


@pytest.fixture
def decoder():
    torch.manual_seed(0)
    return Decoder(12, (3, 4), {"rgb": 6, "codes": 2}, width=16, depth=2, heads=4).eval()


def features(count, prefix=1):
    return Features(torch.randn(2, count, 12), torch.randn(2, 12), torch.randn(2, prefix, 12))


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
