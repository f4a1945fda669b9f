"""From the recipe's encoder section to an encoder with its first weights."""

import math
from typing import Any

import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from auxface.encoders.columnar import ColumnarEncoder
from auxface.encoders.positions import sincos_positions
from auxface.errors import InputError
from auxface.recipe import Encoder


def build_encoder(options: Encoder) -> ColumnarEncoder:
    """Make the encoder that a recipe asks for; random weights come from torch's current seed.

    Raises:
        InputError: timm has no such model, it is of a family that cannot drop tokens, it refuses the sizes, or its
            pre-trained weights cannot be had here.
    """
    overrides = {"embed_dim": options.width, "depth": options.depth, "num_heads": options.heads}
    arguments: dict[str, Any] = {name: value for name, value in overrides.items() if value is not None}
    arguments |= {"img_size": options.image_size, "patch_size": options.patch_size, "drop_path_rate": options.drop_path}
    if not timm.is_model(options.name):
        close = timm.list_models(f"*{options.name.split('_')[0]}*")[:5]
        raise InputError(
            f"encoder.name '{options.name}' is not a timm model" + (f"; near: {', '.join(close)}" if close else "")
        )
    try:
        vit = timm.create_model(options.name, pretrained=options.pretrained, num_classes=0, **arguments)
    except (TypeError, AssertionError, ValueError) as error:
        raise InputError(f"encoder '{options.name}' cannot be built with {arguments}: {error}") from None
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"the pre-trained weights of '{options.name}' could not be loaded ({reason}); "
            "set encoder.pretrained=false, or fetch them once on a machine with network"
        ) from None
    if not isinstance(vit, VisionTransformer):
        raise InputError(
            f"encoder '{options.name}' is a {type(vit).__name__}; expected a Vision Transformer (vit_*, deit3_*)"
        )
    if not options.pretrained:
        _initialise(vit)
        if options.positions == "sincos":
            _fix_positions(vit)
    return ColumnarEncoder(vit, options.mean, options.std)


def _initialise(vit: VisionTransformer) -> None:
    """First weights as the published systems have them: Xavier, the patch embedding too (He et al., 2022)."""
    for module in vit.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.xavier_uniform_(vit.patch_embed.proj.weight.view(vit.embed_dim, -1))
    for token in (vit.cls_token, vit.reg_token):
        if token is not None:
            nn.init.normal_(token, std=0.02)


def _fix_positions(vit: VisionTransformer) -> None:
    if vit.pos_embed is None:
        return
    grid = vit.patch_embed.grid_size
    prefix = vit.pos_embed.shape[1] - math.prod(grid)  # pyright: ignore[reportArgumentType]
    with torch.no_grad():
        vit.pos_embed.copy_(sincos_positions(tuple(grid), vit.embed_dim, prefix).unsqueeze(0))  # pyright: ignore[reportArgumentType]
    vit.pos_embed.requires_grad_(False)
