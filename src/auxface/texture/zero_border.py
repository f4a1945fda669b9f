"""Local binary patterns as scikit-image computes them, to the last bit.

Pixels outside count as 0, sample positions are formed before their fractions are taken, and every product and sum is
rounded on its own in double precision; so nothing here may be fused or reordered.
"""

import torch
from torch import Tensor

from auxface.texture import circle, codes
from auxface.texture.tiles import tile_spans

BYTES_PER_PIXEL = 96


def zero_border_pattern(images: Tensor, points: int, radius: float, method: str) -> Tensor:
    """Codes, or variances with NaN where exactly 0, [B, 1, H, W] of uint8 images [B, H, W]."""
    if images.device.type == "mps":
        return zero_border_pattern(images.cpu(), points, radius, method).to(images.device)
    batch, height, width = images.shape
    support = circle.support(radius)
    if method == "var":
        dtype = torch.float64
    else:
        dtype = torch.uint8 if codes.n_codes(points, method) <= 256 else torch.int32
    result = torch.empty((batch, 1, height, width), dtype=dtype, device=images.device)
    for first, count, top, lines in tile_spans(batch, height, width, images.device, BYTES_PER_PIXEL):
        padded = torch.zeros(
            (count, lines + 2 * support, width + 2 * support), dtype=torch.float64, device=images.device
        )
        low, high = max(top - support, 0), min(top + lines + support, height)
        inner = padded[:, low - top + support : high - top + support, support : support + width]
        inner.copy_(images[first : first + count, low:high])
        block = _Block(padded, support, top, lines, width)
        values = _variances(block, points, radius) if method == "var" else _codes(block, points, radius, method)
        result[first : first + count, 0, top : top + lines].copy_(values)
    return result


class _Block:
    """Some rows of zero-padded images, read at positions that depend on the row and column."""

    def __init__(self, padded: Tensor, support: int, top: int, lines: int, columns: int) -> None:
        self.padded = padded
        self._support = support
        self._top = top
        self._rows = torch.arange(top, top + lines, dtype=torch.float64, device=padded.device)
        self._columns = torch.arange(columns, dtype=torch.float64, device=padded.device)
        self.centre = padded[:, support : support + lines, support : support + columns]

    def sample(self, offset: circle.Offset) -> Tensor:
        row, column = offset[0] / circle.UNIT, offset[1] / circle.UNIT
        y, x = self._rows + row, self._columns + column
        below = (y - y.floor())[:, None]
        right = x - x.floor()
        base_row, base_column = offset[0] // circle.UNIT, offset[1] // circle.UNIT
        far_row, far_column = -(-offset[0] // circle.UNIT), -(-offset[1] // circle.UNIT)
        upper = self._lerp(self._at(base_row, base_column), self._at(base_row, far_column), right)
        lower = self._lerp(self._at(far_row, base_column), self._at(far_row, far_column), right)
        return self._lerp(upper, lower, below)

    def _lerp(self, near: Tensor, far: Tensor, fraction: Tensor) -> Tensor:
        second = far * fraction
        return (near * (1 - fraction)).add_(second)

    def _at(self, row: int, column: int) -> Tensor:
        start, left = self._support + row, self._support + column
        return self.padded[:, start : start + len(self._rows), left : left + len(self._columns)]


def _codes(block: _Block, points: int, radius: float, method: str) -> Tensor:
    code = torch.zeros(block.centre.shape, dtype=torch.int32, device=block.centre.device)
    for i, offset in enumerate(circle.offsets(points, radius)):
        reached = block.sample(offset).sub_(block.centre) >= 0
        code.add_(reached, alpha=1 << i)
    return codes.map_codes(code, points, method)


def _variances(block: _Block, points: int, radius: float) -> Tensor:
    total, squares = torch.zeros_like(block.centre), torch.zeros_like(block.centre)
    for offset in circle.offsets(points, radius):
        sample = block.sample(offset)
        total.add_(sample)
        squares.add_(sample.square_())
    variance = squares.sub_(total.square_().div_(points)).div_(points)
    return variance.masked_fill_(variance == 0, float("nan"))
