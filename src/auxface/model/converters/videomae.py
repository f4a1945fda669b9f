"""VideoMAE (Tong et al., 2022) in transformers' format, both ways, without transformers."""

from collections.abc import Mapping

import torch
from torch import Tensor

from auxface.model.converters.blocks import block_to_timm, block_to_transformers, published_name, split_blocks

_DECODER = "auxiliaries.reconstruction.decoder."
_PAIRS = (
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
_BLOCKS = (("encoder.blocks.", "videomae.encoder.layer."), (_DECODER + "blocks.", "decoder.decoder_layers."))
_ATTENTION = "attention.attention."
_BIASES = (("q_bias", "query.bias"), ("v_bias", "value.bias"))


def from_videomae(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a VideoMAE, with decoder or classifier or without, under the names that they have in ours.

    It has no bias of keys; ours gets zeros, which attention does not notice. A name that is not known stays as it is.
    """
    left = {published_name(name): value for name, value in weights.items()}
    found = {ours: left.pop(theirs) for ours, theirs in _PAIRS if theirs in left}
    for ours, theirs in _BLOCKS:
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
    found = {theirs: weights[ours].clone() for ours, theirs in _PAIRS if ours in weights}
    for ours, theirs in _BLOCKS:
        for number, block in split_blocks(weights, ours)[0].items():
            named = block_to_transformers(block)
            del named[_ATTENTION + "key.bias"]
            for published, name in _BIASES:
                named[_ATTENTION + published] = named.pop(_ATTENTION + name)
            found |= {f"{theirs}{number}.{name}": value for name, value in named.items()}
    return found
