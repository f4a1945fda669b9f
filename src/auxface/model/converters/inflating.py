"""Weights of pictures for an encoder of clips (Carreira and Zisserman, 2017)."""

from collections.abc import Mapping

from timm.layers.patch_embed import resample_patch_embed
from torch import Tensor

from auxface.encoders.video import VideoEncoder, inflate

_VIT = "vit."
_PATCHES = "patch_embed.proj."
# A clip has neither class token nor learned positions.
_LEFT_OUT = ("cls_token", "reg_token", "pos_embed", "dist_token")


def inflate_weights(weights: Mapping[str, Tensor], encoder: VideoEncoder) -> dict[str, Tensor]:
    """Weights of a Vision Transformer of pictures, ``vit.*``, under the names of an encoder of clips.

    The patch embedding is repeated over the frames of a tubelet and divided by their number, so that a clip that stands
    still is embedded as its picture is. Blocks and norms are copied. Class token and positions are left out: clips are
    pooled by their mean and have positions of their own. A name that is not known stays as it is.

    Args:
        weights: of the picture's encoder.
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

    A masked autoencoder of VideoMAE has the first alone, a classifier the second, a picture's encoder one of them.
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
