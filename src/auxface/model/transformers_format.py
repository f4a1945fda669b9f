"""Names of a transformer block's weights in timm and in published transformers checkpoints.

Masked autoencoders (He et al., 2022) in transformers' ViTMAE format, both ways, without transformers.

VideoMAE (Tong et al., 2022) in transformers' format, both ways, without transformers.
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


_PAIRS = (
    ("norm1", "layernorm_before"),
    ("norm2", "layernorm_after"),
    ("attn.proj", "attention.output.dense"),
    ("mlp.fc1", "intermediate.dense"),
    ("mlp.fc2", "output.dense"),
)
_QUERY_KEY_VALUE = tuple(f"attention.attention.{part}" for part in ("query", "key", "value"))
# transformers 5 renames in memory what it publishes under the older names, and some versions write mixtures.
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
    """A weight's name in the published form, whichever version of transformers wrote it."""
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def block_to_timm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One block's weights, names without the block's prefix, to timm's names; what is not known stays as it is."""
    left = dict(weights)
    found: dict[str, Tensor] = {}
    for kind in ("weight", "bias"):
        parts = [f"{part}.{kind}" for part in _QUERY_KEY_VALUE]
        if all(part in left for part in parts):
            found[f"attn.qkv.{kind}"] = torch.cat([left.pop(part) for part in parts])
        for ours, theirs in _PAIRS:
            if f"{theirs}.{kind}" in left:
                found[f"{ours}.{kind}"] = left.pop(f"{theirs}.{kind}")
    return found | left


