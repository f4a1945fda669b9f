"""Convert masked autoencoders to and from transformers' ViTMAE format (He et al., 2022), without transformers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from auxface.encoders import ColumnShapedEncoder
from auxface.errors import InputError
from auxface.model.transformer_blocks import block_to_timm, block_to_transformers, published_name, split_blocks
from auxface.objectives import Reconstruction
from auxface.output_folder import added_files

if TYPE_CHECKING:
    from auxface.model.joint import JointModel

_ENCODER = "encoder.vit."
_DECODER = "auxiliaries.reconstruction.decoder."
_PAIRS = (
    ("encoder.vit.cls_token", "vit.embeddings.cls_token"),
    ("encoder.vit.pos_embed", "vit.embeddings.position_embeddings"),
    ("encoder.vit.patch_embed.proj.weight", "vit.embeddings.patch_embeddings.projection.weight"),
    ("encoder.vit.patch_embed.proj.bias", "vit.embeddings.patch_embeddings.projection.bias"),
    ("encoder.vit.norm.weight", "vit.layernorm.weight"),
    ("encoder.vit.norm.bias", "vit.layernorm.bias"),
    (_DECODER + "mask_token", "decoder.mask_token"),
    (_DECODER + "embed.weight", "decoder.decoder_embed.weight"),
    (_DECODER + "embed.bias", "decoder.decoder_embed.bias"),
    (_DECODER + "norm.weight", "decoder.decoder_norm.weight"),
    (_DECODER + "norm.bias", "decoder.decoder_norm.bias"),
    (_DECODER + "predict.rgb.weight", "decoder.decoder_pred.weight"),
    (_DECODER + "predict.rgb.bias", "decoder.decoder_pred.bias"),
)
_BLOCKS = ((_ENCODER + "blocks.", "vit.encoder.layer."), (_DECODER + "blocks.", "decoder.decoder_layers."))
_DECODER_POSITIONS = "decoder.decoder_pos_embed"


def from_vitmae(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of a ViTMAE, with or without decoder, to those of a :class:`JointModel`.

    The decoder's positions are dropped: they are fixed, and :class:`JointModel` makes them. Unknown names are kept.
    """
    has_prefix = any(name.startswith("vit.") for name in weights)
    left = {published_name(name if has_prefix else f"vit.{name}"): value for name, value in weights.items()}
    left.pop(_DECODER_POSITIONS, None)
    found = {ours: left.pop(theirs) for ours, theirs in _PAIRS if theirs in left}
    for ours, theirs in _BLOCKS:
        blocks, left = split_blocks(left, theirs)
        for number, block in blocks.items():
            found |= {f"{ours}{number}.{name}": value for name, value in block_to_timm(block).items()}
    return found | left


def to_vitmae(model: "JointModel") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return weights and configuration of ``transformers.ViTMAEForPreTraining`` for a model that reconstructs RGB.

    Raises:
        InputError: the encoder is not a plain Vision Transformer with a class token, or the decoder has other targets
            than RGB.
    """
    encoder, auxiliary = _convertible_parts(model)
    vit, decoder = encoder.vit, auxiliary.decoder
    left = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    weights = {theirs: left[ours] for ours, theirs in _PAIRS}
    weights[_DECODER_POSITIONS] = F.pad(decoder.positions.detach().cpu(), (0, 0, 1, 0))
    for ours, theirs in _BLOCKS:
        for number, block in split_blocks(left, ours)[0].items():
            weights |= {f"{theirs}{number}.{name}": value for name, value in block_to_transformers(block).items()}
    config = {
        "architectures": ["ViTMAEForPreTraining"],
        "model_type": "vit_mae",
        "hidden_act": "gelu",
        "hidden_size": encoder.width,
        "num_hidden_layers": len(vit.blocks),
        "num_attention_heads": vit.blocks[0].attn.num_heads,
        "intermediate_size": vit.blocks[0].mlp.fc1.out_features,
        "layer_norm_eps": vit.norm.eps,
        "qkv_bias": True,
        "image_size": encoder.image_size,
        "patch_size": encoder.patch_size,
        "num_channels": 3,
        "decoder_hidden_size": decoder.embed.out_features,
        "decoder_num_hidden_layers": len(decoder.blocks),
        "decoder_num_attention_heads": decoder.heads,
        "decoder_intermediate_size": 4 * decoder.embed.out_features,
        "mask_ratio": auxiliary.options.mask_ratio,
        "norm_pix_loss": auxiliary.options.normalize_target,
    }
    return {name: value.contiguous() for name, value in weights.items()}, config


def save_vitmae(model: "JointModel", folder: Path) -> None:
    """Write a folder that ``ViTMAEForPreTraining.from_pretrained`` reads; other files in it are kept.

    Raises:
        InputError: as :func:`to_vitmae`.
    """
    weights, config = to_vitmae(model)
    with added_files(folder) as temporary:
        safetensors.torch.save_file(weights, temporary / "model.safetensors", metadata={"format": "pt"})
        (temporary / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def _convertible_parts(model: "JointModel") -> tuple[ColumnShapedEncoder, Reconstruction]:
    encoder = model.encoder
    names = [name for name in model.state_dict() if name.startswith(_ENCODER)]
    known = dict(_PAIRS)
    plain = all(name in known or name.startswith(f"{_ENCODER}blocks.") for name in names)
    if not (isinstance(encoder, ColumnShapedEncoder) and type(encoder.vit) is VisionTransformer and plain) or (
        encoder.vit.global_pool != "token"
    ):
        raise InputError(
            f"encoder '{model.recipe.encoder.name}' cannot be written as ViTMAE, which is a plain Vision Transformer "
            "with a class token"
        )
    auxiliary = dict(model.auxiliaries).get("reconstruction")
    if not isinstance(auxiliary, Reconstruction) or list(auxiliary.outputs) != ["rgb"]:
        raise InputError("ViTMAE reconstructs RGB alone; this model does not")
    return encoder, auxiliary
