"""Local texture descriptors on batches of images: exact, fast, and needing torch alone."""

from auxface.texture import catalogue as catalogue
from auxface.texture.census import census_transform
from auxface.texture.center_symmetric_pattern import center_symmetric_lbp
from auxface.texture.encoding import encode, encode_target, target_channels
from auxface.texture.gabor import gabor_magnitude
from auxface.texture.images import gray
from auxface.texture.lbp_top import lbp_top
from auxface.texture.local_binary_pattern import local_binary_pattern
from auxface.texture.local_derivative_pattern import local_derivative_pattern
from auxface.texture.local_directional_pattern import local_directional_number, local_directional_pattern
from auxface.texture.local_gradient_pattern import local_gradient_pattern
from auxface.texture.local_ternary_pattern import local_ternary_pattern
from auxface.texture.oriented_gradients import histogram_of_oriented_gradients
from auxface.texture.phase_quantization import local_phase_quantization
from auxface.texture.registry import Descriptor, Output, available, describe, get, register
from auxface.texture.weber import weber_local_descriptor

__all__ = [
    "Descriptor",
    "Output",
    "available",
    "census_transform",
    "center_symmetric_lbp",
    "describe",
    "encode",
    "encode_target",
    "gabor_magnitude",
    "get",
    "gray",
    "histogram_of_oriented_gradients",
    "lbp_top",
    "local_binary_pattern",
    "local_derivative_pattern",
    "local_directional_number",
    "local_directional_pattern",
    "local_gradient_pattern",
    "local_phase_quantization",
    "local_ternary_pattern",
    "register",
    "target_channels",
    "weber_local_descriptor",
]