def block_to_transformers(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of :func:`block_to_timm`."""
    found: dict[str, Tensor] = {}
    for kind in ("weight", "bias"):
        thirds = weights[f"attn.qkv.{kind}"].chunk(3)
        found |= {f"{part}.{kind}": third.clone() for part, third in zip(_QUERY_KEY_VALUE, thirds, strict=True)}
        found |= {f"{theirs}.{kind}": weights[f"{ours}.{kind}"] for ours, theirs in _PAIRS}
    return found


def split_blocks(weights: Mapping[str, Tensor], prefix: str) -> tuple[dict[int, dict[str, Tensor]], dict[str, Tensor]]:
    """Weights below ``prefix`` + number, by number and without it, and all the others."""
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


_ENCODER = "encoder.vit."
_DECODER = "auxiliaries.reconstruction.decoder."
_PAIRS_mae = (
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


def from_transformers(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a ViTMAE (with or without decoder) under the names that they have in a :class:`JointModel`.

    The decoder's positions are left out: they are fixed, and :class:`JointModel` makes them. A name that is not known
    stays as it is.
    """
    whole = any(name.startswith("vit.") for name in weights)
    left = {published_name(name if whole else f"vit.{name}"): value for name, value in weights.items()}
    left.pop(_DECODER_POSITIONS, None)
    found = {ours: left.pop(theirs) for ours, theirs in _PAIRS_mae if theirs in left}
    for ours, theirs in _BLOCKS:
        blocks, left = split_blocks(left, theirs)
        for number, block in blocks.items():
            found |= {f"{ours}{number}.{name}": value for name, value in block_to_timm(block).items()}
    return found | left


def to_transformers(model: "JointModel") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights and configuration of ``transformers.ViTMAEForPreTraining``, of a model that rebuilds RGB.

    Raises:
        InputError: the model is not a plain Vision Transformer with a class token, or its decoder does not rebuild RGB
            alone.
    """
    encoder, auxiliary = _parts(model)
    vit, decoder = encoder.vit, auxiliary.decoder
    left = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    weights = {theirs: left[ours] for ours, theirs in _PAIRS_mae}
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
        "decoder_num_hidden_layers": auxiliary.options.decoder_depth,
        "decoder_num_attention_heads": auxiliary.options.decoder_heads,
        "decoder_intermediate_size": 4 * decoder.embed.out_features,
        "mask_ratio": auxiliary.options.mask_ratio,
        "norm_pix_loss": auxiliary.options.normalize_target,
    }
    return {name: value.contiguous() for name, value in weights.items()}, config


def save_mae(model: "JointModel", folder: Path) -> None:
    """Write a directory that ``ViTMAEForPreTraining.from_pretrained`` reads; other files in it stay.

    Raises:
        InputError: as :func:`to_transformers`.
    """
    weights, config = to_transformers(model)
    with added_files(folder) as beside:
        safetensors.torch.save_file(weights, beside / "model.safetensors", metadata={"format": "pt"})
        (beside / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def _parts(model: "JointModel") -> tuple[ColumnShapedEncoder, Reconstruction]:
    encoder = model.encoder
    names = [name for name in model.state_dict() if name.startswith(_ENCODER)]
    known = dict(_PAIRS_mae)
    plain = all(name in known or name.startswith(f"{_ENCODER}blocks.") for name in names)
    if not (isinstance(encoder, ColumnShapedEncoder) and type(encoder.vit) is VisionTransformer and plain) or (
        encoder.vit.global_pool != "token"
    ):
        raise InputError(
            f"encoder '{model.recipe.encoder.name}' is no plain Vision Transformer with a class token, which ViTMAE is"
        )
    auxiliary = dict(model.auxiliaries).get("reconstruction")
    if not isinstance(auxiliary, Reconstruction) or list(auxiliary.outputs) != ["rgb"]:
        raise InputError("ViTMAE rebuilds RGB alone; this model does not")
    return encoder, auxiliary


_DECODER_videomae = "auxiliaries.reconstruction.decoder."
_PAIRS_videomae = (
    ("encoder.patches.weight", "videomae.embeddings.patch_embeddings.projection.weight"),
    ("encoder.patches.bias", "videomae.embeddings.patch_embeddings.projection.bias"),
    ("encoder.norm.weight", "videomae.layernorm.weight"),
    ("encoder.norm.bias", "videomae.layernorm.bias"),
    ("encoder.pooled_norm.weight", "fc_norm.weight"),
    ("encoder.pooled_norm.bias", "fc_norm.bias"),
    (_DECODER_videomae + "mask_token", "mask_token"),
    (_DECODER_videomae + "embed.weight", "encoder_to_decoder.weight"),
    (_DECODER_videomae + "norm.weight", "decoder.norm.weight"),
    (_DECODER_videomae + "norm.bias", "decoder.norm.bias"),
    (_DECODER_videomae + "predict.rgb.weight", "decoder.head.weight"),
    (_DECODER_videomae + "predict.rgb.bias", "decoder.head.bias"),
)
_BLOCKS_videomae = (
    ("encoder.blocks.", "videomae.encoder.layer."),
    (_DECODER_videomae + "blocks.", "decoder.decoder_layers."),
)
_ATTENTION = "attention.attention."
_BIASES = (("q_bias", "query.bias"), ("v_bias", "value.bias"))


def from_videomae(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a VideoMAE, with decoder or classifier or without, under the names that they have in ours.

    It has no bias of keys; ours gets zeros, which attention does not notice. A name that is not known stays as it is.
    """
    left = {published_name(name): value for name, value in weights.items()}
    found = {ours: left.pop(theirs) for ours, theirs in _PAIRS_videomae if theirs in left}
    for ours, theirs in _BLOCKS_videomae:
        blocks, left = split_blocks(left, theirs)
        for number, block in blocks.items():
            for published, name in _BIASES:
                if _ATTENTION + published in block:
                    block[_ATTENTION + name] = block.pop(_ATTENTION + published)
            query = block.get(_ATTENTION + "query.bias")
            if query is not None:
                block[_ATTENTION + "key.bias"] = torch.zeros_like(query)
            found |= {f"{ours}{number}.{name}": value for name, value in block_to_timm(block).items()}
    return found | left


def to_videomae(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of :func:`from_videomae`, in the published names; biases of keys, which change nothing, are left out.

    What has no place in a VideoMAE, such as a classifier of ours, is left out too.
    """
    found = {theirs: weights[ours].clone() for ours, theirs in _PAIRS_videomae if ours in weights}
    for ours, theirs in _BLOCKS_videomae:
        for number, block in split_blocks(weights, ours)[0].items():
            named = block_to_transformers(block)
            del named[_ATTENTION + "key.bias"]
            for published, name in _BIASES:
                named[_ATTENTION + published] = named.pop(_ATTENTION + name)
            found |= {f"{theirs}{number}.{name}": value for name, value in named.items()}
    return found


def save_videomae(model: "JointModel", folder: Path) -> None:
    """Write a directory that ``VideoMAEForPreTraining.from_pretrained`` reads; other files in it stay.

    Raises:
        InputError: the model is not of clips, or its decoder does not rebuild RGB alone.
    """
    config = _config(model)
    weights = to_videomae({name: value.detach().cpu() for name, value in model.state_dict().items()})
    # Of the classifier, which a masked autoencoder lacks.
    weights = {name: value.contiguous() for name, value in weights.items() if not name.startswith("fc_norm.")}
    with added_files(folder) as beside:
        safetensors.torch.save_file(weights, beside / "model.safetensors", metadata={"format": "pt"})
        (beside / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def _config(model: "JointModel") -> dict[str, Any]:
    encoder = model.encoder
    auxiliary = dict(model.auxiliaries).get("reconstruction")
    if not isinstance(encoder, VideoEncoder):
        raise InputError(f"encoder '{model.recipe.encoder.name}' sees images; VideoMAE sees clips")
    if not isinstance(auxiliary, Reconstruction) or list(auxiliary.outputs) != ["rgb"]:
        raise InputError("VideoMAE rebuilds RGB alone; this model does not")
    block: Any = encoder.blocks[0]
    options = auxiliary.options
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
        "decoder_hidden_size": options.decoder_width,
        "decoder_num_hidden_layers": options.decoder_depth,
        "decoder_num_attention_heads": options.decoder_heads,
        "decoder_intermediate_size": 4 * options.decoder_width,
        "norm_pix_loss": options.normalize_target,
    }
