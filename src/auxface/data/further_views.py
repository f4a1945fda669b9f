"""Views beside the primary and the clean one, made because an objective asked for them by name."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from auxface.data.geometry import crop_resize, random_boxes, whole_pixels
from auxface.data.photometric import jitter, luma
from auxface.data.random import uniforms

_STREAM = 211


def make_further_views(names: Iterable[str], pictures: Tensor, seeds: Tensor, size: int) -> dict[str, Tensor]:
    """The views of these names, float32 [B, 3, size, size] in 0..1, each by its own random numbers.

    Args:
        names: of :data:`VIEWS`.
        pictures: uint8 [B, 3, S, S].
        seeds: int64 [B], see :func:`auxface.data.random.sample_seeds`.
        size: side of the views in pixels.

    Raises:
        ValueError: an unknown name.
    """
    made: dict[str, Tensor] = {}
    for name in names:
        if name not in VIEWS:
            raise ValueError(f"no view named '{name}'; there are {', '.join(VIEWS)}")
        made[name] = VIEWS[name](pictures, seeds, size)
    return made


def contrast_crop(pictures: Tensor, seeds: Tensor, size: int, number: int) -> Tensor:
    """One of several crops to be told apart from other faces: after SimCLR (Chen et al., 2020), without blur.

    Crop of 0.4 to 1 of the area, mirrored half of the time, brightness, contrast and saturation by up to 0.4 in four of
    five cases, grey in one of five. No blur and no solarising, which would hide the traces of a forgery.
    """
    chance = uniforms(seeds, 10, stream=_STREAM + number)
    boxes = random_boxes(chance[:, :4], pictures.shape[-1], area=(0.4, 1.0), ratio=(3 / 4, 4 / 3))
    crops = crop_resize(pictures, whole_pixels(boxes, pictures.shape[-1]), chance[:, 4] < 0.5, size)
    factors = torch.where(chance[:, 8:9] < 0.8, 0.6 + 0.8 * chance[:, 5:8], 1.0)
    coloured = jitter(crops, factors)
    return torch.where((chance[:, 9] < 0.2)[:, None, None, None], luma(coloured), coloured)


VIEWS: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "contrast_1": lambda pictures, seeds, size: contrast_crop(pictures, seeds, size, 1),
    "contrast_2": lambda pictures, seeds, size: contrast_crop(pictures, seeds, size, 2),
}
