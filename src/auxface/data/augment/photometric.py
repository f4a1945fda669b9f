"""Photometric augmentation of a batch: brightness, color, sharpness, blur, erasing and JPEG compression.

All functions are tensor operations with separate parameters for each image. Images are RGB in 0..1 unless stated
otherwise. These operations change only the primary view, not the clean view from which texture targets are computed.
"""

import math

import torch
import torch.nn.functional as functional
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)
# Quantization steps at quality 50, and color matrices.
_LUMA_STEPS = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHROMA_STEPS = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99,
    99, 99, 99, *(99,) * 32,
)  # fmt: skip
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
# Number of images that jitter processes at a time, so that they stay in the processor's cache.
_CACHED = 8


def luma(images: Tensor) -> Tensor:
    """Return the ITU-R BT.601 luma of images, [B, 1, H, W]."""
    weights = torch.tensor(_LUMA, device=images.device, dtype=images.dtype)
    return (images * weights[:, None, None]).sum(1, keepdim=True)


def scale_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply images by ``factor`` [B], where 0 gives black and 1 changes nothing."""
    return (images * _per_image(factor)).clamp(0, 1)


def scale_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Scale the difference from the mean luma by ``factor`` [B], where 0 gives uniform gray and 1 changes nothing."""
    mean = luma(images).mean((2, 3), keepdim=True)
    return (mean + (images - mean) * _per_image(factor)).clamp(0, 1)


def scale_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Scale the difference from the luma by ``factor`` [B], where 0 gives a gray image and 1 changes nothing."""
    gray = luma(images)
    return (gray + (images - gray) * _per_image(factor)).clamp(0, 1)


def jitter(images: Tensor, factors: Tensor) -> Tensor:
    """Scale brightness, contrast and saturation in this order and clip at the end, float32 [B, 3, H, W] in 0..1.

    The three operations are combined into one affine map per image, a multiple of the color plus a multiple of its
    luma.

    Args:
        images: images [B, 3, H, W], float in 0..1 or uint8 in 0..255.
        factors: factors of brightness, contrast and saturation, [B, 3]; 1 changes nothing.
    """
    result = torch.empty(images.shape, device=images.device)
    # On the CPU, a few images are processed at a time, so that they stay in the cache between operations.
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
    """Stretch each channel of each image to the full range 0..1, leaving constant channels unchanged."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high > low, (images - low) / (high - low).clamp(min=1e-6), images)


