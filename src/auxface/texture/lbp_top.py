"""Local binary patterns of a clip on three orthogonal planes.

Zhao and Pietikäinen, "Dynamic texture recognition using local binary patterns with an application to facial
expressions", IEEE TPAMI 29(6), 2007.
"""

import torch
from torch import Tensor

from auxface.texture import circle
from auxface.texture.images import GrayImages, read_clips, require_border, require_size
from auxface.texture.local_binary_pattern import circle_maps, require_circle


def lbp_top(
    clip: GrayImages, points: int = 8, radius: float = 1, method: str = "default", border: str = "reflect"
) -> GrayImages:
    """Local binary patterns in the planes XY, XT and YT through every voxel (Zhao and Pietikäinen, 2007).

    In XT and YT the rows are frames, "North" being the frame before.

    Args:
        clip: uint8 [T, H, W] or [B, T, H, W], tensor or array.
        points: samples on each plane's circle, 1 to 31.
        radius: of the circles, in pixels and frames.
        method: as for :func:`auxface.texture.local_binary_pattern`.
        border: ``reflect`` mirrors all three axes; ``valid`` drops ceil(R) from both ends of all three.

    Returns:
        [3, T, H, W] or [B, 3, T, H, W]: uint8 where the codes fit, else int32; float64 for ``var``.

    Raises:
        TypeError, ValueError: a clip or a parameter outside what is said here.
    """
    require_circle(points, radius, method)
    require_border(border, ("reflect", "valid"))
    clips, layout = read_clips(clip)
    support = circle.support(radius)
    require_size(tuple(clips.shape[1:]), support, border, "lbp_top")

    def plane(order: tuple[int, ...]) -> Tensor:
        """Codes in the plane of the last two axes of ``order``, in the clip's own order of axes again."""
        turned = clips.permute(order)
        maps = circle_maps(turned.reshape(-1, *turned.shape[2:]), points, radius, method, border)
        back = [order.index(axis) for axis in range(4)]
        whole = maps.view(*turned.shape[:2], *maps.shape[2:]).permute(back)
        if border == "valid":
            # The axis across the plane keeps its ends, which have no codes in the other planes.
            whole = whole.narrow(order[1], support, whole.shape[order[1]] - 2 * support)
        return whole

    return layout.restore(torch.stack([plane((0, 1, 2, 3)), plane((0, 2, 1, 3)), plane((0, 3, 1, 2))], dim=1))
