"""Augmentation presets: the primary view for the classifier and the clean view for texture targets.

Both views of an image have the same geometry. Color changes, noise, compression and erasing affect only the primary
view, so that a reconstruction target never contains them.

Example:
    >>> import torch
    >>> images = torch.zeros(4, 3, 64, 64, dtype=torch.uint8)
    >>> views = make_views(images, torch.arange(4), "light", size=32)
    >>> views.primary.shape, views.clean.dtype, views.affine.shape
    (torch.Size([4, 3, 32, 32]), torch.uint8, torch.Size([4, 2, 3]))

RandAugment (Cubuk et al., 2020) uses the operations and magnitudes of SSAT. Two operations are chosen for each image,
and each is applied with probability 1/2 at magnitude 9 of 10 (standard deviation 0.5). A higher magnitude always
changes the image more. Operations that move pixels are combined into one affine map, which is applied to both views of
an image.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from auxface.data.augment.geometry import (
    CUBIC,
    affine,
    crop_map,
    crop_resize,
    random_boxes,
    resize,
    shift_flip,
    shift_flip_map,
    warp,
    warp_map,
    whole_pixels,
)
from auxface.data.augment.photometric import (
    autocontrast,
    blur,
    compress_jpeg,
    equalize,
    erase,
    jitter,
    posterize,
    scale_brightness,
    scale_contrast,
    scale_saturation,
    sharpen,
    solarize,
    solarize_add,
)
from auxface.data.augment.spectrogram import cropped_in_time, masked_bands
from auxface.data.random import normals, uniforms

OPERATIONS: tuple[str, ...] = (
    "autocontrast", "equalize", "invert", "rotate", "posterize", "solarize", "solarize_add", "color", "contrast",
    "brightness", "sharpness", "shear_x", "shear_y", "translate_x", "translate_y",
)  # fmt: skip
LAYERS = 2
CHANCES = 5 * LAYERS
"""Number of uniform random numbers that :func:`choose_operations` needs per image."""
_MAGNITUDE, _SPREAD = 9.0, 0.5
_FILL = 124.0
# Default channel statistics for standardization.
IMAGE_MEAN, IMAGE_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
UNCROPPED = ("none", "forensic", "forensic_sharp", "spectrogram")
"""Presets whose views are not crops. They use images that were resized once, directly to the size of the view."""


def choose_operations(chance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Choose random operations for each image.

    Args:
        chance: uniform random numbers in [0, 1), [B, CHANCES].

    Returns:
        Indices into :data:`OPERATIONS`, int64 [B, 2], with -1 for no operation; strengths in 0..1, float32 [B, 2]; and
        signs, -1 or 1, float32 [B, 2].
    """
    done, which, sign, first, second = chance.view(len(chance), LAYERS, 5).unbind(2)
    operations = torch.where(done < 0.5, (which * len(OPERATIONS)).long(), -1)
    # Normally distributed numbers by the method of Box and Muller (1958); 1 - u keeps the logarithm finite.
    normal = (-2 * (1 - first).log()).sqrt() * (2 * math.pi * second).cos()
    strength = (_MAGNITUDE + _SPREAD * normal).clamp(0, 10) / 10
    return operations, strength, torch.where(sign < 0.5, -1.0, 1.0)


def movement(operations: Tensor, strength: Tensor, signs: Tensor) -> Tensor:
    """Combine the operations that move pixels, in order, into one affine map per image for ``warp``, [B, 3, 3]."""
    amount = strength * signs

    def of(name: str, largest: float) -> Tensor:
        return torch.where(operations == OPERATIONS.index(name), amount * largest, 0.0)

    parts = {
        "rotation": of("rotate", math.radians(30)), "shear_x": of("shear_x", 0.3), "shear_y": of("shear_y", 0.3),
        "translate_x": of("translate_x", 0.45), "translate_y": of("translate_y", 0.45),
    }  # fmt: skip
    first, second = (affine(**{name: values[:, layer] for name, values in parts.items()}) for layer in range(LAYERS))
    return first @ second


