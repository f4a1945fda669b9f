"""Views of log-mel images: crops in time and masks, without mirroring or stretching."""

import pytest
import torch

from auxface.data.augment.presets import make_views
from auxface.data.augment.spectrogram import cropped_in_time, masked_bands
from auxface.data.augment.views import ViewRequest, make_view

COUNT, SIDE = 64, 48


@pytest.fixture(scope="module")
def ramps():
    """Images whose red value is 1 + the column and whose green value is 1 + the row."""
    across = torch.arange(1, SIDE + 1, dtype=torch.uint8).expand(SIDE, SIDE)
    return torch.stack([across, across.T, torch.full_like(across, 9)]).expand(COUNT, -1, -1, -1).contiguous()


def test_a_crop_keeps_tempo_order_and_pitch(ramps):
    crops, maps = cropped_in_time(ramps, torch.rand(COUNT, 2, generator=torch.manual_seed(0)), SIDE, 0.5)
    kept = crops[:, 0, 0] > 0
    assert (kept.sum(1) >= SIDE / 2).all()
    assert kept.sum(1).unique().numel() > 10
    for crop, columns, affine in zip(crops, kept, maps):
        length = int(columns.sum())
        assert columns[:length].all()
        start = int(affine[0, 2])
        assert crop[0, 0, :length].tolist() == list(range(start + 1, start + length + 1))
        assert (crop[1, :, :length] == ramps[0, 1, :, :length]).all()
        assert affine[:, :2].tolist() == [[1, 0], [0, 1]]


def test_masks_are_whole_rows_and_columns(ramps):
    chance = torch.rand(COUNT, 2, 2, 2, generator=torch.manual_seed(0))
    masked = masked_bands(torch.ones(COUNT, 3, SIDE, SIDE), chance)[:, 0]
    rows, columns = masked.amax(2), masked.amax(1)
    assert torch.equal(masked, rows[:, :, None] * columns[:, None])
    hidden = torch.cat([(1 - rows).sum(1), (1 - columns).sum(1)])
    assert hidden.max() <= 2 * (SIDE // 8)
    assert hidden.min() >= 0
    assert hidden.unique().numel() > 5


def test_the_two_crops_of_an_image_differ(ramps):
    first, second = (
        make_view(ViewRequest("spectrogram_crop", {"number": number}), ramps, torch.arange(COUNT), SIDE)
        for number in (1, 2)
    )
    assert ((first.images - second.images).abs().amax((1, 2, 3)) > 0).float().mean() > 0.9


def test_the_preset_masks_the_primary_view_only(ramps):
    views = make_views(ramps, torch.arange(COUNT), "spectrogram", size=SIDE)
    same = views.primary == views.clean / 255
    assert ((views.primary == 0) | same).all()
    assert not same.flatten(1).all(1).all()
    assert (views.affine[:, 0, 0] == 1).all()
