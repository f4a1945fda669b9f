"""Changes of colour and brightness, and erasing, on batches in 0..1: what the texture target must never see."""

import torch
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)


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

    The three are one affine map of the colours of each picture, so they cost one pass over the pixels.

    Args:
        pictures: float [B, 3, H, W] in 0..1.
        factors: [B, 3], brightness, contrast and saturation; 1 changes nothing.
    """
    brightness, contrast, saturation = factors.unbind(1)
    weights = torch.tensor(_LUMA, device=pictures.device, dtype=pictures.dtype)
    mean = (pictures.mean((2, 3)) * weights).sum(1)
    to_grey = weights.expand(3, 3)
    keep = torch.eye(3, device=pictures.device, dtype=pictures.dtype)
    mixed = saturation[:, None, None] * keep + (1 - saturation)[:, None, None] * to_grey
    colours = (brightness * contrast)[:, None, None] * mixed
    offset = ((1 - contrast) * brightness * mean)[:, None, None]
    flat = torch.baddbmm(offset, colours, pictures.flatten(2))
    return flat.clamp_(0, 1).view_as(pictures)


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
