"""Detection of leaks between splits: sources in more than one split, and near-duplicate images.

Near-duplicates are copies of one image under any name, including recompressed, resized, brightened and gray copies.
Each image is represented by the low DCT frequencies of its 16 x 16 gray thumbnail (after pHash: Zauner, 2010), minus
their median over the manifest. Faces that were cropped in the same way resemble each other, and only the difference
from this median image identifies a copy. Crops and mirror images are not detected.

Example::

    pairs = find_near_duplicates(np.stack([thumbnail(image) for image in images]))
    leaks = find_leaks(manifest.table, pairs)
"""

import base64
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.fft import dctn

from auxface.data.images.decode import fit_square
from auxface.data.manifest import sources_in_several_splits

SIDE = 16
"""Side of a thumbnail in pixels."""
MIN_CORRELATION = 0.985
"""Minimum correlation of near-duplicates; unrelated face images are below 0.98, and recompressed copies above it."""
_FREQUENCIES = 128
_BANDS = 8
_MAX_COMPARED = 1024
_MAX_DIFFERING_BITS = 24
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_SET_BITS = np.unpackbits(np.arange(65536, dtype=np.uint16).view(np.uint8).reshape(-1, 2), axis=1).sum(
    1, dtype=np.uint16
)


@dataclass(frozen=True)
class Leaks:
    """Sources and near-duplicate images that are in more than one split.

    Attributes:
        sources: table with the columns dataset, source, splits (separated by spaces) and rows (number of rows), and one
            row per source in more than one split.
        images: table with the columns first, second (row indices) and correlation, and one row per pair of
            near-duplicates in different splits.
    """

    sources: pd.DataFrame
    images: pd.DataFrame


def find_leaks(table: pd.DataFrame, pairs: pd.DataFrame) -> Leaks:
    """Return the leaks between the splits of a manifest's table.

    Args:
        table: table with the columns split, dataset and source.
        pairs: result of :func:`find_near_duplicates`, as row indices of ``table``.
    """
    split = table["split"].to_numpy()
    crossing = split[pairs["first"].to_numpy()] != split[pairs["second"].to_numpy()]
    return Leaks(sources_in_several_splits(table), pairs[crossing].reset_index(drop=True))


def of_different_sources(table: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs of images with different sources, since frames of one video always resemble each other."""
    name = table["dataset"].astype(str).str.cat(table["source"].astype(str), sep="\0").to_numpy()
    different = name[pairs["first"].to_numpy()] != name[pairs["second"].to_numpy()]
    return pairs[different].reset_index(drop=True)


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Return the central square of an image (uint8 [H, W, 3]) as gray levels, uint8 [16, 16]."""
    return (fit_square(image, SIDE) @ _LUMA + 0.5).astype(np.uint8)


def encode_thumbnail(pixels: np.ndarray) -> str:
    """Encode a thumbnail as ASCII text."""
    return base64.b64encode(pixels.tobytes()).decode()


def decode_thumbnail(text: str) -> np.ndarray:
    """Decode a thumbnail, uint8 [16, 16], from the text of :func:`encode_thumbnail`."""
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(SIDE, SIDE)


def find_near_duplicates(thumbnails: np.ndarray) -> pd.DataFrame:
    """Return the pairs of near-duplicate images.

    If several images have equal thumbnails, each is paired only with the first of them.

    Args:
        thumbnails: thumbnails of the images, uint8 [N, 16, 16].

    Returns:
        Table with the columns first, second (image indices, first < second) and correlation (up to 1), in descending
        order of correlation.
    """
    flat = thumbnails.reshape(len(thumbnails), SIDE * SIDE)
    _, kept, group = np.unique(flat, axis=0, return_index=True, return_inverse=True)
    first = kept[group.ravel()]
    equal = np.flatnonzero(first != np.arange(len(thumbnails)))
    pairs = [np.stack([first[equal], equal, np.ones(len(equal))], 1)]
    kept = np.sort(kept)
    if len(kept) > 1:
        near, correlation = _correlated(flat[kept])
        pairs.append(np.concatenate([kept[near], correlation[:, None]], 1))
    found = pd.DataFrame(np.concatenate(pairs), columns=["first", "second", "correlation"])
    found = found.astype({"first": int, "second": int})
    return found.sort_values(["correlation", "first", "second"], ascending=[False, True, True], ignore_index=True)


def _correlated(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs [M, 2] of rows with a correlation of at least MIN_CORRELATION, and their correlations [M]."""
    rows, columns = np.meshgrid(range(SIDE), range(SIDE), indexing="ij")
    low = np.argsort((rows + columns).ravel(), kind="stable")[1 : _FREQUENCIES + 1]
    spectrum = np.concatenate([_spectrum(part)[:, low] for part in np.array_split(flat, len(flat) // 65536 + 1)])
    residual = spectrum - np.median(spectrum, axis=0)
    codes = np.packbits(residual > 0, axis=1)
    residual /= np.maximum(np.linalg.norm(residual, axis=1, keepdims=True), 1e-6)
    found = np.empty((0, 2), np.int64)
    # Locality-sensitive hashing: copies differ in only a few of the 128 sign bits, so at least one of the eight bands
    # of 16 bits is nearly always equal.
    for band in np.arange(_FREQUENCIES // 8).reshape(-1, _BANDS).T:
        found = np.concatenate([found, _correlated_in_buckets(codes, codes[:, band], residual)])
    found = np.unique(found, axis=0)
    return found, (residual[found[:, 0]] * residual[found[:, 1]]).sum(1)


def _spectrum(flat: np.ndarray) -> np.ndarray:
    images = flat.reshape(-1, SIDE, SIDE).astype(np.float32)
    return np.asarray(dctn(images, axes=(1, 2), norm="ortho")).reshape(len(flat), -1)


def _correlated_in_buckets(codes: np.ndarray, band: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Return the correlated pairs among rows that have the same bits in one band."""
    key = band.astype(np.uint16) @ np.array([256, 1], np.uint16)
    order = np.lexsort((*codes.T[::-1], key))
    bounds = np.flatnonzero(np.diff(key[order])) + 1
    starts = np.concatenate([[0], bounds])
    ends = np.repeat(np.concatenate([bounds, [len(order)]]), np.diff(np.concatenate([starts, [len(order)]])))
    found = []
    words = np.ascontiguousarray(codes).view(np.uint64)
    at = np.arange(len(order))
    # Each row is compared with the rows after it in its bucket. In a large bucket, it is compared only with the next
    # rows in the order of all bits.
    for step in range(1, min(_MAX_COMPARED, int((ends - at).max()))):
        left = np.flatnonzero(at + step < ends)
        for part in np.array_split(left, len(left) // 65536 + 1):
            one, other = order[part], order[part + step]
            close = _count_bits((words[one] ^ words[other]).view(np.uint16)) <= _MAX_DIFFERING_BITS
            one, other = one[close], other[close]
            correlated = (residual[one] * residual[other]).sum(1) >= MIN_CORRELATION
            found.append(np.sort(np.stack([one[correlated], other[correlated]], 1), 1))
    return np.concatenate(found) if found else np.empty((0, 2), np.int64)


def _count_bits(halves: np.ndarray) -> np.ndarray:
    """Return the number of set bits in each row of uint16 [N, 8]."""
    return _SET_BITS[halves].sum(1)
