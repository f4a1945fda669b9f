"""Encoders that can mask patches of their input: timm's image models and a video transformer."""

from auxface.encoders.column_shaped import ColumnShapedEncoder
from auxface.encoders.hierarchical import HierarchicalEncoder
from auxface.encoders.maskable import Family, Features, MaskableEncoder, build_encoder, families, register
from auxface.encoders.masking import Mask, random_mask
from auxface.encoders.video_encoder import VideoEncoder, inflate

__all__ = [
    "ColumnShapedEncoder",
    "Family",
    "Features",
    "HierarchicalEncoder",
    "Mask",
    "MaskableEncoder",
    "VideoEncoder",
    "build_encoder",
    "families",
    "inflate",
    "random_mask",
    "register",
]
