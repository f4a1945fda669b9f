"""Masking strategies: exact numbers, and masks that depend on their own seed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from auxface.data.faces.alignment import STANDARD_POINTS
from auxface.encoders.masking import (
    PARTS,
    block_mask,
    guided_mask,
    hidden_count,
    make_mask,
    part_of_patches,
    parts_mask,
    random_mask,
    tube_mask,
)

SEEDS = torch.arange(12) * 977 + 5


@given(
    st.sampled_from(["random", "block", "textured", "flat", "parts"]),
    st.integers(2, 9),
    st.integers(2, 9),
    st.floats(0.02, 0.98),
    st.integers(0, 2**40),
)
def test_every_strategy_hides_the_exact_number_of_patches(strategy, rows, columns, ratio, seed):
    count = rows * columns
    images = torch.randint(0, 256, (2, 3, 4 * rows, 4 * columns), dtype=torch.uint8)
    mask = make_mask(strategy, torch.tensor([seed, seed + 1]), (rows, columns), ratio, lambda: images)
    assert mask.hidden.shape == (2, min(max(round(ratio * count), 1), count - 1))
    both = torch.cat([mask.visible, mask.hidden], dim=1).sort(dim=1).values
    assert torch.equal(both, torch.arange(count).expand(2, -1))
    assert mask.boolean().sum(dim=1).tolist() == [mask.hidden.shape[1]] * 2


@pytest.mark.parametrize("strategy", ["random", "block", "textured", "flat", "parts"])
def test_a_mask_depends_only_on_its_seed_and_image(strategy):
    images = torch.randint(0, 256, (12, 3, 32, 32), dtype=torch.uint8)
    whole = make_mask(strategy, SEEDS, (8, 8), 0.75, lambda: images)
    part = make_mask(strategy, SEEDS[5:7], (8, 8), 0.75, lambda: images[5:7])
    assert torch.equal(part.hidden, whole.hidden[5:7])
    assert not torch.equal(whole.hidden[0], whole.hidden[1])


def test_the_number_of_hidden_patches_is_published():
    assert hidden_count(196, 0.75) == 147
    assert hidden_count(196, 0.9) == 176
    assert hidden_count(100, 0.9) == 90


def test_a_tube_hides_the_same_patches_in_every_frame():
    mask = tube_mask(SEEDS, 8, 196, 0.9)
    assert mask.visible.shape == (12, 160)
    frames = mask.boolean().view(12, 8, 196)
    assert torch.equal(frames, frames[:, :1].expand_as(frames))
    assert torch.equal(frames[:, 0], random_mask(SEEDS, 196, 0.9).boolean())


def test_block_masks_hide_connected_patches():
    """Hidden patches have more hidden neighbors than in a random mask."""

    def touching(mask):
        hidden = mask.boolean().view(-1, 14, 14).float()
        return (hidden[:, :, 1:] * hidden[:, :, :-1]).sum() + (hidden[:, 1:] * hidden[:, :-1]).sum()

    seeds = torch.arange(64)
    assert touching(block_mask(seeds, (14, 14), 0.4)) > 1.5 * touching(random_mask(seeds, 196, 0.4))


def test_guided_masks_prefer_textured_or_flat_patches():
    images = torch.full((64, 3, 32, 32), 128, dtype=torch.uint8)
    images[..., 16:] = torch.randint(0, 256, (64, 3, 32, 16), dtype=torch.uint8)
    shares = {}
    for textured in (True, False):
        mask = guided_mask(torch.arange(64), images, (8, 8), 0.5, textured=textured)
        shares[textured] = mask.boolean().view(-1, 8, 8)[:, :, 4:].float().mean().item()
    # A patch of the textured half has a sum in the upper half with probability 3/4.
    assert shares[True] == pytest.approx(0.75, abs=0.05)
    assert shares[False] == pytest.approx(0.25, abs=0.05)


def test_masks_hide_every_patch_equally_often():
    fraction = random_mask(torch.arange(4000), 16, 0.75).boolean().float().mean(dim=0)
    assert (fraction - 0.75).abs().max() < 5 * (0.75 * 0.25 / 4000) ** 0.5


WHOLE = torch.eye(2, 3)[None]


def test_the_template_holds_the_landmarks_of_an_aligned_face():
    """Eyes, nose tip and corners of the mouth, in a crop with the default margin of 0.3."""
    side = 70
    part = part_of_patches((side, side), WHOLE)[0].view(side, side)
    places = ((STANDARD_POINTS / 112 - 0.5) / 1.3 + 0.5) * side
    found = [int(part[int(y), int(x)]) for x, y in places]
    assert [(*PARTS, "skin")[number] for number in found] == ["eyes", "eyes", "nose", "mouth", "mouth"]
    assert int(part[0, 0]) == len(PARTS)
    assert torch.equal(part, part.flip(1))


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.75])
def test_all_parts_but_one_are_hidden_or_visible_as_a_whole(ratio):
    part = part_of_patches((14, 14), WHOLE)[0]
    orders = set()
    for hidden in parts_mask(torch.arange(200), (14, 14), ratio).boolean():
        fractions = torch.stack([hidden[part == number].float().mean() for number in range(len(PARTS) + 1)])
        assert ((fractions > 0) & (fractions < 1)).sum() <= 1
        orders.add(tuple((fractions == 1).tolist()))
    assert len(orders) >= 3


def test_parts_follow_the_geometry_of_the_view():
    """Of the lower half of a face, enlarged to the whole view, no patch belongs to the eyes, and mirroring is known."""
    lower = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]])
    assert 0 not in part_of_patches((14, 14), torch.tensor([[[1.0, 0, 0], [0, 0.4, 0.6]]])).unique()
    assert {1, 2, 3} <= set(part_of_patches((14, 14), lower).unique().tolist())
    left = torch.tensor([[[0.5, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    mirrored = torch.tensor([[[-0.5, 0.0, 0.5], [0.0, 1.0, 0.0]]])
    one, other = (part_of_patches((8, 8), view).view(8, 8) for view in (left, mirrored))
    assert torch.equal(one, other.flip(1))
    assert not torch.equal(one, other)


def test_a_clip_hides_the_same_parts_in_every_frame():
    mask = make_mask("parts", SEEDS, (4, 8, 8), 0.75, lambda: None)
    frames = mask.boolean().view(12, 4, 64)
    assert mask.hidden.shape == (12, 4 * 48)
    assert torch.equal(frames, frames[:, :1].expand_as(frames))
    assert torch.equal(frames[:, 0], parts_mask(SEEDS, (8, 8), 0.75).boolean())
