"""The same image twice, by how it looks: recompressed, scaled, lightened or turned gray, under any name.

Each image becomes the low frequencies of a 16 x 16 gray copy (after pHash: Zauner, 2010), taken relative to the
median image of the manifest: faces that were cut alike resemble each other, and only what sets an image apart from
that shared look says that another is its copy.
"""

import base64

import numpy as np
import pandas as pd
from scipy.fft import dctn

from auxface.data.images.decode import fit_square

SIDE = 16
ALIKE = 0.985
"""Least correlation of copies. Below it lie other images of face packs (at most 0.98), above it recompressed ones."""
_KEPT = 128
_BANDS = 8
_MOST_IN_BUCKET = 1024
_MOST_BITS = 24
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_SET_BITS = np.unpackbits(np.arange(65536, dtype=np.uint16).view(np.uint8).reshape(-1, 2), axis=1).sum(
    1, dtype=np.uint16
)


def look(image: np.ndarray) -> np.ndarray:
    """An image's central square as 16 x 16 gray levels, uint8; from uint8 [H, W, 3]."""
    return (fit_square(image, SIDE) @ _LUMA + 0.5).astype(np.uint8)


def to_text(seen: np.ndarray) -> str:
    """A look as a line of ASCII."""
    return base64.b64encode(seen.tobytes()).decode()


def from_text(text: str) -> np.ndarray:
    """A look back from its line."""
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(SIDE, SIDE)


def find_copies(looks: np.ndarray) -> pd.DataFrame:
    """Pairs of images that look the same.

    Of several that are alike to the last pixel, each is paired with the first alone.

    Args:
        looks: uint8 [N, 16, 16].

    Returns:
        columns first, second (numbers of images, first < second) and likeness (correlation, up to 1), most alike
        first.
    """
    flat = looks.reshape(len(looks), SIDE * SIDE)
    _, kept, group = np.unique(flat, axis=0, return_index=True, return_inverse=True)
    first = kept[group.ravel()]
    twins = np.flatnonzero(first != np.arange(len(looks)))
    pairs = [np.stack([first[twins], twins, np.ones(len(twins))], 1)]
    kept = np.sort(kept)
    if len(kept) > 1:
        near, likeness = _near(flat[kept])
        pairs.append(np.concatenate([kept[near], likeness[:, None]], 1))
    found = pd.DataFrame(np.concatenate(pairs), columns=["first", "second", "likeness"])
    found = found.astype({"first": int, "second": int})
    return found.sort_values(["likeness", "first", "second"], ascending=[False, True, True], ignore_index=True)


def _near(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs [M, 2] of rows that correlate by ALIKE or more, and how much."""
    rows, columns = np.meshgrid(range(SIDE), range(SIDE), indexing="ij")
    low = np.argsort((rows + columns).ravel(), kind="stable")[1 : _KEPT + 1]
    spectrum = np.concatenate([_transformed(part)[:, low] for part in np.array_split(flat, len(flat) // 65536 + 1)])
    apart = spectrum - np.median(spectrum, axis=0)
    codes = np.packbits(apart > 0, axis=1)
    apart /= np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), 1e-6)
    found = np.empty((0, 2), np.int64)
    # Copies differ in few of 128 bits, so some of eight bands of 16 is nearly always the same in both.
    for band in np.arange(_KEPT // 8).reshape(-1, _BANDS).T:
        found = np.concatenate([found, _alike_in_bucket(codes, codes[:, band], apart)])
    found = np.unique(found, axis=0)
    return found, (apart[found[:, 0]] * apart[found[:, 1]]).sum(1)


def _transformed(flat: np.ndarray) -> np.ndarray:
    images = flat.reshape(-1, SIDE, SIDE).astype(np.float32)
    return np.asarray(dctn(images, axes=(1, 2), norm="ortho")).reshape(len(flat), -1)


def _bits(halves: np.ndarray) -> np.ndarray:
    """How many bits are set in each row of uint16 [N, 8]."""
    return _SET_BITS[halves].sum(1)


def _alike_in_bucket(codes: np.ndarray, band: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """Pairs of one band that turn out alike."""
    key = band.astype(np.uint16) @ np.array([256, 1], np.uint16)
    order = np.lexsort((*codes.T[::-1], key))
    bounds = np.flatnonzero(np.diff(key[order])) + 1
    starts = np.concatenate([[0], bounds])
    ends = np.repeat(np.concatenate([bounds, [len(order)]]), np.diff(np.concatenate([starts, [len(order)]])))
    found = []
    words = np.ascontiguousarray(codes).view(np.uint64)
    at = np.arange(len(order))
    # Each is compared with those that follow it in its bucket; in a huge one, with the next in order of all bits.
    for step in range(1, min(_MOST_IN_BUCKET, int((ends - at).max()))):
        left = np.flatnonzero(at + step < ends)
        for part in np.array_split(left, len(left) // 65536 + 1):
            one, other = order[part], order[part + step]
            close = _bits((words[one] ^ words[other]).view(np.uint16)) <= _MOST_BITS
            one, other = one[close], other[close]
            alike = (apart[one] * apart[other]).sum(1) >= ALIKE
            found.append(np.sort(np.stack([one[alike], other[alike]], 1), 1))
    return np.concatenate(found) if found else np.empty((0, 2), np.int64)
