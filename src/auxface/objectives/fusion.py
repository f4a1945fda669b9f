"""Joining the decoder's view of a face with the encoder's before the classifier (our reading of Fusion-SSAT).

The features, operator and inference of the paper (arXiv 2601.00789) are not known to us. Here the decoder's trunk,
which learns texture from the auxiliary, also reads all tokens of the whole face; nothing is hidden, so that a score
never depends on chance.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_HEAD_WIDTH = 64


class Concatenation(nn.Module):
    """The encoder's features and the mean of the decoder's, side by side; [B, D + E].

    Args:
        width: D, of the encoder's features.
        auxiliary_width: E, of the decoder's tokens.
    """

    def __init__(self, width: int, auxiliary_width: int) -> None:
        super().__init__()
        self.width = width + auxiliary_width

    def forward(self, pooled: Tensor, auxiliary: Tensor) -> Tensor:
        """[B, D] and [B, N, E] to [B, D + E]."""
        return torch.cat([pooled, auxiliary.mean(dim=1)], dim=1)


class Gate(nn.Module):
    """A learned share of each, per feature: g * encoder + (1 - g) * decoder; [B, D]. Arguments as above."""

    def __init__(self, width: int, auxiliary_width: int) -> None:
        super().__init__()
        self.width = width
        self.project = nn.Linear(auxiliary_width, width)
        self.gate = nn.Linear(2 * width, width)

    def forward(self, pooled: Tensor, auxiliary: Tensor) -> Tensor:
        """[B, D] and [B, N, E] to [B, D]."""
        other = self.project(auxiliary.mean(dim=1))
        share = self.gate(torch.cat([pooled, other], dim=1)).sigmoid()
        return share * pooled + (1 - share) * other


class CrossAttention(nn.Module):
    """The encoder's features ask the decoder's tokens, and what they answer is added; [B, D]. Arguments as above."""

    def __init__(self, width: int, auxiliary_width: int) -> None:
        super().__init__()
        self.width = width
        self.heads = max(1, width // _HEAD_WIDTH)
        while width % self.heads:
            self.heads -= 1
        self.ask = nn.Linear(width, width)
        self.offer = nn.Linear(auxiliary_width, 2 * width)
        self.answer = nn.Linear(width, width)

    def forward(self, pooled: Tensor, auxiliary: Tensor) -> Tensor:
        """[B, D] and [B, N, E] to [B, D]."""
        batch, patches = auxiliary.shape[:2]
        query = self.ask(pooled).view(batch, 1, self.heads, -1).transpose(1, 2)
        offered = self.offer(auxiliary).view(batch, patches, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, offered[0], offered[1])
        return pooled + self.answer(attended.transpose(1, 2).reshape(batch, -1))


FUSIONS = {"concat": Concatenation, "gated": Gate, "cross_attention": CrossAttention}
