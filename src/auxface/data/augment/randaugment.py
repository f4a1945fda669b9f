"""RandAugment (Cubuk et al., 2020) with the operations and magnitudes of SSAT, for a batch at once.

Each image gets two operations, each with probability 1/2, at magnitude 9 of 10 (standard deviation 0.5). A higher
magnitude always changes the image more. Operations that move pixels are returned as one affine map, which both views of
an image use.
"""

import math

import torch
from torch import Tensor

from auxface.data.augment.geometry import affine
from auxface.data.augment.photometric import (
    autocontrast,
    equalize,
    posterize,
    scale_brightness,
    scale_contrast,
    scale_saturation,
    sharpen,
    solarize,
    solarize_add,
)

OPERATIONS: tuple[str, ...] = (
    "autocontrast", "equalize", "invert", "rotate", "posterize", "solarize", "solarize_add", "color", "contrast",
    "brightness", "sharpness", "shear_x", "shear_y", "translate_x", "translate_y",
)  # fmt: skip
LAYERS = 2
CHANCES = 5 * LAYERS
"""Uniform numbers that :func:`choose_operations` needs per image."""
_MAGNITUDE, _SPREAD = 9.0, 0.5


def choose_operations(chance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Choose the operations of each image.

    Args:
        chance: [B, CHANCES] uniform numbers in [0, 1).

    Returns:
        Indices into :data:`OPERATIONS`, int64 [B, 2], -1 for no operation; strengths in 0..1, float32 [B, 2]; and
        signs, -1 or 1, float32 [B, 2].
    """
    done, which, sign, first, second = chance.view(len(chance), LAYERS, 5).unbind(2)
    operations = torch.where(done < 0.5, (which * len(OPERATIONS)).long(), -1)
    # Box and Muller (1958); 1 - u keeps the logarithm finite.
    normal = (-2 * (1 - first).log()).sqrt() * (2 * math.pi * second).cos()
    strength = (_MAGNITUDE + _SPREAD * normal).clamp(0, 10) / 10
    return operations, strength, torch.where(sign < 0.5, -1.0, 1.0)


def movement(operations: Tensor, strength: Tensor, signs: Tensor) -> Tensor:
    """Return the operations that move pixels, in order, as one affine map for ``warp``, float32 [B, 3, 3]."""
    amount = strength * signs

    def of(name: str, largest: float) -> Tensor:
        return torch.where(operations == OPERATIONS.index(name), amount * largest, 0.0)

    parts = {
        "turn": of("rotate", math.radians(30)), "shear_x": of("shear_x", 0.3), "shear_y": of("shear_y", 0.3),
        "move_x": of("translate_x", 0.45), "move_y": of("translate_y", 0.45),
    }  # fmt: skip
    first, second = (affine(**{name: values[:, layer] for name, values in parts.items()}) for layer in range(LAYERS))
    return first @ second


def recolor(images: Tensor, operations: Tensor, strength: Tensor, signs: Tensor) -> Tensor:
    """Apply the operations that change colors, in order, float [B, 3, H, W] in 0..1.

    Args:
        images: float [B, 3, H, W] in 0..1.
        operations: see :func:`choose_operations`.
        strength: see :func:`choose_operations`.
        signs: see :func:`choose_operations`.
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
