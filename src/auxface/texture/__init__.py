"""Local texture descriptors on batches of images: exact, fast, and needing torch alone."""

from auxface.texture import catalogue as catalogue
from auxface.texture.binary_pattern import local_binary_pattern
from auxface.texture.directional_pattern import local_directional_number, local_directional_pattern
from auxface.texture.encoding import encode, encode_target, target_channels
from auxface.texture.gray import gray
from auxface.texture.registry import Descriptor, Output, available, describe, get, register

__all__ = [
    "Descriptor",
    "Output",
    "available",
    "describe",
    "encode",
    "encode_target",
    "get",
    "gray",
    "local_binary_pattern",
    "local_directional_number",
    "local_directional_pattern",
    "register",
    "target_channels",
]
