"""Tileable noise, made once per process: the stuff of skin, hair, cloth and backgrounds."""

from functools import lru_cache

import cv2
import numpy as np

TILE = 256  # a tile of 256 KB stays in a processor's cache, where sampling is three times as fast
WAVELENGTH = 16.0  # of every tile's main band, in texels
_SEED = 20190614


@lru_cache(maxsize=1)
def tiles() -> dict[str, np.ndarray]:
    """Noise tiles without seams, float32 [257, 257], zero mean, unit deviation; last row and column repeat the first.

    `grain`: one band of isotropic noise. `cloud`: the band and everything slower. `ridge`: a net of fine lines, as in
    creased skin. `strand`: long along the second axis, as in hair.
    """
    rng = np.random.default_rng(_SEED)
    fy = np.fft.fftfreq(TILE)[:, None]
    fx = np.fft.rfftfreq(TILE)[None, :]
    radius = np.hypot(fy, fx)
    centre = 1.0 / WAVELENGTH
    band = np.exp(-(((radius - centre) / (0.45 * centre)) ** 2))
    slow = 1.0 / (1.0 + (radius / (0.5 * centre)) ** 2.4)
    along = np.exp(-((fy / (0.05 * centre)) ** 2)) / (1.0 + (fx / (1.6 * centre)) ** 2) * (fx > 0.15 * centre)

    def filtered(gain: np.ndarray) -> np.ndarray:
        spectrum = np.fft.rfft2(rng.standard_normal((TILE, TILE))) * gain
        spectrum[0, 0] = 0
        picture = np.fft.irfft2(spectrum, s=(TILE, TILE))
        return picture / picture.std()

    grain = filtered(band)
    ridge = -np.abs(filtered(band))
    made = {"grain": grain, "cloud": filtered(slow), "ridge": ridge - ridge.mean(), "strand": filtered(along)}
    return {name: np.pad(tile / tile.std(), (0, 1), mode="wrap").astype(np.float32) for name, tile in made.items()}


def sample(name: str, a: np.ndarray, b: np.ndarray, wavelength: float, offset: tuple[float, float]) -> np.ndarray:
    """Noise at the positions (a, b), float32 arrays of one shape, its main band `wavelength` long in their unit."""
    # Folding the positions back by hand is three times as fast as OpenCV's own wrapping border.
    turns = WAVELENGTH / wavelength / TILE
    column = a * np.float32(turns) + np.float32(offset[0])
    row = b * np.float32(turns) + np.float32(offset[1])
    column -= np.floor(column)
    row -= np.floor(row)
    column *= TILE
    row *= TILE
    return cv2.remap(tiles()[name], column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def offset_of(seed: int, what: int) -> tuple[float, float]:
    """Where in a tile one person's pattern number `what` begins, as shares of the tile."""
    code = (seed * 2654435761 + what * 40503 * 65537 + 12345) & 0xFFFFFFFF
    code = ((code ^ (code >> 15)) * 2246822519) & 0xFFFFFFFF
    return (code & 0xFFFF) / 65536, (code >> 16) / 65536
