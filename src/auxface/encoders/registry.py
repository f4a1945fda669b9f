"""Families of encoders by the model names that they accept, and :func:`build_encoder`, which builds one for a recipe.

Example:
    >>> from auxface.encoders import build_encoder
    >>> from auxface.recipe import Encoder
    >>> encoder = build_encoder(Encoder(name="vit_tiny_patch16_224", image_size=64))
    >>> encoder.grid, encoder.width
    ((4, 4), 192)
"""

from collections.abc import Callable
from dataclasses import dataclass

import timm

from auxface.encoders.maskable import MaskableEncoder
from auxface.errors import InputError
from auxface.plugins import Registry, nearest
from auxface.recipe import Encoder


def build_encoder(options: Encoder) -> MaskableEncoder:
    """Build the encoder of a recipe; random weights come from torch's global generator.

    Raises:
        InputError: no family accepts the name, the model refuses a size, or its pretrained weights are not available
            on this machine.
    """
    family = family_of(options.name)
    if family is None:
        hint = nearest(options.name.partition(".")[0], timm.list_models(), count=5)
        raise InputError(f"encoder.name '{options.name}' is not a timm model{hint}")
    encoder = family.build(options)
    if options.num_frames is not None and len(encoder.grid) == 2:
        raise InputError(
            f"encoder '{options.name}' is an image encoder; remove encoder.num_frames, or choose a video encoder: "
            "videomae_tiny, videomae_small, videomae_base"
        )
    if options.patch_size not in (None, encoder.patch_size):
        raise InputError(
            f"encoder '{options.name}' has patches of {encoder.patch_size} pixels, not {options.patch_size}; "
            "remove encoder.patch_size"
        )
    return encoder


@dataclass(frozen=True)
class Family:
    """A family of encoders that hide patches in the same way.

    Attributes:
        name: unique among families.
        accepts: whether a recipe's ``encoder.name`` belongs to this family.
        build: builds the encoder; raises :class:`auxface.errors.InputError` for options that do not fit.
        examples: the smallest model of each architecture, for the documentation and the contract test.
    """

    name: str
    accepts: Callable[[str], bool]
    build: Callable[[Encoder], MaskableEncoder]
    examples: tuple[str, ...] = ()


registry = Registry("encoder family", "auxface.encoders", Family)
register = registry.register


def families() -> tuple[Family, ...]:
    """Return every family, the last registered first, so that other packages can override names of auxface."""
    return tuple(reversed(registry.available().values()))


def family_of(name: str) -> Family | None:
    """Return the first family that accepts an encoder's name, or None."""
    return next((family for family in families() if family.accepts(name)), None)
