"""Convert masked autoencoders to and from the ViTMAE and VideoMAE formats of transformers, without transformers.

ViTMAE: He et al., 2022; VideoMAE: Tong et al., 2022.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from auxface.encoders import ColumnShapedEncoder, VideoEncoder
from auxface.errors import InputError
from auxface.objectives import Reconstruction
from auxface.output_folder import added_files

if TYPE_CHECKING:
    from auxface.model.joint import JointModel

_BLOCK_PAIRS = (
    ("norm1", "layernorm_before"),
    ("norm2", "layernorm_after"),
    ("attn.proj", "attention.output.dense"),
    ("mlp.fc1", "intermediate.dense"),
    ("mlp.fc2", "output.dense"),
)
_QUERY_KEY_VALUE = tuple(f"attention.attention.{part}" for part in ("query", "key", "value"))
# transformers 5 renames in memory what is published under the older names, and some versions write mixtures.
_RENAMED = (
    (r"^((?:\w+\.)?)layers\.(\d+)\.", r"\1encoder.layer.\2."),
    (r"^decoder\.decoder_encoder\.layer\.", "decoder.decoder_layers."),
    (r"\.attention\.q_proj\.", ".attention.attention.query."),
    (r"\.attention\.k_proj\.", ".attention.attention.key."),
    (r"\.attention\.v_proj\.", ".attention.attention.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
)


def published_name(name: str) -> str:
    """Return the published name of a weight, given its name in any version of transformers."""
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def block_to_timm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of one block, without the block's prefix, to timm's names; unknown names are kept."""
    left = dict(weights)
    found: dict[str, Tensor] = {}
    for kind in ("weight", "bias"):
        parts = [f"{part}.{kind}" for part in _QUERY_KEY_VALUE]
        if all(part in left for part in parts):
            found[f"attn.qkv.{kind}"] = torch.cat([left.pop(part) for part in parts])
        for ours, theirs in _BLOCK_PAIRS:
            if f"{theirs}.{kind}" in left:
                found[f"{ours}.{kind}"] = left.pop(f"{theirs}.{kind}")
    return found | left


