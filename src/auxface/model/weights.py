"""Initial weights of an encoder from a local file: an auxface model, ViTMAE, VideoMAE, or a timm model.

ViTMAE and VideoMAE weights are read in the format of the transformers library. Weights of an image encoder are inflated
for a video encoder (Carreira and Zisserman, 2017).
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
from auxface.model.convert_mae import from_videomae, from_vitmae

WEIGHTS = "model.safetensors"
_ENCODER = "encoder."
# Prefixes of the names of weights that do not belong to the encoder.
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
_AUXFACE_ONLY = ("mask_patch", "masked_")
_SHOWN = 4
_VIT = "vit."
_PATCHES = "patch_embed.proj."
# A video encoder has neither a class token nor learned position embeddings.
_DROPPED = ("cls_token", "reg_token", "pos_embed", "dist_token")


def load_initial_weights(encoder: MaskableEncoder, source: str | Path) -> None:
    """Load weights into an encoder; the weights of a decoder or classifier in the file are ignored.

    Position embeddings and patch embeddings of another size are resampled. Fixed sine-cosine position embeddings are
    not replaced. A video encoder also accepts weights of an image encoder; see :func:`inflate_weights`.

    Args:
        encoder: the encoder.
        source: folder that contains ``model.safetensors``, or safetensors file.

    Raises:
        InputError: the file does not exist, is a pickle file, or contains weights that do not match the encoder. The
            message names missing and unexpected weights.
    """
    path = _weights_file(Path(source))
    try:
        weights = safetensors.torch.load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({str(error).splitlines()[0]})") from None
    found = _fitted(encoder, _encoder_names(encoder, weights))
    expected = encoder.state_dict()
    shapes = [
        f"'{name}' is {_by(value.shape)}, expected {_by(expected[name].shape)}"
        for name, value in found.items()
        if name in expected and value.shape != expected[name].shape
    ]
    missing = [name for name in expected if name not in found and not _is_auxface_only(name)]
    unexpected = [name for name in found if name not in expected]
    problems = [
        f"{len(names)} {what}: {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
        for what, names in (("missing", missing), ("unexpected", unexpected), ("with a different shape", shapes))
        if names
    ]
    if problems:
        raise InputError(f"{path}: the weights do not match the encoder ({'; '.join(problems)})")
    encoder.load_state_dict(found, strict=False)


def inflate_weights(weights: Mapping[str, Tensor], encoder: VideoEncoder) -> dict[str, Tensor]:
    """Convert the weights of an image Vision Transformer, ``vit.*``, to weights of a video encoder.

    The patch embedding is repeated over the frames of a tubelet and divided by the number of frames, so that a clip of
    identical frames has the same embedding as a single frame. Blocks and norms are copied. The class token and the
    position embeddings are dropped, because a video encoder averages its tokens and has its own position embeddings.
    Unknown names are kept.

    Args:
        weights: weights of the image encoder.
        encoder: the video encoder, from which tubelet and patch sizes are read.
    """
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        bare = name.removeprefix(_VIT)
        if bare in _DROPPED:
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
    """Copy the norm of tokens to the norm of pooled features, or vice versa, if one of the two is missing.

    A VideoMAE autoencoder has only the norm of tokens, a VideoMAE classifier has only the norm of pooled features, and
    an image encoder has either of these norms.
    """
    filled = dict(weights)
    for kind in ("weight", "bias"):
        one, other = f"norm.{kind}", f"pooled_norm.{kind}"
        for missing, present in ((one, other), (other, one)):
            if missing not in filled and present in filled:
                filled[missing] = filled[present].clone()
    return filled


def _named(bare: str) -> str:
    return bare.replace(_PATCHES, "patches.").replace("fc_norm.", "pooled_norm.")


def _weights_file(source: Path) -> Path:
    path = source / WEIGHTS if source.is_dir() else source
    pickles = [item.name for item in (source.iterdir() if source.is_dir() else [source])]
    pickles = [name for name in pickles if name.endswith((".bin", ".pth", ".pt", ".ckpt"))]
    if not path.is_file() or path.name in pickles:
        if pickles:
            raise InputError(
                f"{source}: {pickles[0]} is a pickle file, which can execute code when it is loaded; save the weights "
                "as safetensors (with transformers: from_pretrained(...).save_pretrained(...))"
            )
        raise InputError(
            f"{path}: no such file; encoder.init_from must name a folder with {WEIGHTS} or a safetensors file"
        )
    return path


def _encoder_names(encoder: MaskableEncoder, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights that belong to an encoder, with the names that the encoder uses."""
    if any("embeddings.patch_embeddings." in name for name in weights):
        weights = from_videomae(_with_prefix(weights)) if _are_video_weights(weights) else from_vitmae(weights)
    elif not any(name.startswith(_ENCODER) for name in weights):
        inner = "vit" if hasattr(encoder, "vit") or isinstance(encoder, VideoEncoder) else "backbone"
        weights = {
            name if name.startswith(_NO_ENCODER) else f"{_ENCODER}{inner}.{name}": v for name, v in weights.items()
        }
    kept = {name: value for name, value in weights.items() if not name.startswith(_NO_ENCODER)}
    return {name.removeprefix(_ENCODER): value for name, value in kept.items()}


def _fitted(encoder: MaskableEncoder, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Resize position and patch embeddings to the encoder."""
    if isinstance(encoder, VideoEncoder):
        return with_both_norms(inflate_weights(weights, encoder))
    if weights.get("patches.weight", torch.empty(0)).ndim == 5:
        raise InputError(
            "encoder.init_from: the file contains weights of a video encoder, but the recipe has an image encoder; "
            "choose a video encoder"
        )
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


def _are_video_weights(weights: dict[str, Tensor]) -> bool:
    return any(name.endswith("patch_embeddings.projection.weight") and v.ndim == 5 for name, v in weights.items())


def _with_prefix(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add the prefix that the weights of an encoder-only checkpoint lack."""
    if any(name.startswith("videomae.") for name in weights):
        return weights
    return {f"videomae.{name}": value for name, value in weights.items()}


def _is_auxface_only(name: str) -> bool:
    return any(part.startswith(_AUXFACE_ONLY) for part in name.split("."))


def _by(shape: torch.Size) -> str:
    return "x".join(map(str, shape))
