"""What the objectives know of an encoder: its grid, how to embed, and how to encode with or without hidden patches."""

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
            ``visible``. Encoders that hide patches in the picture: one per patch of the grid, always. The lengths
            differ wherever a patch is hidden, so that ``T`` tells which it is.
        pooled: [B, D], the picture as a whole.
        prefix: [B, P, D], class and register tokens; P may be 0.
    """

    tokens: Tensor
    pooled: Tensor
    prefix: Tensor


class MaskableEncoder(nn.Module):
    """An encoder that can be shown a part of the picture.

    ``embed`` and ``encode`` are separate because a joint step encodes the same picture twice, whole and masked, and
    needs to embed it once.

    Args:
        grid: patches down and across.
        width: D, length of a token and of the pooled features.
        patch_size: side of a patch in pixels.
        mean: channel means of pictures in [0, 1].
        std: channel standard deviations.

    Attributes:
        image_size: side of the square picture in pixels.
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
        """Pictures in [0, 1], float [B, 3, H, W], to whatever ``encode`` takes, the same for every mask."""

    @abstractmethod
    def encode(self, embedded: Tensor, mask: Mask | None = None) -> Features:
        """Encode every patch, or only what the mask leaves visible; hidden pixels change nothing in the result."""

    def forward(self, images: Tensor, mask: Mask | None = None) -> Features:
        """Embed and encode."""
        return self.encode(self.embed(images), mask)

    def look_apart(self, images: Tensor) -> Features:
        """Whole pictures that no classifier sees, such as crops to be compared; running statistics leave them out."""
        return self(images)
