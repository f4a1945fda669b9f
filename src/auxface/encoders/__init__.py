"""Encoders that can be shown a part of the image: masking, and timm's backbones made maskable."""

from auxface.encoders.build import build_encoder
from auxface.encoders.columnar import ColumnarEncoder
from auxface.encoders.maskable import Features, MaskableEncoder
from auxface.encoders.masking import Mask, random_mask
from auxface.encoders.registry import Family, families, register
from auxface.encoders.video_encoder import VideoEncoder, build_video, inflate

__all__ = [
    "ColumnarEncoder",
    "Family",
    "Features",
    "Mask",
    "MaskableEncoder",
    "VideoEncoder",
    "build_encoder",
    "build_video",
    "families",
    "inflate",
    "random_mask",
    "register",
]
