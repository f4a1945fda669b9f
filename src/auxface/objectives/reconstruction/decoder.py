"""The lightweight decoder of a masked autoencoder (He et al., 2022), and its published sizes."""

import math
from collections.abc import Collection
from functools import partial
from typing import NamedTuple

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from auxface.encoders.hierarchical import HierarchicalEncoder
from auxface.encoders.maskable import Features, MaskableEncoder, grid_positions
from auxface.encoders.masking import Mask
from auxface.encoders.video_encoder import VideoEncoder
from auxface.errors import InputError
from auxface.recipe import Recipe, ReconstructionOptions

# Encoders of at least this width get the large decoder: sizes B, L and H of SSAT.
_WIDE = 768


class DecoderSize(NamedTuple):
    """Width of the decoder's tokens, number of blocks, and number of attention heads per block."""

    width: int
    depth: int
    heads: int


def decoder_size(options: ReconstructionOptions, encoder: MaskableEncoder) -> DecoderSize:
    """Return the size of the decoder; sizes that the recipe does not set are the published sizes for the encoder.

    Hierarchical encoders of any width get the small decoder, because no size is published for them and their grid is
    coarse. If the published number of heads does not divide the width in the recipe, the number of heads is reduced.

    Raises:
        InputError: the number of heads does not divide the width.
    """
    if isinstance(encoder, VideoEncoder):
        heads = encoder.heads // 2 if encoder.heads % 2 == 0 else encoder.heads
        # Position embeddings need an even width; all published widths are even multiples of the number of heads.
        published = DecoderSize(2 * heads * math.ceil(encoder.width / 4 / heads), 4, heads)
    elif encoder.width >= _WIDE and not isinstance(encoder, HierarchicalEncoder):
        published = DecoderSize(512, 8, 16)
    else:
        published = DecoderSize(128, 2, 16)
    width, depth = options.decoder_width or published.width, options.decoder_depth or published.depth
    heads = options.decoder_heads or math.gcd(published.heads, width)
    if width % heads:
        raise InputError(
            f"auxiliary.decoder_heads {heads} must divide the decoder's width {width}; set auxiliary.decoder_width too"
        )
    return DecoderSize(width, depth, heads)


def with_decoder_size(recipe: Recipe, encoder: MaskableEncoder) -> Recipe:
    """Return the recipe with an explicit decoder size, so that a saved model records the size."""
    if recipe.auxiliary is None:
        return recipe
    size = decoder_size(recipe.auxiliary, encoder)
    fields = {f"decoder_{name}": value for name, value in size._asdict().items()}
    return recipe.model_copy(update={"auxiliary": recipe.auxiliary.model_copy(update=fields)})


class Decoder(nn.Module):
    """Transformer blocks over visible and mask tokens, with one linear layer per target.

    Args:
        width_in: width of the encoder's tokens.
        grid: number of rows and columns of patches, preceded by the number of time slices for video clips.
        outputs: number of values per patch, by target name.
        width: width of the decoder's tokens.
        depth: number of blocks.
        heads: number of attention heads per block.
        fitted: names of the targets whose predictions are added to a constant for each position; see :meth:`start_at`.
    """

    def __init__(
        self,
        width_in: int,
        grid: tuple[int, ...],
        outputs: dict[str, int],
        *,
        width: int,
        depth: int,
        heads: int,
        fitted: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.width, self.heads = width, heads
        self.fitted = frozenset(fitted)
        for name in self.fitted:
            self.register_buffer(f"start_{name}", torch.zeros(math.prod(grid), outputs[name]))
            self.register_buffer(f"scale_{name}", torch.ones(()))
        # VideoMAE's decoder has no bias here, and its last norm uses the default epsilon of torch (Tong et al., 2022).
        clip = len(grid) == 3
        self.embed = nn.Linear(width_in, width, bias=not clip)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions: Tensor
        self.register_buffer("positions", grid_positions(grid, width).unsqueeze(0), persistent=False)
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.blocks = nn.Sequential(*(Block(width, heads, qkv_bias=True, norm_layer=norm) for _ in range(depth)))  # pyright: ignore[reportArgumentType]
        self.norm = nn.LayerNorm(width, eps=1e-5 if clip else 1e-6)
        self.predict = nn.ModuleDict({name: nn.Linear(width, count) for name, count in outputs.items()})
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, features: Features, mask: Mask, places: Tensor) -> dict[str, Tensor]:
        """Predict the targets of the patches with indices ``places``, int64 [B, M].

        Returns:
            Predictions by target name, [B, M, values] each.
        """
        full = self.forward_features(features, mask)
        chosen = self.norm(full.gather(1, places.unsqueeze(-1).expand(-1, -1, full.shape[-1])))
        predictions = {name: layer(chosen) for name, layer in self.predict.items()}
        for name in self.fitted:
            start, scale = self.get_buffer(f"start_{name}"), self.get_buffer(f"scale_{name}")
            predictions[name] = scale * predictions[name] + start[places]
        return predictions

    @torch.no_grad()
    def start_at(self, name: str, output: Tensor, scale: float = 1.0) -> None:
        """Set the constant prediction of a fitted target, [N, values], and the scale of the decoder's deviations."""
        self.get_buffer(f"start_{name}").copy_(output)
        self.get_buffer(f"scale_{name}").fill_(scale)

    def decode_full(self, features: Features) -> Tensor:
        """Return the decoder's normalized tokens of an unmasked image, [B, N, width], for fusion."""
        return self.norm(self.forward_features(features, None))

    def forward_features(self, features: Features, mask: Mask | None) -> Tensor:
        """Return the token of every patch after the blocks, [B, N, width].

        If the encoder drops masked patches, mask tokens replace them. If the encoder keeps a token for every patch, the
        mask token is added to the tokens of masked patches. Prefix tokens get no position embedding.
        """
        tokens = self.embed(features.tokens)
        if mask is None:
            full = tokens
        elif tokens.shape[1] == self.positions.shape[1]:
            full = tokens + mask.boolean().unsqueeze(-1) * self.mask_token
        else:
            hidden = self.mask_token.to(tokens.dtype).expand(len(tokens), self.positions.shape[1], -1)
            full = hidden.scatter(1, mask.visible.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]), tokens)
        prefix = self.embed(features.prefix)
        return self.blocks(torch.cat([prefix, full + self.positions], dim=1))[:, prefix.shape[1] :]
