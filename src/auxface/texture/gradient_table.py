"""Functions of a whole-number gradient, looked up: 511 x 511 pairs, worked out once in double precision.

A table makes angles and magnitudes the same on every device, and cheaper than arc tangents.
"""

import numpy as np
import torch
from torch import Tensor

SPAN = 511
"""A difference of two grey values is one of -255 .. 255."""

ZERO = 255 * SPAN + 255
"""Index of the gradient (0, 0)."""


def gradients() -> tuple[np.ndarray, np.ndarray]:
    """Both components of every gradient, float64 [511²], in the order of :func:`gradient_index`."""
    values = np.arange(-255.0, 256.0)
    first, second = np.meshgrid(values, values, indexing="ij")
    return first.ravel(), second.ravel()


def gradient_index(first: Tensor, second: Tensor, into: Tensor) -> Tensor:
    """Where the gradient (first, second), each int16 -255 .. 255, stands in a table; written to ``into`` (int32)."""
    return into.copy_(first).mul_(SPAN).add_(second).add_(ZERO)


def as_table(values: np.ndarray, device: torch.device) -> Tensor:
    """Table values on a device."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(device)