def recolor(images: Tensor, operations: Tensor, strength: Tensor, signs: Tensor) -> Tensor:
    """Apply the operations that change colors, in order, and return float [B, 3, H, W] in 0..1.

    Args:
        images: images to change, float [B, 3, H, W] in 0..1.
        operations: indices of operations from :func:`choose_operations`.
        strength: strengths from :func:`choose_operations`.
        signs: signs from :func:`choose_operations`.
    """
    images = images.clone()
    for layer in range(LAYERS):
        for number in operations[:, layer].unique().tolist():
            name = OPERATIONS[number] if number >= 0 else ""
            if name in _CHANGES:
                rows = (operations[:, layer] == number).nonzero()[:, 0]
                amount, sign = strength[rows, layer], signs[rows, layer]
                images[rows] = _CHANGES[name](images[rows], amount, sign)
    return images


def _enhancement(amount: Tensor, sign: Tensor) -> Tensor:
    return (1 + 0.9 * amount * sign).clamp(min=0.1)


_CHANGES = {
    "autocontrast": lambda x, amount, sign: autocontrast(x),
    "equalize": lambda x, amount, sign: equalize(x),
    "invert": lambda x, amount, sign: 1 - x,
    "posterize": lambda x, amount, sign: posterize(x, 4 - (amount * 4).floor()),
    "solarize": lambda x, amount, sign: solarize(x, (256 - (amount * 256).floor()) / 255),
    "solarize_add": lambda x, amount, sign: solarize_add(x, (amount * 110).floor() / 255),
    "color": lambda x, amount, sign: scale_saturation(x, _enhancement(amount, sign)),
    "contrast": lambda x, amount, sign: scale_contrast(x, _enhancement(amount, sign)),
    "brightness": lambda x, amount, sign: scale_brightness(x, _enhancement(amount, sign)),
    "sharpness": lambda x, amount, sign: sharpen(x, _enhancement(amount, sign)),
}


@dataclass(frozen=True)
class Views:
    """The primary and the clean view of a batch.

    Attributes:
        primary: primary view, float32 [B, 3, H, W] RGB in 0..1; the noise in an erased box may lie outside this range.
        clean: clean view, uint8 [B, 3, H, W] RGB, with the geometry of ``primary`` and no other change.
        affine: affine maps, float32 [B, 2, 3], from a position (x, y, 1) in either view to the position in the source
            image, in the coordinates of :mod:`auxface.data.augment.views`.
    """

    primary: Tensor
    clean: Tensor
    affine: Tensor


@dataclass(frozen=True)
class ViewOptions:
    """The arguments of :func:`make_views` other than images, seeds and preset."""

    size: int
    mirror: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]


def make_views(
    images: Tensor,
    seeds: Tensor,
    preset: str,
    *,
    size: int,
    mirror: bool = True,
    mean: tuple[float, ...] = IMAGE_MEAN,
    std: tuple[float, ...] = IMAGE_STD,
) -> Views:
    """Make the primary and clean views of a batch.

    A row of the views depends only on its own image and seed, not on the device or the other rows of the batch. All
    frames of a video clip get the same augmentation.

    Args:
        images: RGB images, uint8 [B, 3, S, S], or video clips, uint8 [B, T, 3, S, S].
        seeds: seeds from :func:`auxface.data.random.sample_seeds`, int64 [B].
        preset: ``none`` (without randomness, for evaluation), ``light``, ``crop``, ``ssat``, ``forensic``,
            ``forensic_sharp`` or ``spectrogram`` (for log-mel images).
        size: side of the views in pixels.
        mirror: whether presets with random mirroring mirror images left to right, with probability 1/2.
        mean: channel means with which the model standardizes images in [0, 1].
        std: channel standard deviations with which the model standardizes images in [0, 1].

    Raises:
        ValueError: the preset is unknown, or the images have the wrong shape or dtype.
    """
    if preset not in PRESETS:
        raise ValueError(f"unknown preset '{preset}'; expected {', '.join(PRESETS)}")
    if images.dtype != torch.uint8 or images.ndim not in (4, 5) or images.shape[-3] != 3:
        found = f"{images.dtype} {list(images.shape)}"
        raise ValueError(f"images must be uint8 [B, 3, S, S] or [B, T, 3, S, S], not {found}")
    chosen = ViewOptions(size, mirror, mean, std)
    if images.ndim == 4:
        return PRESETS[preset](images, seeds, chosen)
    clips, frames = images.shape[:2]
    views = PRESETS[preset](images.flatten(0, 1), seeds.repeat_interleave(frames), chosen)
    return Views(
        views.primary.unflatten(0, (clips, frames)), views.clean.unflatten(0, (clips, frames)), views.affine[::frames]
    )