def equalize(images: Tensor) -> Tensor:
    """Equalize the histogram of each channel of each image over 256 levels, as in Pillow."""
    levels = (images * 255).round().long().flatten(2).flatten(0, 1)
    counts = torch.zeros(len(levels), 256, dtype=torch.int64, device=levels.device)
    counts.scatter_add_(1, levels, torch.ones_like(levels))
    # Pixels at the brightest occurring level do not count toward the step size.
    brightest = levels.amax(1, keepdim=True)
    step = (levels.shape[1] - counts.gather(1, brightest)) // 255
    table = ((counts.cumsum(1) - counts + step // 2) // step.clamp(min=1)).clamp(0, 255)
    changed = torch.where(step > 0, table.gather(1, levels), levels)
    return (changed.float() / 255).view_as(images)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the ``bits`` [B] most significant bits of the eight bits per channel."""
    step = _per_image(2 ** (8 - bits))
    return ((images * 255).round() / step).floor() * step / 255


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert values that are at least ``threshold`` [B]."""
    return torch.where(images < _per_image(threshold), images, 1 - images)


def solarize_add(images: Tensor, amount: Tensor) -> Tensor:
    """Add ``amount`` [B] to values below 128 / 255."""
    return torch.where(images < 128 / 255, (images + _per_image(amount)).clamp(max=1), images)


def sharpen(images: Tensor, factor: Tensor) -> Tensor:
    """Scale the difference from a smoothed copy by ``factor`` [B], where 0 smooths and 1 changes nothing.

    Border pixels are unchanged.
    """
    kernel = torch.ones(3, 1, 3, 3, device=images.device, dtype=images.dtype)
    kernel[:, :, 1, 1] = 5
    smooth = images.clone()
    smooth[:, :, 1:-1, 1:-1] = functional.conv2d(images, kernel / 13, groups=3)
    return (smooth + (images - smooth) * _per_image(factor)).clamp(0, 1)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur with a Gaussian of ``sigma`` [B] pixels, dropping weights outside the image."""

    def weights(length: int) -> Tensor:
        at = torch.arange(length, device=images.device, dtype=images.dtype)
        rows = torch.exp(-0.5 * ((at[:, None] - at[None]) / sigma[:, None, None].clamp(min=1e-3)) ** 2)
        return rows / rows.sum(2, keepdim=True)

    return weights(images.shape[2])[:, None] @ images @ weights(images.shape[3])[:, None].transpose(2, 3)


def erase(images: Tensor, boxes: Tensor, noise: Tensor) -> Tensor:
    """Replace a box in each image with noise (Zhong et al., 2020).

    Args:
        images: images to change, float [B, 3, H, W].
        boxes: left, top, width and height of the boxes in pixels, [B, 4]; width 0 erases nothing.
        noise: noise of the same shape as ``images``.
    """
    height, width = images.shape[2:]
    x = torch.arange(width, device=images.device)[None] + 0.5
    y = torch.arange(height, device=images.device)[None] + 0.5
    left, top, wide, high = boxes[:, :, None].unbind(1)
    inside = ((y >= top) & (y < top + high))[:, :, None] & ((x >= left) & (x < left + wide))[:, None, :]
    return torch.where(inside[:, None], noise, images)


def compress_jpeg(images: Tensor, quality: Tensor) -> Tensor:
    """Compress and decompress each image as JPEG; the result is float32 [B, 3, H, W] with integer values in 0..255.

    The steps are those of baseline JPEG with 4:2:0 subsampling and the example tables of the standard (ITU-T T.81,
    Annex K), scaled by quality as in libjpeg. Entropy coding is lossless and is skipped.

    Args:
        images: images to compress, [B, 3, H, W] in 0..255.
        quality: quality of each image, [B] in 1..100.
    """
    height, width = images.shape[2:]
    padded = functional.pad(images.float(), (0, -width % 16, 0, -height % 16), mode="replicate")
    # Codecs store planes as bytes. Without this rounding, the compression loss at high quality would be too small.
    planes = torch.einsum("ij,bjhw->bihw", padded.new_tensor(_TO_YCC), padded).round()
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    luma = _quantize_blocks(planes[:, :1] - 128, _table(_LUMA_STEPS, scale))
    chroma = _quantize_blocks(functional.avg_pool2d(planes[:, 1:], 2).round(), _table(_CHROMA_STEPS, scale))
    # Bilinear upsampling corresponds to the "fancy" upsampling of libjpeg.
    chroma = functional.interpolate(chroma.clamp(-128, 127), scale_factor=2, mode="bilinear", align_corners=False)
    planes = torch.cat([(luma + 128).clamp(0, 255), chroma.round()], 1)
    result = torch.einsum("ij,bjhw->bihw", padded.new_tensor(_TO_RGB), planes)
    return result[:, :, :height, :width].round().clamp(0, 255)


def _table(values: tuple[int, ...], scale: Tensor) -> Tensor:
    base = torch.tensor(values, device=scale.device, dtype=torch.float32).view(1, 8, 8)
    return ((base * scale[:, None, None] + 50) / 100).floor().clamp(1, 255)


def _quantize_blocks(planes: Tensor, table: Tensor) -> Tensor:
    """Transform 8 x 8 blocks of pixels, quantize the coefficients, and transform them back."""
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


def _per_image(factor: Tensor) -> Tensor:
    return factor[:, None, None, None]
