"""Encodings of texture maps as decoder targets: scalars in [0, 1], bit planes, or one histogram per patch.

Example:
    >>> import numpy as np
    >>> from auxface import texture
    >>> codes = np.array([[0, 1, 2, 3]], np.uint8)
    >>> texture.encode(codes, "bits", n_codes=4)
    array([[[0, 1, 0, 1]],
    <BLANKLINE>
           [[0, 0, 1, 1]]], dtype=uint8)
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from auxface.texture.registry import Output, get
from auxface.texture.tiles import empty_real_maps

ENCODINGS = ("scalar", "bits", "histogram")
# Images are encoded in small groups, because an int64 copy of the whole batch would be eight times as large.
CHUNK = 1 << 18
# The widest codes have 48 bits, so the product of a code and the number of bins stays below 2^63.
MAX_BINS = 1 << 15


def encode_target(
    maps: Tensor | np.ndarray,
    name: str,
    encoding: str | None = None,
    *,
    patch: int | None = None,
    n_bins: int | None = None,
    **parameters: Any,
) -> Tensor | np.ndarray:
    """Encode the result of ``describe(images, name, **parameters)`` as a target.

    Args:
        maps: maps of a batch or of one image, as returned by ``describe``.
        name: name of the descriptor.
        encoding: ``scalar``, ``bits`` or ``histogram``; defaults to the descriptor's default encoding.
        patch: side of a patch in pixels; required for ``histogram``.
        n_bins: number of histogram bins per map; defaults to ``min(n_codes, 256)``.
        parameters: descriptor parameters with which the maps were computed.

    Returns:
        float32 [B, C, H, W] in [0, 1] for ``scalar``, uint8 [B, C, H, W] for ``bits``, float32 [B, H / p, W / p, C] for
        ``histogram``, where p is ``patch`` and C is the result of :func:`target_channels`. For a single image, the
        result has no axis B.

    Raises:
        InputError: no descriptor has this name.
        TypeError, ValueError: a parameter or the encoding is unknown, or the maps have the wrong shape.

    Example:
        >>> from auxface import texture
        >>> codes = texture.describe(torch.zeros(2, 32, 32, dtype=torch.uint8), "census_transform")
        >>> encode_target(codes, "census_transform", "histogram", patch=16).shape
        torch.Size([2, 2, 2, 256])
    """
    output, encoding = _output_and_encoding(name, encoding, parameters)
    value_range = None if output.is_code else (output.low, output.high)
    encoded = encode(
        maps,
        encoding,
        n_codes=output.n_codes,
        patch=patch,
        n_bins=n_bins,
        maps=output.maps,
        value_range=value_range,
    )
    if encoding == "scalar" and output.maps == 1 and encoded.ndim < 4:
        return encoded[:, None] if encoded.ndim == 3 else encoded[None]
    return encoded


def target_channels(name: str, encoding: str | None = None, *, n_bins: int | None = None, **parameters: Any) -> int:
    """Return the number of channels C of the targets of :func:`encode_target`.

    Args:
        name: name of the descriptor.
        encoding: ``scalar``, ``bits`` or ``histogram``; defaults to the descriptor's default encoding.
        n_bins: number of histogram bins per map; defaults to ``min(n_codes, 256)``.
        parameters: parameters of the descriptor.

    Raises:
        InputError: no descriptor has this name.
        TypeError, ValueError: a parameter or the encoding is unknown.

    Example:
        >>> target_channels("local_ternary_pattern", "bits")
        16
    """
    output, encoding = _output_and_encoding(name, encoding, parameters)
    if encoding == "bits":
        return output.maps * (output.n_bits or 0)
    if encoding == "histogram":
        return output.maps * (min(output.n_codes or 0, 256) if n_bins is None else n_bins)
    return output.maps


def encode(
    codes: Tensor | np.ndarray,
    encoding: str,
    *,
    n_codes: int | None = None,
    patch: int | None = None,
    n_bins: int | None = None,
    maps: int = 1,
    value_range: tuple[float, float] | None = None,
) -> Tensor | np.ndarray:
    """Encode texture codes or real-valued maps as targets.

    Args:
        codes: integers from 0 to n_codes - 1, or real values if ``value_range`` is given. Tensor or array of shape
            [H, W] or [B, H, W] with one map per image, or [M, H, W] or [B, M, H, W] with ``maps=M``.
        encoding: ``scalar`` gives code / (n_codes - 1), or (value - low) / (high - low). ``bits`` gives one 0/1 plane
            per bit, least significant bit first, map after map. ``histogram`` gives the fraction of pixels in each bin
            for every ``patch`` x ``patch`` square, map after map.
        n_codes: number of codes; must be a power of two for ``bits``.
        patch: side of a patch in pixels; must divide the height and width of the map.
        n_bins: number of bins per map; defaults to ``min(n_codes, 256)``. A code belongs to bin
            floor(code n_bins / n_codes).
        maps: number of maps per image.
        value_range: (low, high) of a real-valued map, which supports only the ``scalar`` encoding.

    Returns:
        float32 of the same shape for ``scalar``, uint8 [..., M n_bits, H, W] for ``bits``, float32
        [..., H / p, W / p, M n_bins] for ``histogram``, where p is ``patch``. The result has a leading axis B if the
        input had one.

    Raises:
        TypeError: ``codes`` is neither a tensor nor an array, or contains real values without ``value_range``.
        ValueError: the encoding is unknown, an argument is missing, or the shape does not match the arguments.

    Example:
        >>> encode(torch.tensor([[0, 1], [2, 3]]), "histogram", n_codes=4, patch=2)
        tensor([[[0.2500, 0.2500, 0.2500, 0.2500]]])
    """
    tensor = torch.from_numpy(np.ascontiguousarray(codes)) if isinstance(codes, np.ndarray) else codes
    if not isinstance(tensor, Tensor):
        raise TypeError(f"expected codes as a torch.Tensor or a numpy.ndarray, got {type(codes).__name__}")
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding must be one of {', '.join(ENCODINGS)}; got {encoding!r}")
    if value_range is not None:
        if encoding != "scalar":
            raise ValueError(f"a real-valued map supports only the scalar encoding, not {encoding}")
        encoded = _encode_real(tensor, *value_range)
    else:
        encoded = _encode_codes(tensor, encoding, n_codes=n_codes, patch=patch, n_bins=n_bins, maps=maps)
    return encoded.numpy() if isinstance(codes, np.ndarray) else encoded


def _encode_real(values: Tensor, low: float, high: float) -> Tensor:
    encoded = empty_real_maps(tuple(values.shape), values.device)
    if low:
        return torch.sub(values, low, out=encoded).div_(high - low)
    return torch.div(values, high - low, out=encoded)


def _encode_codes(
    codes: Tensor, encoding: str, *, n_codes: int | None, patch: int | None, n_bins: int | None, maps: int
) -> Tensor:
    if codes.is_floating_point():
        raise TypeError(f"expected integer codes, got {codes.dtype}; a real-valued map needs value_range=(low, high)")
    if n_codes is None or n_codes < 2:
        raise ValueError(f"n_codes must be the number of codes, at least 2; got {n_codes}")
    if encoding == "scalar":
        return _scalar(codes, n_codes)
    batched, batch = _as_batch(codes, maps)
    encoded = _bits(batch, n_codes) if encoding == "bits" else _histogram(batch, n_codes, patch, n_bins)
    return encoded if batched else encoded[0]


def _as_batch(codes: Tensor, maps: int) -> tuple[bool, Tensor]:
    """Return whether there is a batch axis, and the codes as [B, M, H, W]."""
    if codes.ndim == 4:
        if maps not in (1, codes.shape[1]):
            raise ValueError(f"expected [B, {maps}, H, W], got {tuple(codes.shape)}")
        return True, codes
    if codes.ndim == 3 and maps == 1:
        return True, codes[:, None]
    if codes.ndim == 3 and codes.shape[0] == maps:
        return False, codes[None]
    if codes.ndim == 2 and maps == 1:
        return False, codes[None, None]
    expected = "[H, W], [B, H, W] or [B, 1, H, W]" if maps == 1 else f"[{maps}, H, W] or [B, {maps}, H, W]"
    raise ValueError(f"expected codes {expected}, got shape {tuple(codes.shape)}")


def _scalar(codes: Tensor, n_codes: int) -> Tensor:
    if n_codes <= 1 << 24:
        return codes.to(torch.float32).div_(n_codes - 1)
    # float32 cannot represent all larger codes exactly, so they are divided in double precision.
    return codes.to(torch.float64).div_(n_codes - 1).to(torch.float32)


def _bits(codes: Tensor, n_codes: int) -> Tensor:
    bits = n_codes.bit_length() - 1
    if n_codes != 1 << bits:
        raise ValueError(f"encoding 'bits' requires n_codes to be a power of two, got {n_codes}")
    batch, maps, height, width = codes.shape
    planes = torch.empty((batch, maps, bits, height, width), dtype=torch.uint8, device=codes.device)
    for bit in range(bits):
        planes[:, :, bit] = (codes >> bit) & 1
    return planes.flatten(1, 2)


def _histogram(codes: Tensor, n_codes: int, patch: int | None, n_bins: int | None) -> Tensor:
    if patch is None or patch < 1:
        raise ValueError(f"histogram needs patch, the side of a patch in pixels; got {patch}")
    batch, maps, height, width = codes.shape
    if height % patch or width % patch:
        raise ValueError(f"patch={patch} must divide both sides of the map, got {height} x {width}")
    bins = min(n_codes, 256) if n_bins is None else n_bins
    if not 1 <= bins <= MAX_BINS:
        raise ValueError(f"n_bins must be from 1 to {MAX_BINS}, got {bins}")
    rows, columns = height // patch, width // patch
    result = torch.empty((batch, rows, columns, maps * bins), dtype=torch.float32, device=codes.device)
    step = max(1, CHUNK // max(1, maps * height * width))
    for first in range(0, batch, step):
        part = codes[first : first + step]
        cells = part.reshape(-1, maps, rows, patch, columns, patch).permute(0, 2, 4, 1, 3, 5).reshape(-1, patch * patch)
        wide = cells.to(torch.int64)
        if bins != n_codes:
            wide = wide * bins // n_codes
        counts = torch.zeros((len(cells), bins), dtype=torch.float32, device=codes.device)
        counts.scatter_add_(1, wide, torch.ones_like(wide, dtype=torch.float32))
        result[first : first + step] = counts.div_(patch * patch).view(len(part), rows, columns, -1)
    return result


def _output_and_encoding(name: str, encoding: str | None, parameters: dict[str, Any]) -> tuple[Output, str]:
    descriptor = get(name)
    output = descriptor.describe_output(**parameters)
    chosen = descriptor.default_encoding if encoding is None else encoding
    if chosen not in ENCODINGS:
        raise ValueError(f"encoding must be one of {', '.join(ENCODINGS)}; got {chosen!r}")
    if chosen not in output.encodings:
        raise ValueError(
            f"{name} with these parameters supports the encodings {', '.join(output.encodings)}, not {chosen}"
        )
    return output, chosen
