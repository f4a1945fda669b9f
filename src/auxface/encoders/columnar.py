"""Vision Transformers whose token count may change from call to call, so that hidden patches cost nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from auxface.encoders.masking import Mask


@dataclass(frozen=True)
class Features:
    """What an encoder saw.

    Attributes:
        tokens: [B, T, D], one per patch that was visible, in the order of the mask's ``visible`` (all N without one).
        pooled: [B, D], the picture as a whole.
    """

    tokens: Tensor
    pooled: Tensor


class ColumnarEncoder(nn.Module):
    """A timm ViT that embeds once and encodes all patches or only the visible ones.

    ``embed`` and ``encode`` are separate because a joint step encodes the same picture twice, whole and masked, and
    needs its patch embedding once.

    Args:
        vit: the transformer, without a classifier.
        mean: channel means of pictures in [0, 1].
        std: channel standard deviations.

    Attributes:
        grid: patches down and across.
        width: D, length of a token.
        patch_size: side of a patch in pixels.
        image_size: side of the square picture in pixels.
    """

    def __init__(self, vit: VisionTransformer, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.vit = vit
        self.grid: tuple[int, int] = tuple(vit.patch_embed.grid_size)  # pyright: ignore[reportArgumentType]
        self.width: int = vit.embed_dim
        self.patch_size: int = vit.patch_embed.patch_size[0]
        self.image_size: int = vit.patch_embed.img_size[0]  # pyright: ignore[reportOptionalSubscript]
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def embed(self, images: Tensor) -> Tensor:
        """Pictures in [0, 1], float [B, 3, H, W], to tokens with positions and prefix tokens, [B, P + N, D]."""
        patches = self.vit.patch_embed((images - self.mean) / self.std)
        return self.vit.norm_pre(self.vit._pos_embed(patches))

    def encode(self, embedded: Tensor, mask: Mask | None = None) -> Features:
        """Run the blocks over every patch, or over the visible ones alone."""
        prefix = self.vit.num_prefix_tokens
        if mask is not None:
            index = mask.visible.unsqueeze(-1).expand(-1, -1, embedded.shape[-1])
            embedded = torch.cat([embedded[:, :prefix], embedded[:, prefix:].gather(1, index)], dim=1)
        tokens = self.vit.norm(self.vit.blocks(embedded))
        return Features(tokens=tokens[:, prefix:], pooled=self.vit.fc_norm(self.vit.pool(tokens)))

    def forward(self, images: Tensor, mask: Mask | None = None) -> Features:
        """Embed and encode."""
        return self.encode(self.embed(images), mask)
