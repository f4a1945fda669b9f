"""Properties of image files and of their pixels, such as size, format, brightness and sharpness.

These properties do not describe a face, so a label that they predict can be learned without faces.

Example::

    files = file_properties(manifest.paths())     # bytes, width, height, format, jpeg_quality
    pixels = image_properties(samples.images)     # brightness, contrast, sharpness
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from auxface.data.images.decode import open_header

# The mean of the 32 smallest values of table K.1 of the JPEG standard (ITU-T T.81), which libjpeg scales by quality.
# Only the smallest are used, because the largest are limited to 255 at low qualities.
_SMALLEST, _LUMA_MEAN = 32, 28.0625
_AT_ONCE = 512
# Weights of red, green and blue in luma (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def file_properties(paths: Sequence[Path], advance: Callable[[], None] = lambda: None) -> pd.DataFrame:
    """Return properties of image files from their headers, without decoding pixels.

    Args:
        paths: image files.
        advance: function called after each file.

    Returns:
        Table with one row per file and the columns ``bytes``, ``width``, ``height``, ``format`` and ``jpeg_quality``,
        the libjpeg quality that corresponds to the luma quantization table. Unknown values are missing.
    """
    rows = []
    for path in paths:
        rows.append(_file_row(path))
        advance()
    return pd.DataFrame(rows, columns=["bytes", "width", "height", "format", "jpeg_quality"])


def _file_row(path: Path) -> tuple[object, ...]:
    with open_header(path) as image:
        if image is None:
            return np.nan, np.nan, np.nan, None, np.nan
        return path.stat().st_size, *image.size, image.format, _jpeg_quality(image)


def _jpeg_quality(image: Image.Image) -> float:
    tables: dict[int, Any] | None = getattr(image, "quantization", None)
    if not tables or 0 not in tables:
        return float("nan")
    scale = 100 * float(np.mean(np.sort(tables[0])[:_SMALLEST])) / _LUMA_MEAN
    # libjpeg scales the table by 5000 / quality for qualities below 50, and by 200 - 2 quality for qualities of 50 and
    # above.
    return round(5000 / scale if scale > 100 else 100 - scale / 2)


def image_properties(images: np.ndarray) -> pd.DataFrame:
    """Return the brightness, contrast and sharpness of images, or their means over the frames of clips.

    ``brightness`` and ``contrast`` are the mean and the standard deviation of the luma in [0, 1]. ``sharpness`` is the
    variance of the Laplacian of the luma (Pech-Pacheco et al., 2000), for luma from 0 to 255.

    Args:
        images: images, uint8 [N, 3, S, S], or clips, uint8 [N, T, 3, S, S].
    """
    parts = [_pixel_rows(np.asarray(images[start : start + _AT_ONCE])) for start in range(0, len(images), _AT_ONCE)]
    rows = np.concatenate(parts) if parts else np.empty((0, 3))
    return pd.DataFrame(rows, columns=["brightness", "contrast", "sharpness"])


def _pixel_rows(images: np.ndarray) -> np.ndarray:
    luma = np.tensordot(images.astype(np.float32), _LUMA, axes=(-3, 0))
    laplacian = (
        luma[..., :-2, 1:-1] + luma[..., 2:, 1:-1] + luma[..., 1:-1, :-2] + luma[..., 1:-1, 2:]
        - 4 * luma[..., 1:-1, 1:-1]
    )  # fmt: skip
    pixels = (-2, -1)
    rows = np.stack([luma.mean(pixels) / 255, luma.std(pixels) / 255, laplacian.var(pixels)], axis=-1)
    return rows if rows.ndim == 2 else rows.mean(axis=1)
