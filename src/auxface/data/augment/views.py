"""An image becomes two: the primary view for the classifier, the clean view for texture targets.

Both share every movement of pixels. Color changes, noise, compression and erasing happen to the primary view alone, so
that a target never rebuilds what augmentation put there.

Views beside the primary and the clean one, made because an objective asked for them by name.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from auxface.data.augment.geometry import CUBIC, crop_resize, random_boxes, resize, shift_flip, warp, whole_pixels
from auxface.data.augment.photometric import blur, compress_jpeg, erase, jitter, luma
from auxface.data.augment.randaugment import CHANCES, choose_operations, movement, recolor
from auxface.data.random import normals, uniforms

_FILL = 124.0
_IMAGE_MEAN, _IMAGE_STD = 0.449, 0.226


@dataclass(frozen=True)
class Views:
    """The two views of a batch.

    Attributes:
        primary: float32 [B, 3, H, W] in 0..1.
        clean: uint8 [B, 3, H, W] in 0..255: the geometry of ``primary``, with no other change.
    """

    primary: Tensor
    clean: Tensor


Preset = Callable[[Tensor, Tensor, int], Views]


def make_views(images: Tensor, seeds: Tensor, preset: str, *, size: int) -> Views:
    """Make both views of a batch.

    A sample's views depend on its image and its seed alone: not on the device, the batch or the order.

    Args:
        images: uint8 [B, 3, S, S].
        seeds: int64 [B], see :func:`auxface.data.random.sample_seeds`.
        preset: ``none`` (evaluation: no randomness), ``light``, ``ssat`` or ``forensic``.
        size: side of the views in pixels.

    Raises:
        ValueError: an unknown preset, or images of another shape or type.
    """
    if preset not in PRESETS:
        raise ValueError(f"unknown preset '{preset}'; expected {', '.join(PRESETS)}")
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images must be uint8 [B, 3, S, S], not {images.dtype} {list(images.shape)}")
    return PRESETS[preset](images, seeds, size)


def whole(images: Tensor, seeds: Tensor, size: int) -> Views:
    """The whole image at ``size``, unchanged where it has that size already."""
    clean = _at_size(images, size)
    return Views(clean.float().div_(255), clean)


def light(images: Tensor, seeds: Tensor, size: int) -> Views:
    """A mild crop, a mirror image half of the time, a little jitter: for faces that are already cropped."""
    chance = uniforms(seeds, 9)
    boxes = random_boxes(chance[:, :4], images.shape[-1], area=(0.7, 1.0), ratio=(0.9, 1 / 0.9))
    clean = crop_resize(images, whole_pixels(boxes, images.shape[-1]), chance[:, 4] < 0.5, size)
    factors = torch.where(chance[:, 8:] < 0.8, 0.8 + 0.4 * chance[:, 5:8], 1.0)
    return Views(jitter(clean, factors), clean)


def ssat(images: Tensor, seeds: Tensor, size: int) -> Views:
    """What SSAT was trained with (Das et al., 2023): crops of 0.08 to 1, mirroring, RandAugment, erasing by noise."""
    chance = uniforms(seeds, 11 + CHANCES)
    boxes = random_boxes(chance[:, :4], images.shape[-1], area=(0.08, 1.0), ratio=(3 / 4, 4 / 3))
    clean = crop_resize(images, whole_pixels(boxes, images.shape[-1]), chance[:, 4] < 0.5, size, CUBIC)
    operations, strength, signs = choose_operations(chance[:, 11:])
    maps = movement(operations, strength, signs)
    rows = (maps != torch.eye(3, device=maps.device)).flatten(1).any(1).nonzero()[:, 0]
    if len(rows):
        clean[rows] = _rounded(warp(clean[rows].float(), maps[rows], _FILL))
    primary = recolor(clean.float().div_(255), operations, strength, signs)
    rows = (chance[:, 5] < 0.25).nonzero()[:, 0]
    if len(rows):
        holes = random_boxes(chance[rows, 6:10], size, area=(0.02, 1 / 3), ratio=(0.3, 1 / 0.3))
        noise = normals(seeds[rows], 3 * size * size, stream=1).view(-1, 3, size, size)
        # Standard normal in the units in which images enter the network.
        primary[rows] = erase(primary[rows], holes, (_IMAGE_MEAN + _IMAGE_STD * noise).clamp(0, 1))
    return Views(primary, clean)


def forensic(images: Tensor, seeds: Tensor, size: int) -> Views:
    """What images go through on their way (scaling, blur, noise, JPEG), each at times, and nothing that hides traces.

    Geometry is mirroring and a shift by whole pixels, which changes no pixel value; real and forged images are
    treated alike, so that no step tells them apart.
    """
    chance = uniforms(seeds, 14)
    placed = _at_size(images, size)
    most = max(1, size // 32)
    across, down = ((chance[:, at] * (2 * most + 1)).long() - most for at in (0, 1))
    clean = shift_flip(placed, across, down, chance[:, 2] < 0.5)

    def at_times(column: int, share: float) -> Tensor:
        return (chance[:, column] < share).nonzero()[:, 0]

    factors = torch.where(chance[:, 3:4] < 0.5, 0.9 + 0.2 * chance[:, 4:7], 1.0)
    primary = jitter(clean, factors)
    for low, high, smaller in ((0.0, 0.1, size // 2), (0.1, 0.2, size * 3 // 4)):
        rows = ((chance[:, 7] >= low) & (chance[:, 7] < high)).nonzero()[:, 0]
        primary[rows] = resize(resize(primary[rows], max(1, smaller)), size)
    rows = at_times(8, 0.2)
    primary[rows] = blur(primary[rows], (0.3 + 0.9 * chance[rows, 9]) * size / 224 + 0.2)
    rows = at_times(10, 0.2)
    noise = normals(seeds[rows], 3 * size * size, stream=1).view(-1, 3, size, size)
    primary[rows] = (primary[rows] + (0.03 * chance[rows, 11])[:, None, None, None] * noise).clamp(0, 1)
    rows = at_times(12, 0.5)
    quality = (50 + 50 * chance[rows, 13]).floor()
    primary[rows] = compress_jpeg((primary[rows] * 255).round(), quality) / 255
    return Views(primary, clean)


def _at_size(images: Tensor, size: int) -> Tensor:
    if images.shape[-1] == size:
        return images
    whole = torch.tensor([0, 0, images.shape[-1], images.shape[-1]], device=images.device).expand(len(images), 4)
    return crop_resize(images, whole, torch.zeros(len(images), dtype=torch.bool, device=images.device), size)


def _rounded(images: Tensor) -> Tensor:
    return images.round().clamp(0, 255).to(torch.uint8)


PRESETS: dict[str, Preset] = {"none": whole, "light": light, "ssat": ssat, "forensic": forensic}


_STREAM = 211


def make_further_views(names: Iterable[str], images: Tensor, seeds: Tensor, size: int) -> dict[str, Tensor]:
    """The views of these names, float32 [B, 3, size, size] in 0..1, each by its own random numbers.

    Args:
        names: of :data:`VIEWS`.
        images: uint8 [B, 3, S, S].
        seeds: int64 [B], see :func:`auxface.data.random.sample_seeds`.
        size: side of the views in pixels.

    Raises:
        ValueError: an unknown name.
    """
    made: dict[str, Tensor] = {}
    for name in names:
        if name not in VIEWS:
            raise ValueError(f"no view named '{name}'; there are {', '.join(VIEWS)}")
        made[name] = VIEWS[name](images, seeds, size)
    return made


def contrast_crop(images: Tensor, seeds: Tensor, size: int, number: int) -> Tensor:
    """One of several crops to be told apart from other faces: after SimCLR (Chen et al., 2020), without blur.

    Crop of 0.4 to 1 of the area, mirrored half of the time, brightness, contrast and saturation by up to 0.4 in four of
    five cases, gray in one of five. No blur and no solarizing, which would hide the traces of a forgery.
    """
    chance = uniforms(seeds, 10, stream=_STREAM + number)
    boxes = random_boxes(chance[:, :4], images.shape[-1], area=(0.4, 1.0), ratio=(3 / 4, 4 / 3))
    crops = crop_resize(images, whole_pixels(boxes, images.shape[-1]), chance[:, 4] < 0.5, size)
    factors = torch.where(chance[:, 8:9] < 0.8, 0.6 + 0.8 * chance[:, 5:8], 1.0)
    colored = jitter(crops, factors)
    return torch.where((chance[:, 9] < 0.2)[:, None, None, None], luma(colored), colored)


VIEWS: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "contrast_1": lambda images, seeds, size: contrast_crop(images, seeds, size, 1),
    "contrast_2": lambda images, seeds, size: contrast_crop(images, seeds, size, 2),
}
