"""Local binary patterns of a video clip on three orthogonal planes (LBP-TOP).

Zhao and Pietikäinen, "Dynamic texture recognition using local binary patterns with an application to facial
expressions", IEEE TPAMI 29(6), 2007.
"""

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from auxface.texture.gray_images import GrayImages, read_clips, require_border, require_size
from auxface.texture.local_binary_pattern import (
    check_circle,
    circle_maps,
    pattern_output,
    plain_local_binary_pattern,
)
from auxface.texture.registry import Descriptor, Output, register


def lbp_top(
    clip: GrayImages, points: int = 8, radius: float = 1, method: str = "default", border: str = "reflect"
) -> GrayImages:
    """Compute local binary patterns in the planes XY, XT and YT through every voxel (Zhao and Pietikäinen, 2007).

    In the planes XT and YT, the rows are frames, so "North" is the previous frame.

    Args:
        clip: uint8 tensor or array of shape [T, H, W] or [B, T, H, W].
        points: number of samples on the circle of each plane, from 1 to 31.
        radius: radius R of the circles, in pixels (spatial axes) and frames (time axis), above 0.
        method: mapping of the codes; see :func:`auxface.texture.local_binary_pattern`.
        border: ``reflect`` mirrors all three axes; ``valid`` drops ceil(R) positions from both ends of each axis.

    Returns:
        Codes [3, T, H, W] or [B, 3, T, H, W], uint8 where they fit and int32 otherwise; for ``var``, float64 variances.

    Raises:
        TypeError, ValueError: the clip or a parameter is not as described.

    Example:
        >>> patch = np.array([[90, 60, 30], [20, 50, 50], [80, 10, 75]], np.uint8)
        >>> clip = np.stack([np.full_like(patch, 10), patch, np.full_like(patch, 60)])
        >>> lbp_top(clip, border="valid").ravel()
        array([173, 225, 112], dtype=uint8)
    """
    check_circle(points, radius, method)
    require_border(border, ("reflect", "valid"))
    clips, layout = read_clips(clip)
    margin = math.ceil(radius)
    require_size(tuple(clips.shape[1:]), margin, border, "lbp_top")

    def plane(order: tuple[int, ...]) -> Tensor:
        """Return the codes in the plane of the last two axes of ``order``, with the axes in the clip's order."""
        permuted = clips.permute(order)
        maps = circle_maps(permuted.reshape(-1, *permuted.shape[2:]), points, radius, method, border)
        inverse = [order.index(axis) for axis in range(4)]
        codes = maps.view(*permuted.shape[:2], *maps.shape[2:]).permute(inverse)
        if border == "valid":
            # Crop the axis perpendicular to the plane, because the other planes have no codes at its ends.
            codes = codes.narrow(order[1], margin, codes.shape[order[1]] - 2 * margin)
        return codes

    return layout.restore(torch.stack([plane((0, 1, 2, 3)), plane((0, 2, 1, 3)), plane((0, 3, 1, 2))], dim=1))


def plain_lbp_top(window: np.ndarray, points: int = 8, radius: float = 1, method: str = "default") -> list[float]:
    """Compute the values of the center voxel of a window [w, w, w] directly from the definition.

    The side of the window is w = 2 ceil(radius) + 1.
    """
    middle = len(window) // 2
    planes = window[middle], window[:, middle], window[:, :, middle]
    return [plain_local_binary_pattern(plane, points, radius, method) for plane in planes]


def _output(points: int, radius: float, method: str, border: str) -> Output:
    return replace(pattern_output(points, radius, method, border), maps=3)


DESCRIPTOR = register(
    Descriptor(
        name="lbp_top",
        function=lbp_top,
        output=_output,
        reference="Zhao, Pietikäinen, Dynamic texture recognition using local binary patterns with an application to "
        "facial expressions, IEEE TPAMI 29(6), 2007",
        input="clip",
    )
)
