"""First weights of an encoder from a local file: an auxface model, transformers' ViTMAE or VideoMAE, timm's names.

Weights of images for an encoder of clips (Carreira and Zisserman, 2017).
"""

import math
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from timm.layers.patch_embed import resample_patch_embed
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor

from auxface.encoders import MaskableEncoder
from auxface.encoders.video_encoder import VideoEncoder, inflate
from auxface.errors import InputError
from auxface.model.transformers_format import from_transformers, from_videomae

_VIT = "vit."
_PATCHES = "patch_embed.proj."
# A clip has neither class token nor learned positions.
_LEFT_OUT = ("cls_token", "reg_token", "pos_embed", "dist_token")


def inflate_weights(weights: Mapping[str, Tensor], encoder: VideoEncoder) -> dict[str, Tensor]:
    """Weights of a Vision Transformer of images, ``vit.*``, under the names of an encoder of clips.

    The patch embedding is repeated over the frames of a tubelet and divided by their number, so that a clip that stands
    still is embedded as its image is. Blocks and norms are copied. Class token and positions are left out: clips are
    pooled by their mean and have positions of their own. A name that is not known stays as it is.

    Args:
        weights: of the image's encoder.
        encoder: whose tubelet and patch sizes are wanted.
    """
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        bare = name.removeprefix(_VIT)
        if bare in _LEFT_OUT:
            continue
        if bare == _PATCHES + "weight" and value.ndim == 4:
            side = [encoder.patch_size] * 2
            fitted = value if list(value.shape[2:]) == side else resample_patch_embed(value, side)
            found["patches.weight"] = inflate(fitted, encoder.tubelet)
        else:
            known = bare == _PATCHES + "bias" or bare.startswith(("blocks.", "norm.", "fc_norm."))
            found[_named(bare) if known else name] = value
    return found


