"""Descriptors by name: what they take, what they give, and how other packages add theirs."""

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

from auxface.texture.images import GrayImages

ENTRY_POINT_GROUP = "auxface.descriptors"


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
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise TypeError(f"{self.name} takes {', '.join(known) or 'no parameters'}, not {name}{hint}")
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


_registered: dict[str, Descriptor] = {}


def register(descriptor: Descriptor) -> Descriptor:
    """Add a descriptor under its name.

    Raises:
        ValueError: the name is taken by another descriptor.
    """
    if _registered.get(descriptor.name, descriptor) != descriptor:
        raise ValueError(f"a texture descriptor named {descriptor.name} is registered already")
    _registered[descriptor.name] = descriptor
    return descriptor


@functools.cache
def _load_entry_points() -> None:
    for point in entry_points(group=ENTRY_POINT_GROUP):
        descriptor = point.load()
        if not isinstance(descriptor, Descriptor):
            raise TypeError(f"entry point {point.name} of {ENTRY_POINT_GROUP} is no auxface.texture.Descriptor")
        register(descriptor)


def get(name: str) -> Descriptor:
    """The descriptor of that name.

    Raises:
        ValueError: no such descriptor; the sentence names the nearest.
    """
    if name not in _registered:
        _load_entry_points()
    if name not in _registered:
        near = difflib.get_close_matches(str(name), _registered, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(_registered))}"
        raise ValueError(f"no texture descriptor named {name!r}; {hint}")
    return _registered[name]


def available() -> dict[str, Descriptor]:
    """Every descriptor by name: those of auxface in the order of their definitions, then those of other packages."""
    _load_entry_points()
    return dict(_registered)


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
