"""Fixed positions against values computed by hand."""

import torch

from auxface.encoders.position_embedding import sincos_positions


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