def with_both_norms(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights with the norm of tokens for that of the mean, or the other way round, where one of them lacks.

    A masked autoencoder of VideoMAE has the first alone, a classifier the second, an image's encoder one of them.
    """
    filled = dict(weights)
    for kind in ("weight", "bias"):
        one, other = f"norm.{kind}", f"pooled_norm.{kind}"
        for lacking, there in ((one, other), (other, one)):
            if lacking not in filled and there in filled:
                filled[lacking] = filled[there].clone()
    return filled


def _named(bare: str) -> str:
    return bare.replace(_PATCHES, "patches.").replace("fc_norm.", "pooled_norm.")


WEIGHTS = "model.safetensors"
_ENCODER = "encoder."
# Parts of a checkpoint that are no part of an encoder.
_NO_ENCODER = (
    "auxiliaries.",
    "primary.",
    "fusion.",
    "balance.",
    "decoder.",
    "head.",
    "classifier.",
    "mask_token",
)
_OURS_ALONE = ("mask_patch", "masked_")
_SHOWN = 4


def load_initial_weights(encoder: MaskableEncoder, source: str | Path) -> None:
    """Load an encoder's weights; a decoder or classifier beside them is left out.

    Positions and patch embeddings of another size are resampled; fixed sine-cosine positions stay as they are. An
    encoder of clips takes weights of images too, see :func:`auxface.model.weights.inflate_weights`.

    Args:
        encoder: gets the weights.
        source: a directory with ``model.safetensors``, or a safetensors file.

    Raises:
        InputError: no such file, no weights that can be read without a pickle, or weights that do not fit; missing and
            unexpected names are told.
    """
    path = _weights_file(Path(source))
    try:
        weights = safetensors.torch.load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({str(error).splitlines()[0]})") from None
    found = _fitted(encoder, _encoder_names(encoder, weights))
    wanted = encoder.state_dict()
    shapes = [
        f"'{name}' is {_by(value.shape)}, expected {_by(wanted[name].shape)}"
        for name, value in found.items()
        if name in wanted and value.shape != wanted[name].shape
    ]
    missing = [name for name in wanted if name not in found and not _is_ours_alone(name)]
    unexpected = [name for name in found if name not in wanted]
    problems = [
        f"{len(names)} {what}: {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
        if names
    ]
    if problems:
        raise InputError(f"{path}: its weights do not fit the encoder ({'; '.join(problems)})")
    encoder.load_state_dict(found, strict=False)


def _weights_file(source: Path) -> Path:
    path = source / WEIGHTS if source.is_dir() else source
    pickles = [item.name for item in (source.iterdir() if source.is_dir() else [source])]
    pickles = [name for name in pickles if name.endswith((".bin", ".pth", ".pt", ".ckpt"))]
    if not path.is_file() or path.name in pickles:
        if pickles:
            raise InputError(
                f"{source}: {pickles[0]} is a pickle, which can run code and is not read; save it once as safetensors "
                "(with transformers: from_pretrained(...).save_pretrained(...))"
            )
        raise InputError(f"{path}: encoder.init_from names no such file; expected {WEIGHTS} or a safetensors file")
    return path


def _encoder_names(encoder: MaskableEncoder, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights that belong to an encoder, under the names of ours."""
    if any("embeddings.patch_embeddings." in name for name in weights):
        weights = from_videomae(_whole(weights)) if _are_of_clips(weights) else from_transformers(weights)
    elif not any(name.startswith(_ENCODER) for name in weights):
        inner = "vit" if hasattr(encoder, "vit") or isinstance(encoder, VideoEncoder) else "backbone"
        weights = {
            name if name.startswith(_NO_ENCODER) else f"{_ENCODER}{inner}.{name}": v for name, v in weights.items()
        }
    kept = {name: value for name, value in weights.items() if not name.startswith(_NO_ENCODER)}
    return {name.removeprefix(_ENCODER): value for name, value in kept.items()}


def _fitted(encoder: MaskableEncoder, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights with positions and patch embedding of the encoder's own sizes."""
    if isinstance(encoder, VideoEncoder):
        return with_both_norms(inflate_weights(weights, encoder))
    if weights.get("patches.weight", torch.empty(0)).ndim == 5:
        raise InputError("encoder.init_from: weights of clips fit no encoder of images; name an encoder of clips")
    vit = getattr(encoder, "vit", None)
    if vit is None:
        return weights
    fitted = dict(weights)
    patches = fitted.get("vit.patch_embed.proj.weight")
    if patches is not None and patches.ndim == 4 and patches.shape[2:] != vit.patch_embed.proj.weight.shape[2:]:
        fitted["vit.patch_embed.proj.weight"] = resample_patch_embed(patches, [encoder.patch_size] * 2)
    positions = fitted.get("vit.pos_embed")
    if positions is not None and vit.pos_embed is not None and positions.shape[1] != vit.pos_embed.shape[1]:
        prefix = vit.pos_embed.shape[1] - math.prod(encoder.grid)
        if not vit.pos_embed.requires_grad:
            fitted["vit.pos_embed"] = vit.pos_embed.detach().clone()
        elif math.isqrt(positions.shape[1] - prefix) ** 2 == positions.shape[1] - prefix:
            with torch.no_grad():
                fitted["vit.pos_embed"] = resample_abs_pos_embed(
                    positions, list(encoder.grid), num_prefix_tokens=prefix
                )
    return fitted


def _are_of_clips(weights: dict[str, Tensor]) -> bool:
    return any(name.endswith("patch_embeddings.projection.weight") and v.ndim == 5 for name, v in weights.items())


def _whole(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names of a whole VideoMAE, also of a checkpoint that holds its encoder alone."""
    if any(name.startswith("videomae.") for name in weights):
        return weights
    return {f"videomae.{name}": value for name, value in weights.items()}


def _is_ours_alone(name: str) -> bool:
    return any(part.startswith(_OURS_ALONE) for part in name.split("."))


def _by(shape: torch.Size) -> str:
    return "x".join(map(str, shape))