def _none(images: Tensor, seeds: Tensor, options: ViewOptions) -> Views:
    """Resize the whole image to ``size``; an image of that size is unchanged."""
    clean, maps = _at_size(images, options.size)
    return Views(clean.float().div_(255), clean, maps[:, :2])


def _light(images: Tensor, seeds: Tensor, options: ViewOptions) -> Views:
    """Crop slightly, mirror with probability 1/2, and jitter colors, for images that are already face crops."""
    chance = uniforms(seeds, 9)
    source = images.shape[-1]
    boxes = whole_pixels(random_boxes(chance[:, :4], source, area=(0.7, 1.0), ratio=(0.9, 1 / 0.9)), source)
    flipped = (chance[:, 4] < 0.5) & options.mirror
    clean = crop_resize(images, boxes, flipped, options.size)
    factors = torch.where(chance[:, 8:] < 0.8, 0.8 + 0.4 * chance[:, 5:8], 1.0)
    return Views(jitter(clean, factors), clean, crop_map(boxes, flipped, options.size)[:, :2])


def _crop(images: Tensor, seeds: Tensor, options: ViewOptions) -> Views:
    """Crop to 20-100% of the area and mirror with probability 1/2, as in masked autoencoders (He et al., 2022)."""
    chance = uniforms(seeds, 5)
    source = images.shape[-1]
    boxes = whole_pixels(random_boxes(chance[:, :4], source, area=(0.2, 1.0), ratio=(3 / 4, 4 / 3)), source)
    flipped = (chance[:, 4] < 0.5) & options.mirror
    clean = crop_resize(images, boxes, flipped, options.size, CUBIC)
    return Views(clean.float().div_(255), clean, crop_map(boxes, flipped, options.size)[:, :2])


def _ssat(images: Tensor, seeds: Tensor, options: ViewOptions) -> Views:
    """Crop to 8-100% of the area, mirror, apply RandAugment and erase with noise, as in SSAT (Das et al., 2023)."""
    size = options.size
    chance = uniforms(seeds, 11 + CHANCES)
    source = images.shape[-1]
    boxes = whole_pixels(random_boxes(chance[:, :4], source, area=(0.08, 1.0), ratio=(3 / 4, 4 / 3)), source)
    flipped = (chance[:, 4] < 0.5) & options.mirror
    clean = crop_resize(images, boxes, flipped, size, CUBIC)
    operations, strength, signs = choose_operations(chance[:, 11:])
    moves = movement(operations, strength, signs)
    rows = (moves != torch.eye(3, device=moves.device)).flatten(1).any(1).nonzero()[:, 0]
    if len(rows):
        warped = warp(clean[rows].float(), moves[rows], _FILL)
        clean[rows] = warped.round().clamp(0, 255).to(torch.uint8)
    primary = recolor(clean.float().div_(255), operations, strength, signs)
    rows = (chance[:, 5] < 0.25).nonzero()[:, 0]
    if len(rows):
        holes = random_boxes(chance[rows, 6:10], size, area=(0.02, 1 / 3), ratio=(0.3, 1 / 0.3))
        noise = normals(seeds[rows], 3 * size * size, stream=1).view(-1, 3, size, size)
        # The noise is standard normal in standardized units and not clipped, as in timm, which erases after
        # standardization.
        mean, std = (primary.new_tensor(values)[:, None, None] for values in (options.mean, options.std))
        primary[rows] = erase(primary[rows], holes, mean + std * noise)
    # The warp comes after the crop, so the map from result to source applies the map of the warp first.
    maps = crop_map(boxes, flipped, size) @ warp_map(moves, size)
    return Views(primary, clean, maps[:, :2])


