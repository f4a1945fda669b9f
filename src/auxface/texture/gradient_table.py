"""Tables of functions of an integer gradient: 511 x 511 pairs, computed once in double precision.

A table gives the same angles and magnitudes on every device, and is faster than computing arc tangents. The Weber local
descriptor and the histogram of oriented gradients use it.

Example:
    >>> first, second = all_gradients()
    >>> index = gradient_index(torch.tensor([3], dtype=torch.int16), torch.tensor([-4], dtype=torch.int16),
    ...                        out=torch.empty(1, dtype=torch.int32))
    >>> first[index.numpy()], second[index.numpy()]
    (array([3.]), array([-4.]))
"""

import numpy as np
import torch
from torch import Tensor

SPAN = 511
"""Number of differences of two gray values: -255 to 255."""

ZERO = 255 * SPAN + 255
"""Index of the gradient (0, 0)."""


def all_gradients() -> tuple[np.ndarray, np.ndarray]:
    """Return both components of every gradient, float64 [511²], in the order of :func:`gradient_index`."""
    values = np.arange(-255.0, 256.0)
    first, second = np.meshgrid(values, values, indexing="ij")
    return first.ravel(), second.ravel()


def gradient_index(first: Tensor, second: Tensor, *, out: Tensor) -> Tensor:
    """Return the index of gradients in a table.

    Args:
        first: int16 components from -255 to 255.
        second: the other components, of the same shape.
        out: int32 memory for the result.
    """
    return out.copy_(first).mul_(SPAN).add_(second).add_(ZERO)


def as_table(values: np.ndarray, device: torch.device) -> Tensor:
    """Return table values as a tensor on a device."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(device)
