"""Families of encoders: which names each takes, how it builds them, and how other packages add theirs."""

from collections.abc import Callable
from dataclasses import dataclass

from auxface.encoders.maskable import MaskableEncoder
from auxface.plugins import Registry
from auxface.recipe import Encoder


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


registry = Registry("encoder family", "auxface.encoders", Family)
register = registry.register


def families() -> tuple[Family, ...]:
    """Return every family, the last registered first: a later one may claim names of an earlier, broader one."""
    return tuple(reversed(registry.available().values()))


def family_of(name: str) -> Family | None:
    """The family that takes an encoder's name; None if none does."""
    return next((family for family in families() if family.takes(name)), None)
