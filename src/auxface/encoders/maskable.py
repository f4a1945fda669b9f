"""What the objectives know of an encoder: its grid, how to embed, and how to encode with or without hidden patches.

Fixed sine-cosine positions (Vaswani et al., 2017): of an image's grid (He et al., 2022), of a clip's.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from auxface.encoders.masking import Mask


@dataclass(frozen=True)
class Features:
    """What an encoder saw.

    Attributes:
        tokens: [B, T, D]. Encoders that drop hidden patches: one per visible patch, in the order of the mask's
            ``visible``. Encoders that hide patches in the image: one per patch of the grid, always. The lengths
            differ wherever a patch is hidden, so that ``T`` tells which it is.
        pooled: [B, D], the image as a whole.
        prefix: [B, P, D], class and register tokens; P may be 0.
    """

    tokens: Tensor
    pooled: Tensor
    prefix: Tensor


class MaskableEncoder(nn.Module):
    """An encoder that can be shown a part of the image.

    ``embed`` and ``encode`` are separate because a joint step encodes the same image twice, whole and masked, and
    needs to embed it once.

    Args:
        grid: patches down and across.
        width: D, length of a token and of the pooled features.
        patch_size: side of a patch in pixels.
        mean: channel means of images in [0, 1].
        std: channel standard deviations.

    Attributes:
        image_size: side of the square image in pixels.
        mean: float [1, 3, 1, 1].
        std: float [1, 3, 1, 1].
    """

    def __init__(
        self, grid: tuple[int, int], width: int, patch_size: int, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.grid = grid
        self.width = width
        self.patch_size = patch_size
        self.image_size = grid[0] * patch_size
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """Images in [0, 1], float [B, 3, H, W], to whatever ``encode`` takes, the same for every mask."""

    @abstractmethod
    def encode(self, embedded: Tensor, mask: Mask | None = None) -> Features:
        """Encode every patch, or only what the mask leaves visible; hidden pixels change nothing in the result."""

    def forward(self, images: Tensor, mask: Mask | None = None) -> Features:
        """Embed and encode."""
        return self.encode(self.embed(images), mask)

    def look_apart(self, images: Tensor) -> Features:
        """Whole images that no classifier sees, such as crops to be compared; running statistics leave them out."""
        return self(images)


def sincos_positions(grid: tuple[int, int], width: int, prefix: int = 0) -> Tensor:
    """Positions of a grid of patches, float32 [prefix + rows * columns, width]; prefix tokens get zeros.

    The first half of the width encodes the column, the second half the row; within each, sines then cosines of
    frequencies 1 / 10000^(2i / (width / 2)).

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
    """Positions along a line, float32 [count, width], as clips number their patches (Tong et al., 2022).

    Sines and cosines take turns, of frequencies 1 / 10000^(2i / width).
    """
    number = torch.arange(width) // 2
    angles = torch.arange(count, dtype=torch.float64).outer(10000.0 ** -(2.0 * number.double() / width))
    return torch.where(torch.arange(width) % 2 == 0, angles.sin(), angles.cos()).float()


def grid_positions(grid: tuple[int, ...], width: int) -> Tensor:
    """Positions of an image's grid (rows, columns) or of a clip's (slices, rows, columns), float32 [N, width]."""
    if len(grid) == 2:
        return sincos_positions((grid[0], grid[1]), width)
    return sinusoid_positions(math.prod(grid), width)
