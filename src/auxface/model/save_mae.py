"""Write a model as a ViTMAE or VideoMAE of the transformers library, which does not have to be installed.

Example::

    save_vitmae(model, Path("vitmae"))              # transformers.ViTMAEForPreTraining.from_pretrained("vitmae")
"""

import json
from pathlib import Path
from typing import Any

import safetensors.torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from auxface.encoders import ColumnShapedEncoder, VideoEncoder
from auxface.errors import InputError
from auxface.model.convert_mae import is_plain_vit, to_videomae, to_vitmae
from auxface.model.joint import JointModel
from auxface.objectives import Reconstruction
from auxface.output_folder import added_files


def save_vitmae(model: JointModel, folder: Path) -> None:
    """Write a folder that ``ViTMAEForPreTraining.from_pretrained`` reads; other files in the folder are kept.

    Raises:
        InputError: in the same cases as :func:`vitmae_files`.
    """
    weights, config = vitmae_files(model)
    with added_files(folder) as temporary:
        safetensors.torch.save_file(weights, temporary / "model.safetensors", metadata={"format": "pt"})
        (temporary / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def vitmae_files(model: JointModel) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the weights and configuration of a ``transformers.ViTMAEForPreTraining`` for a model.

    Raises:
        InputError: the encoder is not a plain Vision Transformer with a class token, or the decoder has targets other
            than RGB.
    """
    encoder, auxiliary = _convertible_parts(model)
    vit, decoder = encoder.vit, auxiliary.decoder
    own = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    weights = to_vitmae(own, decoder.positions.detach().cpu())
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


def _convertible_parts(model: JointModel) -> tuple[ColumnShapedEncoder, Reconstruction]:
    encoder = model.encoder
    plain = is_plain_vit(model.state_dict())
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


def save_videomae(model: JointModel, folder: Path) -> None:
    """Write a folder that ``VideoMAEForPreTraining.from_pretrained`` reads; other files in the folder are kept.

    Raises:
        InputError: the model has no video encoder, or its decoder has targets other than RGB.
    """
    config = _videomae_config(model)
    weights = to_videomae({name: value.detach().cpu() for name, value in model.state_dict().items()})
    # The norm of a classifier is dropped, because a masked autoencoder has no classifier.
    weights = {name: value.contiguous() for name, value in weights.items() if not name.startswith("fc_norm.")}
    with added_files(folder) as temporary:
        safetensors.torch.save_file(weights, temporary / "model.safetensors", metadata={"format": "pt"})
        (temporary / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def _videomae_config(model: JointModel) -> dict[str, Any]:
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
