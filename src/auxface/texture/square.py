"""Runs an operator whose support is a small square of whole pixels."""

import torch

from auxface.texture.images import GreyImages, read_images, require_border, require_size
from auxface.texture.tiles import Kernel, map_pixels


def apply_square(
    image: GreyImages,
    kernel: Kernel,
    border: str,
    name: str,
    *,
    bytes_per_pixel: int,
    radius: int = 1,
    maps: int = 1,
    dtype: torch.dtype = torch.uint8,
) -> GreyImages:
    """Check and read ``image``, run ``kernel`` over it and hand the maps back in the layout of the input.

    Args:
        image: what the caller passed.
        kernel: the operator on one tile.
        border: ``reflect`` or ``valid``.
        name: of the operator, for errors.
        bytes_per_pixel: working memory of the kernel for each pixel of a tile.
        radius: of the square.
        maps: maps per image.
        dtype: of the maps.

    Raises:
        TypeError, ValueError: an image that is not grey, too small, or an unknown border.
    """
    require_border(border, ("reflect", "valid"))
    images, layout = read_images(image)
    require_size(tuple(images.shape[1:]), radius, border, name)
    result = map_pixels(
        images, kernel, radius=radius, border=border, maps=maps, dtype=dtype, bytes_per_pixel=bytes_per_pixel
    )
    return layout.restore(result)
