"""JPEG compression of a batch, each picture at its own quality, as tensor operations: what compression does to pixels.

Colour transform, 4:2:0 subsampling, discrete cosine transform, quantisation with the example tables of the standard
(ITU-T T.81, Annex K) scaled by quality as libjpeg scales them, and the way back.
"""

import math

import torch
import torch.nn.functional as functional
from torch import Tensor

_LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99,
    99, 99, 99, *(99,) * 32,
)  # fmt: skip
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def compress_jpeg(pictures: Tensor, quality: Tensor) -> Tensor:
    """What pictures look like after JPEG, float32 [B, 3, H, W] of whole numbers in 0..255.

    Args:
        pictures: [B, 3, H, W] in 0..255.
        quality: [B], 1..100.
    """
    height, width = pictures.shape[2:]
    padded = functional.pad(pictures.float(), (0, -width % 16, 0, -height % 16), mode="replicate")
    # Codecs keep planes in bytes; without their rounding, light compression would come out too good.
    planes = torch.einsum("ij,bjhw->bihw", padded.new_tensor(_TO_YCC), padded).round()
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    luma = _through(planes[:, :1] - 128, _table(_LUMA, scale))
    chroma = _through(functional.avg_pool2d(planes[:, 1:], 2).round(), _table(_CHROMA, scale))
    # The triangle filter of libjpeg's "fancy" upsampling.
    chroma = functional.interpolate(chroma.clamp(-128, 127), scale_factor=2, mode="bilinear", align_corners=False)
    planes = torch.cat([(luma + 128).clamp(0, 255), chroma.round()], 1)
    result = torch.einsum("ij,bjhw->bihw", padded.new_tensor(_TO_RGB), planes)
    return result[:, :, :height, :width].round().clamp(0, 255)


def _table(values: tuple[int, ...], scale: Tensor) -> Tensor:
    base = torch.tensor(values, device=scale.device, dtype=torch.float32).view(1, 8, 8)
    return ((base * scale[:, None, None] + 50) / 100).floor().clamp(1, 255)


def _through(planes: Tensor, table: Tensor) -> Tensor:
    """Transform 8 x 8 blocks, quantise, and come back."""
    batch, channels, height, width = planes.shape
    blocks = planes.reshape(batch, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    basis = _cosines(planes.device)
    steps = table[:, None, None, None]
    quantised = (basis @ blocks @ basis.T / steps).round() * steps
    return (basis.T @ quantised @ basis).round().transpose(3, 4).reshape(batch, channels, height, width)


def _cosines(device: torch.device) -> Tensor:
    at = torch.arange(8, dtype=torch.float64)
    basis = torch.cos((2 * at[None] + 1) * at[:, None] * math.pi / 16) * 0.5
    basis[0] *= math.sqrt(0.5)
    return basis.to(torch.float32).to(device)
