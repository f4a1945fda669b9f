"""Column-shaped encoders: Vision Transformers that drop the tokens of hidden patches.

In these models, all blocks process the same tokens (ViT: Dosovitskiy et al., 2021; DeiT III: Touvron et al., 2022;
EVA-02: Fang et al., 2023), so the blocks can run on the visible patches alone (He et al., 2022).
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from auxface.encoders.maskable import Family, Features, MaskableEncoder, register, sincos_positions
from auxface.encoders.masking import Mask
from auxface.encoders.timm_model import Refused, create, is_column_shaped
from auxface.errors import InputError
from auxface.recipe import Encoder


class ColumnShapedEncoder(MaskableEncoder):
    """A timm ViT, DeiT or EVA that encodes all patches or only the visible ones.

    ``embed`` adds absolute position embeddings to the tokens. Rotary embeddings are applied in every block; each image
    uses the embeddings of its own visible patches. Class and register tokens are never dropped.

    Args:
        vit: transformer without a classifier.
        mean: channel means of images in [0, 1].
        std: channel standard deviations of images in [0, 1].
    """

    def __init__(self, vit: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        patches: Any = vit.patch_embed
        super().__init__(tuple(patches.grid_size), int(vit.embed_dim), int(patches.patch_size[0]), mean, std)  # pyright: ignore[reportArgumentType]
        self.vit: Any = vit

    def embed(self, images: Tensor) -> Tensor:
        """Embed images, float [B, 3, H, W] in [0, 1], as prefix and patch tokens, [B, P + N, D], and add positions."""
        tokens = self.vit._pos_embed(self.vit.patch_embed((images - self.mean) / self.std))
        return self.vit.norm_pre(tokens[0] if isinstance(tokens, tuple) else tokens)

    def encode(self, embedded: Tensor, mask: Mask | None = None) -> Features:
        """Run the blocks on all patches, or only on the visible ones."""
        prefix = self.vit.num_prefix_tokens
        if mask is not None:
            index = mask.visible.unsqueeze(-1).expand(-1, -1, embedded.shape[-1])
            embedded = torch.cat([embedded[:, :prefix], embedded[:, prefix:].gather(1, index)], dim=1)
        tokens = self.vit.norm(self._blocks(embedded, mask))
        pooled = self.vit.fc_norm(self.vit.pool(tokens))
        return Features(tokens=tokens[:, prefix:], pooled=pooled, prefix=tokens[:, :prefix])

    @property
    def last_stage(self) -> nn.Module:
        """The last transformer block."""
        return self.vit.blocks[-1]

    def _blocks(self, tokens: Tensor, mask: Mask | None) -> Tensor:
        rotary = getattr(self.vit, "rope", None)
        if rotary is None:
            for block in self.vit.blocks:
                tokens = block(tokens)
            return tokens
        angles = rotary.get_embed(shape=self.grid)
        if mask is not None:
            # The shape changes from [..., N, A] to [..., B, V, A].
            angles = angles[..., mask.visible, :]
        for number, block in enumerate(self.vit.blocks):
            # Mixed rotary embeddings are learned per block, [depth, heads, ...]. With other rotary embeddings, all
            # blocks share one table.
            own = angles[number] if self.vit.rope_mixed else angles.unsqueeze(0)
            tokens = block(tokens, rope=own if mask is None else own.transpose(0, 1))
        return tokens


def build_column_shaped(options: Encoder) -> ColumnShapedEncoder:
    """Build a Vision Transformer, DeiT or EVA encoder for :func:`auxface.encoders.build_encoder`.

    Raises:
        InputError: the model does not accept an option, or the image size is not a multiple of the patch size.
    """
    arguments = {
        "img_size": options.image_size,
        "patch_size": options.patch_size,
        "embed_dim": options.width,
        "depth": options.depth,
        "num_heads": options.heads,
        "drop_path_rate": options.drop_path,
        "output_stride": options.output_stride,
    }
    try:
        vit: Any = create(options, arguments | {"dynamic_img_size": False})
    except Refused as error:
        fields = ("image_size", "patch_size", "width", "depth", "heads", "drop_path")
        given = ", ".join(
            f"encoder.{field} {getattr(options, field)}" for field in fields if getattr(options, field) is not None
        )
        advice = "; set encoder.heads to a divisor of encoder.width" if "num_heads" in str(error) else ""
        raise InputError(f"encoder '{options.name}' cannot be built with {given}: {error}{advice}") from None
    side = vit.patch_embed.patch_size[0]
    if options.image_size % side:
        below = options.image_size // side * side
        raise InputError(
            f"encoder '{options.name}' has a patch size of {side} pixels, which does not divide image_size "
            f"{options.image_size}; encoder.image_size can be {below} or {below + side}, or set encoder.patch_size"
        )
    if options.positions is not None and vit.pos_embed is None:
        raise InputError(f"encoder '{options.name}' does not add position embeddings; remove encoder.positions")
    if not options.pretrained:
        _initialize(vit)
        if vit.pos_embed is not None and options.positions != "learned":
            _fix_positions(vit)
    return ColumnShapedEncoder(vit, options.mean, options.std)


def _initialize(vit: Any) -> None:
    """Apply the Xavier initialization of He et al. (2022), including to the patch embedding."""
    for module in vit.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.xavier_uniform_(vit.patch_embed.proj.weight.view(vit.embed_dim, -1))
    for token in (vit.cls_token, vit.reg_token):
        if token is not None:
            nn.init.normal_(token, std=0.02)


def _fix_positions(vit: Any) -> None:
    grid = vit.patch_embed.grid_size
    prefix = vit.pos_embed.shape[1] - math.prod(grid)
    with torch.no_grad():
        vit.pos_embed.copy_(sincos_positions(tuple(grid), vit.embed_dim, prefix).unsqueeze(0))
    vit.pos_embed.requires_grad_(False)


FAMILY = register(
    Family(
        name="column-shaped",
        accepts=is_column_shaped,
        build=build_column_shaped,
        examples=(
            "vit_tiny_patch16_224",
            "vit_wee_patch16_reg1_gap_256",
            "deit3_small_patch16_224",
            "eva02_tiny_patch14_224",
            "vit_tiny_patch16_dinov3_qkvb",
            "vit_small_patch16_rope_mixed_ape_224",
        ),
    )
)
