"""Local binary patterns equal to ``skimage.feature.local_binary_pattern``, to the last bit.

Pixels outside the image count as 0, sample positions are computed before their fractions are taken, and every product
and sum is rounded on its own in double precision. Nothing here may therefore be fused or reordered.
"""

import torch
from torch import Tensor

from auxface.texture.circular_sampling import UNIT, Offset, code_dtype, map_codes, offsets, support
from auxface.texture.tiles import tile_spans

BYTES_PER_PIXEL = 96


def skimage_pattern(images: Tensor, points: int, radius: float, method: str) -> Tensor:
    """Return codes, or variances with NaN where they are exactly 0, [B, 1, H, W], of uint8 images [B, H, W]."""
    if images.device.type == "mps":
        return skimage_pattern(images.cpu(), points, radius, method).to(images.device)
    batch, height, width = images.shape
    margin = support(radius)
    dtype = torch.float64 if method == "var" else code_dtype(points, method)
    result = torch.empty((batch, 1, height, width), dtype=dtype, device=images.device)
    for first, count, top, lines in tile_spans(batch, height, width, images.device, BYTES_PER_PIXEL):
        padded = torch.zeros((count, lines + 2 * margin, width + 2 * margin), dtype=torch.float64, device=images.device)
        low, high = max(top - margin, 0), min(top + lines + margin, height)
        inner = padded[:, low - top + margin : high - top + margin, margin : margin + width]
        inner.copy_(images[first : first + count, low:high])
        block = _Block(padded, margin, top, lines, width)
        values = _variances(block, points, radius) if method == "var" else _codes(block, points, radius, method)
        result[first : first + count, 0, top : top + lines].copy_(values)
    return result


class _Block:
    """Some rows of zero-padded images, sampled as scikit-image does: fractions depend on the absolute position."""

    def __init__(self, padded: Tensor, margin: int, top: int, lines: int, columns: int) -> None:
        self.padded = padded
        self._margin = margin
        self._rows = torch.arange(top, top + lines, dtype=torch.float64, device=padded.device)
        self._columns = torch.arange(columns, dtype=torch.float64, device=padded.device)
        self.center = padded[:, margin : margin + lines, margin : margin + columns]

    def sample(self, offset: Offset) -> Tensor:
        """Return the samples at an offset from every pixel of the rows, float64 [n, lines, columns]."""
        row, column = offset[0] / UNIT, offset[1] / UNIT
        y, x = self._rows + row, self._columns + column
        below = (y - y.floor())[:, None]
        right = x - x.floor()
        base_row, base_column = offset[0] // UNIT, offset[1] // UNIT
        far_row, far_column = -(-offset[0] // UNIT), -(-offset[1] // UNIT)
        upper = self._lerp(self._at(base_row, base_column), self._at(base_row, far_column), right)
        lower = self._lerp(self._at(far_row, base_column), self._at(far_row, far_column), right)
        return self._lerp(upper, lower, below)

    def _lerp(self, near: Tensor, far: Tensor, fraction: Tensor) -> Tensor:
        second = far * fraction
        return (near * (1 - fraction)).add_(second)

    def _at(self, row: int, column: int) -> Tensor:
        start, left = self._margin + row, self._margin + column
        return self.padded[:, start : start + len(self._rows), left : left + len(self._columns)]


def _codes(block: _Block, points: int, radius: float, method: str) -> Tensor:
    code = torch.zeros(block.center.shape, dtype=torch.int32, device=block.center.device)
    for i, offset in enumerate(offsets(points, radius)):
        reached = block.sample(offset).sub_(block.center) >= 0
        code.add_(reached, alpha=1 << i)
    return map_codes(code, points, method)


def _variances(block: _Block, points: int, radius: float) -> Tensor:
    total, squares = torch.zeros_like(block.center), torch.zeros_like(block.center)
    for offset in offsets(points, radius):
        sample = block.sample(offset)
        total.add_(sample)
        squares.add_(sample.square_())
    variance = squares.sub_(total.square_().div_(points)).div_(points)
    return variance.masked_fill_(variance == 0, float("nan"))
