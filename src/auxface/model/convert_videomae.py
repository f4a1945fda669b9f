"""Convert masked video autoencoders to and from transformers' VideoMAE format (Tong et al., 2022)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from torch import Tensor

from auxface.encoders import VideoEncoder
from auxface.errors import InputError
from auxface.model.transformer_blocks import block_to_timm, block_to_transformers, published_name, split_blocks
from auxface.objectives import Reconstruction
from auxface.output_folder import added_files

if TYPE_CHECKING:
    from auxface.model.joint import JointModel

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
    """Rename the weights of a VideoMAE, with or without decoder or classifier, to those of a :class:`JointModel`.

    VideoMAE has no bias of attention keys. Ours are set to zero, which gives the same attention. Unknown names are
    kept.
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
    """Convert weights to the published names; the inverse of :func:`from_videomae`.

    Biases of keys, which do not change attention, and weights that VideoMAE lacks, such as a classifier, are dropped.
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


def save_videomae(model: "JointModel", folder: Path) -> None:
    """Write a folder that ``VideoMAEForPreTraining.from_pretrained`` reads; other files in it are kept.

    Raises:
        InputError: the model has no video encoder, or its decoder has other targets than RGB.
    """
    config = _config(model)
    weights = to_videomae({name: value.detach().cpu() for name, value in model.state_dict().items()})
    # The norm of a classifier, which a masked autoencoder lacks.
    weights = {name: value.contiguous() for name, value in weights.items() if not name.startswith("fc_norm.")}
    with added_files(folder) as temporary:
        safetensors.torch.save_file(weights, temporary / "model.safetensors", metadata={"format": "pt"})
        (temporary / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def _config(model: "JointModel") -> dict[str, Any]:
    encoder = model.encoder
    auxiliary = dict(model.auxiliaries).get("reconstruction")
    if not isinstance(encoder, VideoEncoder):
        raise InputError(f"encoder '{model.recipe.encoder.name}' is an image encoder; VideoMAE is a video encoder")
    if not isinstance(auxiliary, Reconstruction) or list(auxiliary.outputs) != ["rgb"]:
        raise InputError("VideoMAE reconstructs RGB alone; this model does not")
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
