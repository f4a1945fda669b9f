"""Fusion of decoder and encoder features before the classifier (our reading of Fusion-SSAT, arXiv 2601.00789).

The features, operator and inference of the paper are not known to us. Here the decoder of the masked autoencoder, which
learns texture from its target, also decodes all tokens of the whole face. No patch is masked, so that scores are
repeatable.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_HEAD_WIDTH = 64


class Concatenation(nn.Module):
    """Concatenate the encoder's features and the mean of the decoder's tokens.

    Args:
        width: D, length of the encoder's features.
        decoder_width: E, length of the decoder's tokens.

    Attributes:
        width: length of the result.
    """

    def __init__(self, width: int, decoder_width: int) -> None:
        super().__init__()
        self.width = width + decoder_width

    def forward(self, pooled: Tensor, decoded: Tensor) -> Tensor:
        """Fuse pooled features [B, D] and decoder tokens [B, N, E] to [B, D + E]."""
        return torch.cat([pooled, decoded.mean(dim=1)], dim=1)


class Gate(nn.Module):
    """Weight both with a learned gate per feature: g * encoder + (1 - g) * decoder. Arguments as above."""

    def __init__(self, width: int, decoder_width: int) -> None:
        super().__init__()
        self.width = width
        self.project = nn.Linear(decoder_width, width)
        self.gate = nn.Linear(2 * width, width)

    def forward(self, pooled: Tensor, decoded: Tensor) -> Tensor:
        """Fuse pooled features [B, D] and decoder tokens [B, N, E] to [B, D]."""
        other = self.project(decoded.mean(dim=1))
        gate = self.gate(torch.cat([pooled, other], dim=1)).sigmoid()
        return gate * pooled + (1 - gate) * other


class CrossAttention(nn.Module):
    """Add the result of cross-attention from the encoder's features to the decoder's tokens. Arguments as above."""

    def __init__(self, width: int, decoder_width: int) -> None:
        super().__init__()
        self.width = width
        self.heads = max(1, width // _HEAD_WIDTH)
        while width % self.heads:
            self.heads -= 1
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(decoder_width, 2 * width)
        self.projection = nn.Linear(width, width)

    def forward(self, pooled: Tensor, decoded: Tensor) -> Tensor:
        """Fuse pooled features [B, D] and decoder tokens [B, N, E] to [B, D]."""
        batch, patches = decoded.shape[:2]
        query = self.query(pooled).view(batch, 1, self.heads, -1).transpose(1, 2)
        key, value = self.key_value(decoded).view(batch, patches, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value)
        return pooled + self.projection(attended.transpose(1, 2).reshape(batch, -1))


FUSIONS = {"concat": Concatenation, "gated": Gate, "cross_attention": CrossAttention}