def block_to_transformers(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of one block from timm's names; the inverse of :func:`block_to_timm`."""
    found: dict[str, Tensor] = {}
    for kind in ("weight", "bias"):
        thirds = weights[f"attn.qkv.{kind}"].chunk(3)
        found |= {f"{part}.{kind}": third.clone() for part, third in zip(_QUERY_KEY_VALUE, thirds, strict=True)}
        found |= {f"{theirs}.{kind}": weights[f"{ours}.{kind}"] for ours, theirs in _BLOCK_PAIRS}
    return found


def split_blocks(weights: Mapping[str, Tensor], prefix: str) -> tuple[dict[int, dict[str, Tensor]], dict[str, Tensor]]:
    """Split weights into those of each block, by number and without ``prefix`` + number, and all others."""
    blocks: dict[int, dict[str, Tensor]] = {}
    others: dict[str, Tensor] = {}
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.(.+)")
    for name, value in weights.items():
        match = pattern.fullmatch(name)
        if match is None:
            others[name] = value
        else:
            blocks.setdefault(int(match[1]), {})[match[2]] = value
    return blocks, others


_VITMAE_ENCODER = "encoder.vit."
_DECODER = "auxiliaries.reconstruction.decoder."
_VITMAE_PAIRS = (
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
_VITMAE_BLOCKS = (
    (_VITMAE_ENCODER + "blocks.", "vit.encoder.layer."),
    (_DECODER + "blocks.", "decoder.decoder_layers."),
)
_VITMAE_DECODER_POSITIONS = "decoder.decoder_pos_embed"


def from_vitmae(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of a ViTMAE, with or without decoder, to those of a :class:`JointModel`.

    The decoder's positions are dropped: they are fixed, and :class:`JointModel` makes them. Unknown names are kept.
    """
    has_prefix = any(name.startswith("vit.") for name in weights)
    left = {published_name(name if has_prefix else f"vit.{name}"): value for name, value in weights.items()}
    left.pop(_VITMAE_DECODER_POSITIONS, None)
    found = {ours: left.pop(theirs) for ours, theirs in _VITMAE_PAIRS if theirs in left}
    for ours, theirs in _VITMAE_BLOCKS:
        blocks, left = split_blocks(left, theirs)
        for number, block in blocks.items():
            found |= {f"{ours}{number}.{name}": value for name, value in block_to_timm(block).items()}
    return found | left


def to_vitmae(model: "JointModel") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return weights and configuration of ``transformers.ViTMAEForPreTraining`` for a model that reconstructs RGB.

    Raises:
        InputError: the encoder is not a plain Vision Transformer with a class token, or the decoder has targets other
            than RGB.
    """
    encoder, auxiliary = _convertible_parts(model)
    vit, decoder = encoder.vit, auxiliary.decoder
    left = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    weights = {theirs: left[ours] for ours, theirs in _VITMAE_PAIRS}
    weights[_VITMAE_DECODER_POSITIONS] = F.pad(decoder.positions.detach().cpu(), (0, 0, 1, 0))
    for ours, theirs in _VITMAE_BLOCKS:
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
    names = [name for name in model.state_dict() if name.startswith(_VITMAE_ENCODER)]
    known = dict(_VITMAE_PAIRS)
    plain = all(name in known or name.startswith(f"{_VITMAE_ENCODER}blocks.") for name in names)
    if not (isinstance(encoder, ColumnShapedEncoder) and type(encoder.vit) is VisionTransformer and plain) or (
        encoder.vit.global_pool != "token"
    ):
        raise InputError(
            f"encoder '{model.recipe.encoder.name}' cannot be saved as ViTMAE, which is a plain Vision Transformer "
            "with a class token"
        )
    auxiliary = dict(model.auxiliaries).get("reconstruction")
    if not isinstance(auxiliary, Reconstruction) or list(auxiliary.outputs) != ["rgb"]:
        raise InputError("ViTMAE reconstructs only RGB; this model has other targets or no decoder")
    return encoder, auxiliary


_VIDEOMAE_PAIRS = (
    ("encoder.patches.weight", "videomae.embeddings.patch_embeddings.projection.weight"),
    ("encoder.patches.bias", "videomae.embeddings.patch_embeddings.projection.bias"),
    ("encoder.norm.weight", "videomae.layernorm.weight"),
    ("encoder.norm.bias", "videomae.layernorm.bias"),
    ("encoder.pooled_norm.weight", "fc_norm.weight"),
    ("encoder.pooled_norm.bias", "fc_norm.bias"),
    (_DECODER + "mask_token", "mask_token"),
    (_DECODER + "embed.weight", "encoder_to_decoder.weight"),
    (_DECODER + "norm.weight", "decoder.norm.weight"),
    (_DECODER + "norm.bias", "decoder.norm.bias"),
    (_DECODER + "predict.rgb.weight", "decoder.head.weight"),
    (_DECODER + "predict.rgb.bias", "decoder.head.bias"),
)
_VIDEOMAE_BLOCKS = (("encoder.blocks.", "videomae.encoder.layer."), (_DECODER + "blocks.", "decoder.decoder_layers."))
_VIDEOMAE_ATTENTION = "attention.attention."
_VIDEOMAE_BIASES = (("q_bias", "query.bias"), ("v_bias", "value.bias"))


def from_videomae(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of a VideoMAE, with or without decoder or classifier, to those of a :class:`JointModel`.

    VideoMAE has no bias of attention keys. Ours are set to zero, which gives the same attention. Unknown names are
    kept.
    """
    left = {published_name(name): value for name, value in weights.items()}
    found = {ours: left.pop(theirs) for ours, theirs in _VIDEOMAE_PAIRS if theirs in left}
    for ours, theirs in _VIDEOMAE_BLOCKS:
        blocks, left = split_blocks(left, theirs)
        for number, block in blocks.items():
            for published, name in _VIDEOMAE_BIASES:
                if _VIDEOMAE_ATTENTION + published in block:
                    block[_VIDEOMAE_ATTENTION + name] = block.pop(_VIDEOMAE_ATTENTION + published)
            query = block.get(_VIDEOMAE_ATTENTION + "query.bias")
            if query is not None:
                block[_VIDEOMAE_ATTENTION + "key.bias"] = torch.zeros_like(query)
            found |= {f"{ours}{number}.{name}": value for name, value in block_to_timm(block).items()}
    return found | left


def to_videomae(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert weights to the published names; the inverse of :func:`from_videomae`.

    Biases of keys, which do not change attention, and weights that VideoMAE lacks, such as a classifier, are dropped.
    """
    found = {theirs: weights[ours].clone() for ours, theirs in _VIDEOMAE_PAIRS if ours in weights}
    for ours, theirs in _VIDEOMAE_BLOCKS:
        for number, block in split_blocks(weights, ours)[0].items():
            named = block_to_transformers(block)
            del named[_VIDEOMAE_ATTENTION + "key.bias"]
            for published, name in _VIDEOMAE_BIASES:
                named[_VIDEOMAE_ATTENTION + published] = named.pop(_VIDEOMAE_ATTENTION + name)
            found |= {f"{theirs}{number}.{name}": value for name, value in named.items()}
    return found


def save_videomae(model: "JointModel", folder: Path) -> None:
    """Write a folder that ``VideoMAEForPreTraining.from_pretrained`` reads; other files in it are kept.

    Raises:
        InputError: the model has no video encoder, or its decoder has targets other than RGB.
    """
    config = _videomae_config(model)
    weights = to_videomae({name: value.detach().cpu() for name, value in model.state_dict().items()})
    # The norm of a classifier, which a masked autoencoder lacks.
    weights = {name: value.contiguous() for name, value in weights.items() if not name.startswith("fc_norm.")}
    with added_files(folder) as temporary:
        safetensors.torch.save_file(weights, temporary / "model.safetensors", metadata={"format": "pt"})
        (temporary / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def _videomae_config(model: "JointModel") -> dict[str, Any]:
    encoder = model.encoder
    auxiliary = dict(model.auxiliaries).get("reconstruction")
    if not isinstance(encoder, VideoEncoder):
        raise InputError(f"encoder '{model.recipe.encoder.name}' is an image encoder; VideoMAE is a video encoder")
    if not isinstance(auxiliary, Reconstruction) or list(auxiliary.outputs) != ["rgb"]:
        raise InputError("VideoMAE reconstructs only RGB; this model has other targets or no decoder")
    block: Any = encoder.blocks[0]
    decoder = auxiliary.decoder
    return {
        "architectures": ["VideoMAEForPreTraining"],
        "model_type": "videomae",
        "hidden_act": "gelu",
        "hidden_size": encoder.width,
        "num_hidden_layers": len(encoder.blocks),
        "num_attention_heads": block.attn.num_heads,
        "intermediate_size": block.mlp.fc1.out_features,
        "layer_norm_eps": encoder.norm.eps,
        "qkv_bias": True,
        "image_size": encoder.image_size,
        "patch_size": encoder.patch_size,
        "num_channels": 3,
        "num_frames": encoder.frames,
        "tubelet_size": encoder.tubelet,
        "use_mean_pooling": False,
        "decoder_hidden_size": decoder.width,
        "decoder_num_hidden_layers": len(decoder.blocks),
        "decoder_num_attention_heads": decoder.heads,
        "decoder_intermediate_size": 4 * decoder.width,
        "norm_pix_loss": auxiliary.options.normalize_target,
    }
