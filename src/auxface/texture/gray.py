"""Colour to grey, ITU-R BT.601, in integers."""

import numpy as np
import torch
from torch import Tensor

# 0.299, 0.587 and 0.114 in 65536ths: the rounding that image libraries share, so grey files and grey tensors agree.
RED, GREEN, BLUE = 19595, 38470, 7471


def gray(image: Tensor | np.ndarray) -> Tensor | np.ndarray:
    """Grey values of RGB images: ``(19595 R + 38470 G + 7471 B + 32768) >> 16``, the same integers on every device.

    Args:
        image: uint8; a tensor [3, H, W] or [B, 3, H, W], or a numpy array [H, W, 3] or [B, H, W, 3]. Channels are
            looked for in their usual place first (third from last in tensors, last in arrays), then in the other.

    Returns:
        uint8 [H, W] or [B, H, W], a tensor or an array as it came.

    Raises:
        TypeError: neither a tensor nor an array, or not uint8.
        ValueError: no axis of three channels where one is expected.
    """
    if not isinstance(image, Tensor | np.ndarray):
        raise TypeError(f"expected a torch.Tensor or a numpy.ndarray, got {type(image).__name__}")
    tensor = image if isinstance(image, Tensor) else torch.from_numpy(np.require(image, requirements=["C", "W"]))
    if tensor.dtype != torch.uint8:
        raise TypeError(f"expected uint8 RGB values 0..255, got {tensor.dtype}, shape {tuple(tensor.shape)}")
    axes = (-3, -1) if isinstance(image, Tensor) else (-1, -3)
    axis = next((axis for axis in axes if tensor.ndim in (3, 4) and tensor.shape[axis] == 3), None)
    if axis is None:
        raise ValueError(f"expected RGB images [3, H, W], [B, 3, H, W] or [..., H, W, 3], got {tuple(tensor.shape)}")
    red, green, blue = (channel.to(torch.int32) for channel in tensor.unbind(axis))
    # In place: a batch of photographs is large, and the sum of 255 * 65536 fits 32 bits.
    total = red.mul_(RED).add_(green, alpha=GREEN).add_(blue, alpha=BLUE).add_(32768).bitwise_right_shift_(16)
    grey = total.to(torch.uint8)
    return grey if isinstance(image, Tensor) else grey.numpy()
