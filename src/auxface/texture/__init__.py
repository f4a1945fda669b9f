"""Local texture descriptors for batches of gray images: exact, fast, and with torch as the only dependency.

Example:
    >>> import numpy as np
    >>> from auxface import texture
    >>> image = np.array([[90, 60, 30], [20, 50, 50], [80, 10, 75]], np.uint8)
    >>> texture.describe(image, "local_binary_pattern", border="valid")
    array([[173]], dtype=uint8)
    >>> list(texture.available())[:3]
    ['local_binary_pattern', 'local_directional_pattern', 'local_directional_number']
"""

from auxface.texture.gray_images import gray
from auxface.texture.registry import Descriptor, Output, available, describe, get, register
from auxface.texture.target_encoding import encode, encode_target, target_channels

# isort: off
# Each import registers descriptors; available() lists them in the order of these imports.
from auxface.texture.local_binary_pattern import local_binary_pattern
from auxface.texture.local_directional_pattern import local_directional_number, local_directional_pattern
from auxface.texture.lbp_variants import (
    census_transform,
    center_symmetric_lbp,
    local_gradient_pattern,
    local_ternary_pattern,
)
from auxface.texture.local_phase_quantization import local_phase_quantization
from auxface.texture.weber_local_descriptor import weber_local_descriptor
from auxface.texture.local_derivative_pattern import local_derivative_pattern
from auxface.texture.histogram_of_oriented_gradients import histogram_of_oriented_gradients
from auxface.texture.gabor_magnitude import gabor_magnitude
from auxface.texture.lbp_top import lbp_top

# isort: on

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
