"""Reconstruction of hidden patches."""

import numpy as np
import pytest
import torch
from PIL import Image

from auxface.inference.reconstruction_error import covering_masks, reconstruction_errors


@pytest.fixture(scope="module")
def images(faces):
    squares = [np.asarray(Image.fromarray(face).resize((32, 32))) for face in faces]
    return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)


@pytest.mark.parametrize(("patches", "ratio"), [(16, 0.75), (196, 0.75), (196, 0.9), (25, 0.1), (4, 0.5)])
def test_masks_cover_every_patch(patches, ratio):
    masks = covering_masks(patches, ratio, seed=1)
    hidden = torch.stack([mask.boolean()[0] for mask in masks])
    assert hidden.any(dim=0).all()
    assert set(hidden.sum(dim=1).tolist()) == {min(max(round(ratio * patches), 1), patches - 1)}
    for mask in masks:
        assert torch.equal(torch.cat([mask.visible, mask.hidden], 1).sort().values[0], torch.arange(patches))


def test_reconstruction_ignores_the_hidden_patch(saved, images):
    """What is rebuilt of a patch comes from the other patches alone."""
    changed = images[:1].clone()
    changed[:, :, :8, :8] = 255 - changed[:, :, :8, :8]
    masks = [mask for mask in covering_masks(16, 0.75, 0) if mask.boolean()[0, 0]]
    assert masks
    made = [reconstruction_errors(saved.model, pixels)[0] for pixels in (images[:1], changed)]
    torch.testing.assert_close(made[0].reconstruction[..., :8, :8], made[1].reconstruction[..., :8, :8])
    assert not torch.allclose(made[0].error[:, 0, 0], made[1].error[:, 0, 0])
