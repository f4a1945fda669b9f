"""Descriptors by name: what they take, what they give, and how other packages add theirs."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from auxface.plugins import Registry, nearest
from auxface.texture.images import GrayImages


@dataclass(frozen=True)
class Output:
    """What a descriptor gives for one set of parameters.

    Attributes:
        maps: maps per image.
        n_codes: number of codes, or None for a real map.
        n_bits: bits of a code, or None where a code is no string of bits.
        low: the real value that the scalar encoding maps to 0.
        high: the real value that the scalar encoding maps to 1.
        cell: pixels per side of what one value describes: 1, or the cell of a histogram descriptor.
    """

    maps: int = 1
    n_codes: int | None = None
    n_bits: int | None = None
    low: float = 0.0
    high: float = 1.0
    cell: int = 1

    @classmethod
    def bit_codes(cls, bits: int, maps: int = 1) -> "Output":
        """Codes that are strings of bits."""
        return cls(maps=maps, n_codes=1 << bits, n_bits=bits)

    @property
    def is_code(self) -> bool:
        """Whether the maps hold whole numbers below :attr:`n_codes`."""
        return self.n_codes is not None

    @property
    def encodings(self) -> tuple[str, ...]:
        """The target encodings that apply."""
        if not self.is_code:
            return ("scalar",)
        return ("scalar", "histogram") if self.n_bits is None else ("scalar", "bits", "histogram")


@dataclass(frozen=True)
class Descriptor:
    """A texture descriptor: a pure function and what must be known of it.

    Attributes:
        name: the name in recipes and on the command line.
        function: ``function(image, **parameters)``; see :func:`auxface.texture.local_binary_pattern`.
        output: ``output(**parameters)``, called with every parameter; must refuse what ``function`` refuses.
        reference: author, title, place and year.
        natural_encoding: the target encoding to use where none is asked for.
        input: ``image`` or ``clip``.
    """

    name: str
    function: Callable[..., GrayImages]
    output: Callable[..., Output] = field(repr=False)
    reference: str
    natural_encoding: str
    input: str = "image"

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameter names and their defaults, as the function declares them."""
        declared = list(inspect.signature(self.function).parameters.values())[1:]
        return {parameter.name: parameter.default for parameter in declared}

    def complete(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters with defaults filled in.

        Raises:
            TypeError: a parameter that the descriptor does not take.
        """
        known = self.parameters
        for name in parameters:
            if name not in known:
                have = ", ".join(known) or "none"
                raise TypeError(f"{self.name} has no parameter '{name}'{nearest(name, known)}; parameters: {have}")
        return {**known, **parameters}

    def describe_output(self, **parameters: Any) -> Output:
        """What the descriptor gives with these parameters (defaults filled in)."""
        return self.output(**self.complete(parameters))

    def maps(self, **parameters: Any) -> int:
        """Maps per image."""
        return self.describe_output(**parameters).maps

    def n_codes(self, **parameters: Any) -> int | None:
        """Number of codes; None for a real map."""
        return self.describe_output(**parameters).n_codes

    def n_bits(self, **parameters: Any) -> int | None:
        """Bits of a code; None where a code is no string of bits."""
        return self.describe_output(**parameters).n_bits


registry = Registry("texture descriptor", "auxface.descriptors", Descriptor)
register = registry.register
get = registry.get
available = registry.available


def describe(image: GrayImages, name: str, **parameters: Any) -> GrayImages:
    """Apply the descriptor ``name`` with ``parameters`` to gray images (or a clip).

    Args:
        image: uint8 [H, W], [B, H, W] or [B, 1, H, W], a tensor or an array; whole numbers 0..255 of other dtypes too.
            A clip descriptor takes [T, H, W] or [B, T, H, W].
        name: one of :func:`available`.
        parameters: of that descriptor; others keep their defaults.

    Returns:
        Maps in the layout of the input: a tensor on its device, or an array. One map per image has the shape of the
        input; M maps per image put an axis of M before H and W.

    Raises:
        TypeError, ValueError: no such descriptor or parameter, or an image that the descriptor does not take.
    """
    descriptor = get(name)
    return descriptor.function(image, **descriptor.complete(parameters))
