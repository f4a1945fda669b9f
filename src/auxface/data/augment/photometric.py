"""Changes of color and brightness, and erasing, on batches in 0..1: what the texture target must never see.

JPEG compression of a batch, each image at its own quality, as tensor operations: what compression does to pixels.

Color transform, 4:2:0 subsampling, discrete cosine transform, quantization with the example tables of the standard
(ITU-T T.81, Annex K) scaled by quality as libjpeg scales them, and the way back.
"""

import math

import torch
import torch.nn.functional as functional
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)
_CACHED = 8


def luma(images: Tensor) -> Tensor:
    """ITU-R BT.601 gray, [B, 1, H, W]."""
    weights = torch.tensor(_LUMA, device=images.device, dtype=images.dtype)
    return (images * weights[:, None, None]).sum(1, keepdim=True)


def scale_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply by ``factor`` [B]: 0 is black, 1 changes nothing."""
    return (images * _each(factor)).clamp(0, 1)


def scale_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Stretch about the mean gray of each image by ``factor`` [B]: 0 is flat gray, 1 changes nothing."""
    mean = luma(images).mean((2, 3), keepdim=True)
    return (mean + (images - mean) * _each(factor)).clamp(0, 1)


def scale_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Stretch colors about gray by ``factor`` [B]: 0 is a gray image, 1 changes nothing."""
    gray = luma(images)
    return (gray + (images - gray) * _each(factor)).clamp(0, 1)


def jitter(images: Tensor, factors: Tensor) -> Tensor:
    """Brightness, then contrast about the mean gray, then saturation, clipped once at the end.

    The three are one affine map of the colors of each image: a multiple of the color plus one of its luma.

    Args:
        images: float [B, 3, H, W] in 0..1, or uint8 in 0..255.
        factors: [B, 3], brightness, contrast and saturation; 1 changes nothing.

    Returns:
        float32 [B, 3, H, W] in 0..1.
    """
    result = torch.empty(images.shape, device=images.device)
    # On a processor so few at a time that they stay in its cache from one operation to the next.
    few = _CACHED if images.device.type == "cpu" else max(1, len(images))
    for given, chosen, made in zip(images.split(few), factors.split(few), result.split(few), strict=True):
        scale = 1 / 255 if given.dtype == torch.uint8 else 1.0
        brightness, contrast, saturation = chosen.T[:, :, None, None, None]
        values = given.float()
        red, green, blue = (values[:, at : at + 1] for at in range(3))
        gray = (red * _LUMA[0]).add_(green, alpha=_LUMA[1]).add_(blue, alpha=_LUMA[2])
        mean = gray.mean((2, 3), keepdim=True)
        slope = scale * brightness * contrast
        gray.mul_(slope * (1 - saturation)).add_(scale * brightness * (1 - contrast) * mean)
        torch.addcmul(gray, values, slope * saturation, out=made).clamp_(0, 1)
    return result


def autocontrast(images: Tensor) -> Tensor:
    """Stretch each channel of each image to the whole of 0..1; flat channels stay."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high > low, (images - low) / (high - low).clamp(min=1e-6), images)


