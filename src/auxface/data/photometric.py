"""Changes of colour and brightness, and erasing, on batches in 0..1: what the texture target must never see."""

import torch
import torch.nn.functional as functional
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)
_CACHED = 8


def luma(pictures: Tensor) -> Tensor:
    """ITU-R BT.601 grey, [B, 1, H, W]."""
    weights = torch.tensor(_LUMA, device=pictures.device, dtype=pictures.dtype)
    return (pictures * weights[:, None, None]).sum(1, keepdim=True)


def scale_brightness(pictures: Tensor, factor: Tensor) -> Tensor:
    """Multiply by ``factor`` [B]: 0 is black, 1 changes nothing."""
    return (pictures * _each(factor)).clamp(0, 1)


def scale_contrast(pictures: Tensor, factor: Tensor) -> Tensor:
    """Stretch about the mean grey of each picture by ``factor`` [B]: 0 is flat grey, 1 changes nothing."""
    mean = luma(pictures).mean((2, 3), keepdim=True)
    return (mean + (pictures - mean) * _each(factor)).clamp(0, 1)


def scale_saturation(pictures: Tensor, factor: Tensor) -> Tensor:
    """Stretch colours about grey by ``factor`` [B]: 0 is a grey picture, 1 changes nothing."""
    grey = luma(pictures)
    return (grey + (pictures - grey) * _each(factor)).clamp(0, 1)


def jitter(pictures: Tensor, factors: Tensor) -> Tensor:
    """Brightness, then contrast about the mean grey, then saturation, clipped once at the end.

    The three are one affine map of the colours of each picture: a multiple of the colour plus one of its luma.

    Args:
        pictures: float [B, 3, H, W] in 0..1, or uint8 in 0..255.
        factors: [B, 3], brightness, contrast and saturation; 1 changes nothing.

    Returns:
        float32 [B, 3, H, W] in 0..1.
    """
    result = torch.empty(pictures.shape, device=pictures.device)
    # On a processor so few at a time that they stay in its cache from one operation to the next.
    few = _CACHED if pictures.device.type == "cpu" else max(1, len(pictures))
    for given, chosen, made in zip(pictures.split(few), factors.split(few), result.split(few), strict=True):
        scale = 1 / 255 if given.dtype == torch.uint8 else 1.0
        brightness, contrast, saturation = chosen.T[:, :, None, None, None]
        values = given.float()
        red, green, blue = (values[:, at : at + 1] for at in range(3))
        grey = (red * _LUMA[0]).add_(green, alpha=_LUMA[1]).add_(blue, alpha=_LUMA[2])
        mean = grey.mean((2, 3), keepdim=True)
        slope = scale * brightness * contrast
        grey.mul_(slope * (1 - saturation)).add_(scale * brightness * (1 - contrast) * mean)
        torch.addcmul(grey, values, slope * saturation, out=made).clamp_(0, 1)
    return result


def autocontrast(pictures: Tensor) -> Tensor:
    """Stretch each channel of each picture to the whole of 0..1; flat channels stay."""
    low, high = pictures.amin((2, 3), keepdim=True), pictures.amax((2, 3), keepdim=True)
    return torch.where(high > low, (pictures - low) / (high - low).clamp(min=1e-6), pictures)


def equalise(pictures: Tensor) -> Tensor:
    """Make the histogram of each channel of each picture as flat as 256 levels allow, as Pillow does."""
    levels = (pictures * 255).round().long().flatten(2).flatten(0, 1)
    counts = torch.zeros(len(levels), 256, dtype=torch.int64, device=levels.device)
    counts.scatter_add_(1, levels, torch.ones_like(levels))
    # The brightest level that occurs does not count towards the step.
    brightest = levels.amax(1, keepdim=True)
    step = (levels.shape[1] - counts.gather(1, brightest)) // 255
    table = ((counts.cumsum(1) - counts + step // 2) // step.clamp(min=1)).clamp(0, 255)
    changed = torch.where(step > 0, table.gather(1, levels), levels)
    return (changed.float() / 255).view_as(pictures)


def posterise(pictures: Tensor, bits: Tensor) -> Tensor:
    """Keep the highest ``bits`` [B] of eight."""
    step = _each(2 ** (8 - bits))
    return ((pictures * 255).round() / step).floor() * step / 255


def solarise(pictures: Tensor, threshold: Tensor) -> Tensor:
    """Invert what is at least ``threshold`` [B]."""
    return torch.where(pictures < _each(threshold), pictures, 1 - pictures)


def solarise_add(pictures: Tensor, amount: Tensor) -> Tensor:
    """Brighten what is below the middle by ``amount`` [B]."""
    return torch.where(pictures < 128 / 255, (pictures + _each(amount)).clamp(max=1), pictures)


def sharpen(pictures: Tensor, factor: Tensor) -> Tensor:
    """Stretch about a smoothed copy by ``factor`` [B]: 0 is smooth, 1 changes nothing; the outermost pixels stay."""
    kernel = torch.ones(3, 1, 3, 3, device=pictures.device, dtype=pictures.dtype)
    kernel[:, :, 1, 1] = 5
    smooth = pictures.clone()
    smooth[:, :, 1:-1, 1:-1] = functional.conv2d(pictures, kernel / 13, groups=3)
    return (smooth + (pictures - smooth) * _each(factor)).clamp(0, 1)


def blur(pictures: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur with a standard deviation of ``sigma`` [B] pixels; weights beyond the edge are left out."""

    def weights(length: int) -> Tensor:
        at = torch.arange(length, device=pictures.device, dtype=pictures.dtype)
        rows = torch.exp(-0.5 * ((at[:, None] - at[None]) / sigma[:, None, None].clamp(min=1e-3)) ** 2)
        return rows / rows.sum(2, keepdim=True)

    return weights(pictures.shape[2])[:, None] @ pictures @ weights(pictures.shape[3])[:, None].transpose(2, 3)


def erase(pictures: Tensor, boxes: Tensor, noise: Tensor) -> Tensor:
    """Replace a box of each picture by noise (Zhong et al., 2020).

    Args:
        pictures: float [B, 3, H, W].
        boxes: [B, 4] left, top, width, height in pixels; width 0 erases nothing.
        noise: what is put there, shaped as ``pictures``.
    """
    height, width = pictures.shape[2:]
    x = torch.arange(width, device=pictures.device)[None] + 0.5
    y = torch.arange(height, device=pictures.device)[None] + 0.5
    left, top, wide, high = boxes[:, :, None].unbind(1)
    inside = ((y >= top) & (y < top + high))[:, :, None] & ((x >= left) & (x < left + wide))[:, None, :]
    return torch.where(inside[:, None], noise, pictures)


def _each(factor: Tensor) -> Tensor:
    return factor[:, None, None, None]