def _forensic(images: Tensor, seeds: Tensor, options: ViewOptions) -> Views:
    """Apply changes that are common on social networks (scaling, blur, noise, JPEG), each to some of the images.

    Images are also mirrored and shifted by whole pixels. Both operations keep all pixel values and thus the traces of a
    forgery. Real and forged images get the same augmentation.
    """
    size = options.size
    chance = uniforms(seeds, 14)
    primary, clean, maps = _shifted_and_jittered(images, chance, options)
    for low, high, smaller in ((0.0, 0.1, size // 2), (0.1, 0.2, size * 3 // 4)):
        rows = ((chance[:, 7] >= low) & (chance[:, 7] < high)).nonzero()[:, 0]
        primary[rows] = resize(resize(primary[rows], max(1, smaller)), size)
    rows = _chosen(chance[:, 8], 0.2)
    primary[rows] = blur(primary[rows], (0.3 + 0.9 * chance[rows, 9]) * size / 224 + 0.2)
    return Views(_noisy_and_compressed(primary, seeds, chance), clean, maps[:, :2])


def _forensic_sharp(images: Tensor, seeds: Tensor, options: ViewOptions) -> Views:
    """Apply the ``forensic`` augmentation without scaling and blur, which can remove the traces of a forgery."""
    chance = uniforms(seeds, 14)
    primary, clean, maps = _shifted_and_jittered(images, chance, options)
    return Views(_noisy_and_compressed(primary, seeds, chance), clean, maps[:, :2])


def _spectrogram(images: Tensor, seeds: Tensor, options: ViewOptions) -> Views:
    """Crop log-mel images in time and mask bands of frequency and time in the primary view, without mirroring."""
    chance = uniforms(seeds, 10)
    clean, maps = cropped_in_time(images, chance[:, :2], options.size, shortest=0.7)
    return Views(masked_bands(clean.float().div_(255), chance[:, 2:].view(-1, 2, 2, 2)), clean, maps)


def _shifted_and_jittered(images: Tensor, chance: Tensor, options: ViewOptions) -> tuple[Tensor, Tensor, Tensor]:
    """Return primary and clean views whose geometry keeps all pixel values, and their maps to the source."""
    size = options.size
    placed, maps = _at_size(images, size)
    most = max(1, size // 32)
    across, down = ((chance[:, at] * (2 * most + 1)).long() - most for at in (0, 1))
    flipped = (chance[:, 2] < 0.5) & options.mirror
    clean = shift_flip(placed, across, down, flipped)
    factors = torch.where(chance[:, 3:4] < 0.5, 0.9 + 0.2 * chance[:, 4:7], 1.0)
    return jitter(clean, factors), clean, maps @ shift_flip_map(across, down, flipped, size)


def _noisy_and_compressed(primary: Tensor, seeds: Tensor, chance: Tensor) -> Tensor:
    """Add noise to 20% of the images and compress 50% of the images as JPEG, in place."""
    size = primary.shape[-1]
    rows = _chosen(chance[:, 10], 0.2)
    noise = normals(seeds[rows], 3 * size * size, stream=1).view(-1, 3, size, size)
    primary[rows] = (primary[rows] + (0.03 * chance[rows, 11])[:, None, None, None] * noise).clamp(0, 1)
    rows = _chosen(chance[:, 12], 0.5)
    quality = (50 + 50 * chance[rows, 13]).floor()
    primary[rows] = compress_jpeg((primary[rows] * 255).round(), quality) / 255
    return primary


def _chosen(chance: Tensor, probability: float) -> Tensor:
    return (chance < probability).nonzero()[:, 0]


def _at_size(images: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return uint8 images resized to ``size``, and their maps to the source, float32 [B, 3, 3]."""
    source = images.shape[-1]
    whole = torch.tensor([0, 0, source, source], device=images.device).expand(len(images), 4)
    flipped = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    resized = images if source == size else crop_resize(images, whole, flipped, size)
    return resized, crop_map(whole, flipped, size)


PRESETS: dict[str, Callable[[Tensor, Tensor, ViewOptions], Views]] = {
    "none": _none,
    "light": _light,
    "crop": _crop,
    "ssat": _ssat,
    "forensic": _forensic,
    "forensic_sharp": _forensic_sharp,
    "spectrogram": _spectrogram,
}
"""Functions of the presets, called as ``function(images, seeds, options)`` to return views as in :func:`make_views`."""
