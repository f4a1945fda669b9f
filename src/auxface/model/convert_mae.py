"""Rename weights of masked autoencoders between auxface and ViTMAE or VideoMAE of the transformers library.

ViTMAE: He et al., 2022; VideoMAE: Tong et al., 2022.
"""

import re
from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

_BLOCK_PAIRS = (
    ("norm1", "layernorm_before"),
    ("norm2", "layernorm_after"),
    ("attn.proj", "attention.output.dense"),
    ("mlp.fc1", "intermediate.dense"),
    ("mlp.fc2", "output.dense"),
)
_QUERY_KEY_VALUE = tuple(f"attention.attention.{part}" for part in ("query", "key", "value"))
# When loading, transformers 5 renames weights that were published under older names, and some versions save a mixture
# of old and new names.
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
    """Return the weights of each block, by block number and without the block's prefix, and all other weights."""
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
    """Rename the weights of a ViTMAE, with or without decoder, to the names of a :class:`JointModel`.

    The position embeddings of the decoder are dropped, because they are fixed and :class:`JointModel` creates them.
    Unknown names are kept.
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


def to_vitmae(weights: Mapping[str, Tensor], decoder_positions: Tensor) -> dict[str, Tensor]:
    """Rename the weights of a :class:`JointModel` to the names of a ViTMAE; the inverse of :func:`from_vitmae`.

    Args:
        weights: weights of the model.
        decoder_positions: position embeddings of the decoder, [1, T, D], without the embedding of the class token.
    """
    found = {theirs: weights[ours] for ours, theirs in _VITMAE_PAIRS}
    found[_VITMAE_DECODER_POSITIONS] = F.pad(decoder_positions, (0, 0, 1, 0))
    for ours, theirs in _VITMAE_BLOCKS:
        for number, block in split_blocks(weights, ours)[0].items():
            found |= {f"{theirs}{number}.{name}": value for name, value in block_to_transformers(block).items()}
    return found


def is_plain_vit(names: Iterable[str]) -> bool:
    """Return whether a ViTMAE can store all weights of an encoder, given the names in a :class:`JointModel`."""
    known = dict(_VITMAE_PAIRS)
    return all(
        name in known or name.startswith(f"{_VITMAE_ENCODER}blocks.")
        for name in names
        if name.startswith(_VITMAE_ENCODER)
    )


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
    """Rename the weights of a VideoMAE, with or without decoder or classifier, to the names of a :class:`JointModel`.

    VideoMAE has no biases for attention keys. The biases are set to zero, which gives the same attention. Unknown names
    are kept.
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
    """Rename the weights of a :class:`JointModel` to the names of a VideoMAE; the inverse of :func:`from_videomae`.

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
