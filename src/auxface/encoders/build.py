"""From the recipe's encoder section to an encoder with its first weights."""

import math
from typing import Any

import timm
import torch
from torch import nn

from auxface.encoders.columnar import ColumnarEncoder
from auxface.encoders.hierarchical import FeatureMapEncoder
from auxface.encoders.maskable import MaskableEncoder, sincos_positions
from auxface.encoders.registry import Family, family_of, register
from auxface.encoders.timm_model import Refused, create, is_in_modules, sizes_near
from auxface.errors import InputError
from auxface.plugins import nearest
from auxface.recipe import Encoder

_COLUMNAR = ("vision_transformer", "deit", "eva")


def build_encoder(options: Encoder) -> MaskableEncoder:
    """Make the encoder that a recipe asks for; random weights come from torch's current seed.

    Raises:
        InputError: no family knows the name, the model refuses the sizes, or its pre-trained weights cannot be had
            here.
    """
    family = family_of(options.name)
    if family is None:
        hint = nearest(options.name.partition(".")[0], timm.list_models(), count=5)
        raise InputError(f"encoder.name '{options.name}' is not a timm model{hint}")
    encoder = family.build(options)
    if options.num_frames is not None and len(encoder.grid) == 2:
        raise InputError(
            f"encoder '{options.name}' sees images; leave encoder.num_frames out, or name an encoder of clips: "
            "videomae_tiny, videomae_small, videomae_base"
        )
    if options.patch_size not in (None, encoder.patch_size):
        raise InputError(
            f"encoder '{options.name}' has patches of {encoder.patch_size} pixels, not {options.patch_size}; "
            "leave encoder.patch_size out"
        )
    return encoder


def build_columnar(options: Encoder) -> ColumnarEncoder:
    """A Vision Transformer, DeiT or EVA that drops hidden patches.

    Raises:
        InputError: as :func:`build_encoder`.
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
            f"{field} {getattr(options, field)}" for field in fields if getattr(options, field) is not None
        )
        raise InputError(f"encoder '{options.name}' cannot be built with {given}: {error}") from None
    side = vit.patch_embed.patch_size[0]
    if options.image_size % side:
        below = options.image_size // side * side
        raise InputError(
            f"encoder '{options.name}' has patches of {side} pixels, which do not tile {options.image_size}; "
            f"encoder.image_size can be {below} or {below + side}, or set encoder.patch_size"
        )
    if options.positions is not None and vit.pos_embed is None:
        raise InputError(f"encoder '{options.name}' adds no positions to its tokens; leave encoder.positions out")
    if not options.pretrained:
        _initialize(vit)
        if vit.pos_embed is not None and options.positions != "learned":
            _fix_positions(vit)
    return ColumnarEncoder(vit, options.mean, options.std)


def build_feature_map(options: Encoder) -> FeatureMapEncoder:
    """Any other timm model, hidden patches painted over in the image.

    Raises:
        InputError: as :func:`build_encoder`.
    """
    for field in ("width", "depth", "heads", "positions"):
        if getattr(options, field) is not None:
            raise InputError(f"encoder '{options.name}' takes no encoder.{field}; leave it out")
    arguments = {"drop_path_rate": options.drop_path or None, "output_stride": options.output_stride}
    try:
        try:
            model = create(options, {"img_size": options.image_size, **arguments})
        except TypeError:
            model = create(options, arguments)
        return FeatureMapEncoder(model, options.image_size, options.mean, options.std)
    except InputError:
        raise
    except (Refused, AssertionError, ValueError, RuntimeError) as error:
        reason = (str(error) or "it refuses them").splitlines()[0]
        raise InputError(
            f"encoder '{options.name}' takes no images of {options.image_size} pixels ({reason}); "
            f"encoder.image_size can be {sizes_near(options)}"
        ) from None


def _initialize(vit: Any) -> None:
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


def _fix_positions(vit: Any) -> None:
    grid = vit.patch_embed.grid_size
    prefix = vit.pos_embed.shape[1] - math.prod(grid)
    with torch.no_grad():
        vit.pos_embed.copy_(sincos_positions(tuple(grid), vit.embed_dim, prefix).unsqueeze(0))
    vit.pos_embed.requires_grad_(False)


register(
    Family(
        "feature map",
        timm.is_model,
        build_feature_map,
        examples=(
            "swinv2_tiny_window8_256",
            "convnextv2_atto",
            "pvt_v2_b0",
            "maxvit_pico_rw_256",
            "resnet10t",
            "efficientnet_b0",
            "mobilenetv4_conv_small_035",
            "vit_relpos_small_patch16_224",
        ),
    )
)
register(
    Family(
        "column",
        lambda name: is_in_modules(name, _COLUMNAR),
        build_columnar,
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
