"""Fixed sine-cosine position embeddings (Vaswani et al., 2017) of an image's patches and of a clip's tubelets.

Example:
    >>> grid_positions((4, 4), 192).shape
    torch.Size([16, 192])
"""

import math

import torch
from torch import Tensor


def grid_positions(grid: tuple[int, ...], width: int) -> Tensor:
    """Return the positions of a token grid: (rows, columns) of an image, or (time slices, rows, columns) of a clip.

    Returns:
        float32 [N, width]: :func:`sincos_positions` for images, :func:`sinusoid_positions` for clips.
    """
    if len(grid) == 2:
        return sincos_positions((grid[0], grid[1]), width)
    return sinusoid_positions(math.prod(grid), width)


def sincos_positions(grid: tuple[int, int], width: int, prefix: int = 0) -> Tensor:
    """Return positions of an image's patches (He et al., 2022), float32 [prefix + rows * columns, width].

    The first half of the width encodes the column, the second half the row; within each, sines then cosines of
    frequencies 1 / 10000^(2i / (width / 2)). The ``prefix`` tokens get zeros.

    Raises:
        ValueError: width is not a multiple of 4.
    """
    if width % 4:
        raise ValueError(f"sine-cosine positions need a width that is a multiple of 4, not {width}")
    frequency = 10000.0 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    rows, columns = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in grid), indexing="ij")
    angles = [place.reshape(-1, 1) * frequency for place in (columns, rows)]
    table = torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], dim=1)
    return torch.cat([torch.zeros(prefix, width, dtype=torch.float64), table]).float()


def sinusoid_positions(count: int, width: int) -> Tensor:
    """Return positions of tokens in one sequence (Tong et al., 2022), float32 [count, width].

    Sines and cosines alternate, of frequencies 1 / 10000^(2i / width).
    """
    number = torch.arange(width) // 2
    angles = torch.arange(count, dtype=torch.float64).outer(10000.0 ** -(2.0 * number.double() / width))
    return torch.where(torch.arange(width) % 2 == 0, angles.sin(), angles.cos()).float()
