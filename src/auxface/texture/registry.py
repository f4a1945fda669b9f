"""Registry of texture descriptors with their parameters and outputs; :func:`describe` applies a descriptor by name.

Example:
    >>> from auxface import texture
    >>> texture.get("local_directional_pattern").parameters
    {'k': 3, 'border': 'reflect'}
    >>> texture.get("local_ternary_pattern").describe_output(threshold=8)
    Output(maps=2, n_codes=256, n_bits=8, low=0.0, high=1.0, cell=1)
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from auxface.plugins import Registry, nearest
from auxface.texture.gray_images import GrayImages


def describe(image: GrayImages, name: str, **parameters: Any) -> GrayImages:
    """Apply the descriptor ``name`` to gray images or video clips.

    Args:
        image: uint8 tensor or array of shape [H, W], [B, H, W] or [B, 1, H, W]; integers from 0 to 255 of other dtypes
            are also accepted. A descriptor of video clips takes [T, H, W] or [B, T, H, W].
        name: one of :func:`available`.
        parameters: parameters of the descriptor; omitted parameters have their default values.

    Returns:
        Maps in the layout of the input, as a tensor on the same device or as an array. With one map per image, the
        result has the shape of the input; M maps per image add an axis of length M before H and W.

    Raises:
        InputError: no descriptor has this name.
        TypeError, ValueError: a parameter is unknown, or the descriptor does not accept the image or a value.

    Example:
        >>> import numpy as np
        >>> images = np.random.default_rng(0).integers(0, 256, (4, 32, 32), dtype=np.uint8)
        >>> describe(images, "local_ternary_pattern", threshold=8).shape
        (4, 2, 32, 32)
    """
    descriptor = get(name)
    return descriptor.function(image, **descriptor.complete(parameters))


@dataclass(frozen=True)
class Output:
    """The maps that a descriptor returns for one set of parameters.

    Attributes:
        maps: number of maps per image.
        n_codes: number of codes, or None for a real-valued map.
        n_bits: number of bits of a code, or None if individual bits have no meaning.
        low: real value that the scalar encoding maps to 0.
        high: real value that the scalar encoding maps to 1.
        cell: side in pixels of the area that one value describes: 1, or the cell side of a histogram descriptor.
    """

    maps: int = 1
    n_codes: int | None = None
    n_bits: int | None = None
    low: float = 0.0
    high: float = 1.0
    cell: int = 1

    @classmethod
    def bit_codes(cls, bits: int, maps: int = 1) -> "Output":
        """Return the output of a descriptor whose codes consist of ``bits`` independent bits."""
        return cls(maps=maps, n_codes=1 << bits, n_bits=bits)

    @property
    def is_code(self) -> bool:
        """Whether the maps contain integer codes below :attr:`n_codes`."""
        return self.n_codes is not None

    @property
    def encodings(self) -> tuple[str, ...]:
        """The target encodings available for these maps."""
        if not self.is_code:
            return ("scalar",)
        return ("scalar", "histogram") if self.n_bits is None else ("scalar", "bits", "histogram")


@dataclass(frozen=True)
class Descriptor:
    """A texture descriptor: a pure function and its metadata.

    Attributes:
        name: name in recipes and on the command line.
        function: function that computes the maps, called as ``function(image, **parameters)``; for an example, see
            :func:`auxface.texture.local_binary_pattern`.
        output: function that returns the :class:`Output`, called as ``output(**parameters)`` with every parameter. It
            raises an error for values that ``function`` rejects.
        reference: authors, title, venue and year of the paper.
        default_encoding: target encoding that is used if no encoding is given.
        input: kind of input, ``image`` or ``clip``.
    """

    name: str
    function: Callable[..., GrayImages]
    output: Callable[..., Output] = field(repr=False)
    reference: str
    default_encoding: str = "scalar"
    input: str = "image"

    @property
    def parameters(self) -> dict[str, Any]:
        """The names and default values of the function's parameters."""
        declared = list(inspect.signature(self.function).parameters.values())[1:]
        return {parameter.name: parameter.default for parameter in declared}

    def complete(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return all parameters, with default values for omitted parameters.

        Raises:
            TypeError: the descriptor does not have a given parameter.
        """
        known = self.parameters
        for name in parameters:
            if name not in known:
                have = ", ".join(known) or "none"
                raise TypeError(f"{self.name} has no parameter '{name}'{nearest(name, known)}; parameters: {have}")
        return {**known, **parameters}

    def describe_output(self, **parameters: Any) -> Output:
        """Return the output of the descriptor for these parameters; omitted parameters have their default values."""
        return self.output(**self.complete(parameters))

    def maps(self, **parameters: Any) -> int:
        """Return the number of maps per image."""
        return self.describe_output(**parameters).maps

    def n_codes(self, **parameters: Any) -> int | None:
        """Return the number of codes, or None for a real-valued map."""
        return self.describe_output(**parameters).n_codes

    def n_bits(self, **parameters: Any) -> int | None:
        """Return the number of bits of a code, or None if individual bits have no meaning."""
        return self.describe_output(**parameters).n_bits


registry = Registry("texture descriptor", "auxface.descriptors", Descriptor)
register = registry.register
get = registry.get
available = registry.available
