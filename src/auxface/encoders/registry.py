"""Families of encoders: which names each takes, how it builds them, and how other packages add theirs."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points

from auxface.encoders.maskable import MaskableEncoder
from auxface.recipe import Encoder

ENTRY_POINT_GROUP = "auxface.encoders"


@dataclass(frozen=True)
class Family:
    """A way to make encoders maskable.

    Attributes:
        name: for messages.
        takes: whether a recipe's ``encoder.name`` is one of this family's.
        build: makes the encoder; raises :class:`auxface.errors.InputError` for what it cannot build.
        examples: names, the smallest of each architecture, for documentation and the contract test.
    """

    name: str
    takes: Callable[[str], bool]
    build: Callable[[Encoder], MaskableEncoder]
    examples: tuple[str, ...] = ()


_registered: dict[str, Family] = {}


def register(family: Family) -> Family:
    """Add a family. One that is added later is asked earlier, so that it may claim names of a broader one.

    Raises:
        ValueError: the name is taken by another family.
    """
    if _registered.get(family.name, family) != family:
        raise ValueError(f"a family of encoders named {family.name} is registered already")
    _registered[family.name] = family
    return family


@functools.cache
def _load_entry_points() -> None:
    for point in entry_points(group=ENTRY_POINT_GROUP):
        family = point.load()
        if not isinstance(family, Family):
            raise TypeError(f"entry point {point.name} of {ENTRY_POINT_GROUP} is no auxface.encoders.Family")
        register(family)


def families() -> tuple[Family, ...]:
    """Every family in the order in which they are asked."""
    _load_entry_points()
    return tuple(reversed(_registered.values()))


def family_of(name: str) -> Family | None:
    """The family that takes an encoder's name; None if none does."""
    return next((family for family in families() if family.takes(name)), None)