def equalize(images: Tensor) -> Tensor:
    """Make the histogram of each channel of each image as flat as 256 levels allow, as Pillow does."""
    levels = (images * 255).round().long().flatten(2).flatten(0, 1)
    counts = torch.zeros(len(levels), 256, dtype=torch.int64, device=levels.device)
    counts.scatter_add_(1, levels, torch.ones_like(levels))
    # The brightest level that occurs does not count towards the step.
    brightest = levels.amax(1, keepdim=True)
    step = (levels.shape[1] - counts.gather(1, brightest)) // 255
    table = ((counts.cumsum(1) - counts + step // 2) // step.clamp(min=1)).clamp(0, 255)
    changed = torch.where(step > 0, table.gather(1, levels), levels)
    return (changed.float() / 255).view_as(images)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest ``bits`` [B] of eight."""
    step = _each(2 ** (8 - bits))
    return ((images * 255).round() / step).floor() * step / 255


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert what is at least ``threshold`` [B]."""
    return torch.where(images < _each(threshold), images, 1 - images)


def solarize_add(images: Tensor, amount: Tensor) -> Tensor:
    """Brighten what is below the middle by ``amount`` [B]."""
    return torch.where(images < 128 / 255, (images + _each(amount)).clamp(max=1), images)


def sharpen(images: Tensor, factor: Tensor) -> Tensor:
    """Stretch about a smoothed copy by ``factor`` [B]: 0 is smooth, 1 changes nothing; the outermost pixels stay."""
    kernel = torch.ones(3, 1, 3, 3, device=images.device, dtype=images.dtype)
    kernel[:, :, 1, 1] = 5
    smooth = images.clone()
    smooth[:, :, 1:-1, 1:-1] = functional.conv2d(images, kernel / 13, groups=3)
    return (smooth + (images - smooth) * _each(factor)).clamp(0, 1)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur with a standard deviation of ``sigma`` [B] pixels; weights beyond the edge are left out."""

    def weights(length: int) -> Tensor:
        at = torch.arange(length, device=images.device, dtype=images.dtype)
        rows = torch.exp(-0.5 * ((at[:, None] - at[None]) / sigma[:, None, None].clamp(min=1e-3)) ** 2)
        return rows / rows.sum(2, keepdim=True)

    return weights(images.shape[2])[:, None] @ images @ weights(images.shape[3])[:, None].transpose(2, 3)


def erase(images: Tensor, boxes: Tensor, noise: Tensor) -> Tensor:
    """Replace a box of each image by noise (Zhong et al., 2020).

    Args:
        images: float [B, 3, H, W].
        boxes: [B, 4] left, top, width, height in pixels; width 0 erases nothing.
        noise: what is put there, shaped as ``images``.
    """
    height, width = images.shape[2:]
    x = torch.arange(width, device=images.device)[None] + 0.5
    y = torch.arange(height, device=images.device)[None] + 0.5
    left, top, wide, high = boxes[:, :, None].unbind(1)
    inside = ((y >= top) & (y < top + high))[:, :, None] & ((x >= left) & (x < left + wide))[:, None, :]
    return torch.where(inside[:, None], noise, images)


def _each(factor: Tensor) -> Tensor:
    return factor[:, None, None, None]


_LUMA_jpeg = (
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


def compress_jpeg(images: Tensor, quality: Tensor) -> Tensor:
    """What images look like after JPEG, float32 [B, 3, H, W] of whole numbers in 0..255.

    Args:
        images: [B, 3, H, W] in 0..255.
        quality: [B], 1..100.
    """
    height, width = images.shape[2:]
    padded = functional.pad(images.float(), (0, -width % 16, 0, -height % 16), mode="replicate")
    # Codecs keep planes in bytes; without their rounding, light compression would come out too good.
    planes = torch.einsum("ij,bjhw->bihw", padded.new_tensor(_TO_YCC), padded).round()
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    luma = _through(planes[:, :1] - 128, _table(_LUMA_jpeg, scale))
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
    """Transform 8 x 8 blocks, quantize, and come back."""
    batch, channels, height, width = planes.shape
    blocks = planes.reshape(batch, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    basis = _cosines(planes.device)
    steps = table[:, None, None, None]
    quantized = (basis @ blocks @ basis.T / steps).round() * steps
    return (basis.T @ quantized @ basis).round().transpose(3, 4).reshape(batch, channels, height, width)


def _cosines(device: torch.device) -> Tensor:
    at = torch.arange(8, dtype=torch.float64)
    basis = torch.cos((2 * at[None] + 1) * at[:, None] * math.pi / 16) * 0.5
    basis[0] *= math.sqrt(0.5)
    return basis.to(torch.float32).to(device)
