"""The descriptors that come with auxface, registered in the order of their definitions."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from auxface.texture import circle
from auxface.texture.census import census_transform, require_window
from auxface.texture.center_symmetric_pattern import center_symmetric_lbp
from auxface.texture.gabor import gabor_magnitude
from auxface.texture.images import GrayImages
from auxface.texture.lbp_top import lbp_top
from auxface.texture.local_binary_pattern import local_binary_pattern, require_circle
from auxface.texture.local_derivative_pattern import local_derivative_pattern
from auxface.texture.local_directional_pattern import local_directional_number, local_directional_pattern
from auxface.texture.local_gradient_pattern import local_gradient_pattern
from auxface.texture.local_ternary_pattern import local_ternary_pattern
from auxface.texture.oriented_gradients import histogram_of_oriented_gradients
from auxface.texture.phase_quantization import local_phase_quantization
from auxface.texture.registry import Descriptor, Output, register
from auxface.texture.weber import require_weber, weber_local_descriptor


def _binary_pattern(points: int, radius: float, method: str, **_: object) -> Output:
    require_circle(points, radius, method)
    if method == "var":
        return Output(low=0.0, high=127.5**2)
    return Output(n_codes=circle.n_codes(points, method), n_bits=points if method in ("default", "ror") else None)


def _weber(alpha: float, sectors: int, eps: float, output: str, **_: object) -> Output:
    require_weber(alpha, sectors, eps, output)
    if output == "excitation":
        return Output(low=-math.pi / 2, high=math.pi / 2)
    return Output(n_codes=sectors)


def _census(window: int, **_: object) -> Output:
    require_window(window)
    return Output.bit_codes(window**2 - 1)


def _gabor(scales: int, orientations: int, **_: object) -> Output:
    return Output(maps=scales * orientations, high=255.0)


def _gradients(orientations: int, cell: int, block: int) -> Output:
    return Output(maps=orientations * block**2, cell=cell)


def _planes(**parameters: Any) -> Output:
    return replace(_binary_pattern(**parameters), maps=3)


def _bits(bits: int, maps: int = 1) -> Callable[..., Output]:
    return lambda **_: Output.bit_codes(bits, maps)


def _add(function: Callable[..., GrayImages], output: Callable[..., Output], reference: str, **more: str) -> None:
    register(Descriptor(function.__name__, function, output, reference, **{"natural_encoding": "scalar", **more}))


_add(
    local_binary_pattern,
    _binary_pattern,
    "Ojala, Pietikäinen, Mäenpää, Multiresolution gray-scale and rotation invariant texture classification with local "
    "binary patterns, IEEE TPAMI 24(7), 2002",
)
_add(
    local_directional_pattern,
    _bits(8),
    "Jabid, Kabir, Chae, Local directional pattern (LDP) for face recognition, IEEE ICCE 2010",
)
_add(
    local_directional_number,
    _bits(6),
    "Ramirez Rivera, Rojas Castillo, Chae, Local directional number pattern for face analysis: face and expression "
    "recognition, IEEE TIP 22(5), 2013",
)
_add(
    local_ternary_pattern,
    _bits(8, maps=2),
    "Tan, Triggs, Enhanced local texture feature sets for face recognition under difficult lighting conditions, IEEE "
    "TIP 19(6), 2010",
)
_add(
    center_symmetric_lbp,
    _bits(4),
    "Heikkilä, Pietikäinen, Schmid, Description of interest regions with local binary patterns, Pattern Recognition "
    "42(3), 2009",
)
_add(
    local_phase_quantization,
    _bits(8),
    "Ojansivu, Heikkilä, Blur insensitive texture classification using local phase quantization, ICISP 2008, LNCS 5099",
)
_add(
    weber_local_descriptor,
    _weber,
    "Chen, Shan, He, Zhao, Pietikäinen, Chen, Gao, WLD: a robust local image descriptor, IEEE TPAMI 32(9), 2010",
)
_add(
    local_derivative_pattern,
    _bits(8, maps=4),
    "Zhang, Gao, Zhao, Liu, Local derivative pattern versus local binary pattern, IEEE TIP 19(2), 2010",
)
_add(
    census_transform,
    _census,
    "Zabih, Woodfill, Non-parametric local transforms for computing visual correspondence, ECCV 1994",
)
_add(
    local_gradient_pattern,
    _bits(8),
    "Jun, Kim, Robust face detection using local gradient patterns and evidence accumulation, Pattern Recognition "
    "45(9), 2012",
)
_add(
    histogram_of_oriented_gradients,
    _gradients,
    "Dalal, Triggs, Histograms of oriented gradients for human detection, CVPR 2005",
)
_add(
    gabor_magnitude,
    _gabor,
    "Lee, Image representation using 2D Gabor wavelets, IEEE TPAMI 18(10), 1996",
)
_add(
    lbp_top,
    _planes,
    "Zhao, Pietikäinen, Dynamic texture recognition using local binary patterns with an application to facial "
    "expressions, IEEE TPAMI 29(6), 2007",
    input="clip",
)
