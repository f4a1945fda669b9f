"""Vision Transformers whose token count may change from call to call, so that hidden patches cost nothing."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from auxface.encoders.maskable import Features, MaskableEncoder
from auxface.encoders.masking import Mask


class ColumnarEncoder(MaskableEncoder):
    """A timm ViT, DeiT or EVA that embeds once and encodes all patches or only the visible ones.

    Positions may be absolute, added to the tokens when embedding, or rotary, applied in every block; of rotary ones
    each image gets those of its own visible patches. Class and register tokens are never dropped.

    Args:
        vit: the transformer, without a classifier.
        mean: channel means of images in [0, 1].
        std: channel standard deviations.
    """

    def __init__(self, vit: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        patches: Any = vit.patch_embed
        super().__init__(tuple(patches.grid_size), int(vit.embed_dim), int(patches.patch_size[0]), mean, std)  # pyright: ignore[reportArgumentType]
        self.vit: Any = vit

    def embed(self, images: Tensor) -> Tensor:
        """Images in [0, 1], float [B, 3, H, W], to tokens with positions and prefix tokens, [B, P + N, D]."""
        tokens = self.vit._pos_embed(self.vit.patch_embed((images - self.mean) / self.std))
        return self.vit.norm_pre(tokens[0] if isinstance(tokens, tuple) else tokens)

    def encode(self, embedded: Tensor, mask: Mask | None = None) -> Features:
        """Run the blocks over every patch, or over the visible ones alone."""
        prefix = self.vit.num_prefix_tokens
        if mask is not None:
            index = mask.visible.unsqueeze(-1).expand(-1, -1, embedded.shape[-1])
            embedded = torch.cat([embedded[:, :prefix], embedded[:, prefix:].gather(1, index)], dim=1)
        tokens = self.vit.norm(self._blocks(embedded, mask))
        pooled = self.vit.fc_norm(self.vit.pool(tokens))
        return Features(tokens=tokens[:, prefix:], pooled=pooled, prefix=tokens[:, :prefix])

    def _blocks(self, tokens: Tensor, mask: Mask | None) -> Tensor:
        rotary = getattr(self.vit, "rope", None)
        if rotary is None:
            for block in self.vit.blocks:
                tokens = block(tokens)
            return tokens
        angles = rotary.get_embed(shape=self.grid)
        if mask is not None:
            # [..., N, A] to [..., B, V, A]
            angles = angles[..., mask.visible, :]
        for number, block in enumerate(self.vit.blocks):
            # Mixed rotary positions are learned, [depth, heads, ...]; the others are one table for all blocks.
            own = angles[number] if self.vit.rope_mixed else angles.unsqueeze(0)
            tokens = block(tokens, rope=own if mask is None else own.transpose(0, 1))
        return tokens
