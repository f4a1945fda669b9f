"""From maps to what a decoder predicts: scalars in [0, 1], bit planes, or a histogram per patch."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from auxface.texture.registry import Output, get
from auxface.texture.tiles import real_maps

ENCODINGS = ("scalar", "bits", "histogram")
# A float64 or int64 copy of a whole batch would dwarf it; images are encoded a few at a time.
CHUNK = 1 << 18
# The widest codes have 48 bits: code times bins stays below 2^63.
MAX_BINS = 1 << 15


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
    """Encode codes as a target: ``scalar``, ``bits`` or ``histogram``.

    Args:
        codes: whole numbers 0 .. n_codes - 1, or real values with ``value_range``; [H, W] or [B, H, W] with one map per
            image, [M, H, W] or [B, M, H, W] with ``maps=M``. A tensor or an array.
        encoding: ``scalar``: code / (n_codes - 1), or (value - low) / (high - low); ``bits``: one 0/1 plane per bit,
            least significant first, maps one after the other; ``histogram``: share of each bin in every ``patch`` x
            ``patch`` square, maps one after the other.
        n_codes: number of codes; a power of two for ``bits``.
        patch: side of a patch in pixels; must divide both sides.
        n_bins: bins per map; default ``min(n_codes, 256)``. A code falls in bin floor(code n_bins / n_codes).
        maps: maps per image.
        value_range: low and high of a real map, which has only the ``scalar`` encoding.

    Returns:
        scalar: float32, shape kept. bits: uint8 [.., M n_bits, H, W]. histogram: float32 [.., H / p, W / p, M n_bins].
        A leading B stands where the input had one.

    Raises:
        TypeError: neither a tensor nor an array, or real values where codes are needed.
        ValueError: an unknown encoding, a missing number, or shapes that do not fit.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(codes)) if isinstance(codes, np.ndarray) else codes
    if not isinstance(tensor, Tensor):
        raise TypeError(f"expected codes as a torch.Tensor or a numpy.ndarray, got {type(codes).__name__}")
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding must be one of {', '.join(ENCODINGS)}; got {encoding!r}")
    if value_range is not None:
        if encoding != "scalar":
            raise ValueError(f"a real map has the scalar encoding alone, not {encoding}")
        low, high = value_range
        encoded = real_maps(tuple(tensor.shape), tensor.device)
        if low:
            torch.sub(tensor, low, out=encoded).div_(high - low)
        else:
            torch.div(tensor, high - low, out=encoded)
    else:
        encoded = _encode_codes(tensor, encoding, n_codes, patch, n_bins, maps)
    return encoded.numpy() if isinstance(codes, np.ndarray) else encoded


def _encode_codes(
    codes: Tensor, encoding: str, n_codes: int | None, patch: int | None, n_bins: int | None, maps: int
) -> Tensor:
    if codes.is_floating_point():
        raise TypeError(f"expected whole codes, got {codes.dtype}; a real map needs value_range=(low, high)")
    if n_codes is None or n_codes < 2:
        raise ValueError(f"n_codes must say how many codes there are (at least 2), got {n_codes}")
    if encoding == "scalar":
        return _scalar(codes, n_codes)
    batched, batch = _as_batch(codes, maps)
    encoded = _bits(batch, n_codes) if encoding == "bits" else _histogram(batch, n_codes, patch, n_bins)
    return encoded if batched else encoded[0]


def _as_batch(codes: Tensor, maps: int) -> tuple[bool, Tensor]:
    """Whether there is a batch axis, and the codes as [B, M, H, W]."""
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
    # Wider codes lose bits in single precision, so the division comes first.
    return codes.to(torch.float64).div_(n_codes - 1).to(torch.float32)


def _bits(codes: Tensor, n_codes: int) -> Tensor:
    bits = n_codes.bit_length() - 1
    if n_codes != 1 << bits:
        raise ValueError(f"bits needs codes that are strings of bits: n_codes must be a power of two, got {n_codes}")
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
        raise ValueError(f"n_bins must be 1 to {MAX_BINS}, got {bins}")
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


def target_channels(name: str, encoding: str | None = None, *, n_bins: int | None = None, **parameters: Any) -> int:
    """Channels C that :func:`encode_target` gives: [B, C, H, W], or [B, H / p, W / p, C] for a histogram.

    Args:
        name: of a descriptor.
        encoding: default: the descriptor's natural one.
        n_bins: bins per map of a histogram.
        parameters: of the descriptor.

    Raises:
        TypeError, ValueError: no such descriptor, parameter or encoding.
    """
    output, encoding = _output(name, encoding, parameters)
    if encoding == "bits":
        return output.maps * (output.n_bits or 0)
    if encoding == "histogram":
        return output.maps * (min(output.n_codes or 0, 256) if n_bins is None else n_bins)
    return output.maps


def encode_target(
    maps: Tensor | np.ndarray,
    name: str,
    encoding: str | None = None,
    *,
    patch: int | None = None,
    n_bins: int | None = None,
    **parameters: Any,
) -> Tensor | np.ndarray:
    """Encode what ``describe(images, name, **parameters)`` gave, with the numbers that belong to that descriptor.

    Args:
        maps: the maps of a batch or of one image, as ``describe`` gave them.
        name: of the descriptor.
        encoding: ``scalar``, ``bits`` or ``histogram``; default: the descriptor's natural one.
        patch: side of a patch in pixels, for a histogram.
        n_bins: bins per map of a histogram; default ``min(n_codes, 256)``.
        parameters: those that the maps were made with.

    Returns:
        scalar: float32 [B, C, H, W] in [0, 1]; bits: uint8 [B, C, H, W]; histogram: float32 [B, H / p, W / p, C]; C is
        :func:`target_channels`. Without B for one image.

    Raises:
        TypeError, ValueError: no such descriptor, parameter or encoding, or maps of another shape.
    """
    output, encoding = _output(name, encoding, parameters)
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


def _output(name: str, encoding: str | None, parameters: dict[str, Any]) -> tuple[Output, str]:
    descriptor = get(name)
    output = descriptor.describe_output(**parameters)
    chosen = descriptor.natural_encoding if encoding is None else encoding
    if chosen not in ENCODINGS:
        raise ValueError(f"encoding must be one of {', '.join(ENCODINGS)}; got {chosen!r}")
    if chosen not in output.encodings:
        raise ValueError(f"{name} with these parameters has the encodings {', '.join(output.encodings)}, not {chosen}")
    return output, chosen
