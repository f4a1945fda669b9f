"""Decoding of untrusted image files to uint8 RGB, or rejection with a reason.

Example::

    try:
        image = read_image(Path("face.jpg"))  # uint8 [H, W, 3]
    except UnreadableImage as error:
        print(f"face.jpg: {error}")

:func:`in_order` decodes many files concurrently in threads.
"""

import io
import os
import stat
import struct
import warnings
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from auxface.data.media import HEAD_BYTES, is_heic, media_kind

DECODE_VERSION = 2
"""Version that is increased whenever the output of :func:`read_image` or :func:`fit_square` changes; part of every
cache key."""

FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "HEIF")
MAX_PIXELS = 100_000_000
MAX_BYTES = 256 * 1024 * 1024
# Pillow's warnings about corrupt tags do not name the file, whereas the errors here do.
warnings.filterwarnings("ignore", module=r"PIL\.")


class UnreadableImage(Exception):
    """Raised for a file that is not a readable image; the message is the reason, a short phrase."""


def read_image(source: Path | bytes, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """Decode an image as a viewer would display it, uint8 [H, W, 3] RGB.

    The EXIF orientation is applied. Gray, palette, CMYK and YCbCr images are converted to RGB, and 16-bit values are
    scaled to 8 bits. Transparent pixels are composited over white, and only the first frame of an animation is read.
    Color profiles are not applied, as is usual for training data.

    Args:
        source: image file, or its bytes.
        max_pixels: maximum number of pixels; larger images are rejected after their header is read, before memory is
            allocated.
        max_bytes: maximum size of the file in bytes; larger files are rejected without being read.

    Raises:
        UnreadableImage: the file does not exist, is not an image, is truncated, or is too large.
    """
    data = source if isinstance(source, bytes) else read_bytes(Path(source), max_bytes)
    if not data:
        raise UnreadableImage("empty file")
    if len(data) > max_bytes:
        raise UnreadableImage(f"file of {len(data) / 2**20:.0f} MiB; at most {max_bytes / 2**20:.0f} MiB are read")
    try:
        with _open_image(data) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise UnreadableImage(f"{width}x{height} pixels; at most {max_pixels / 1e6:.0f} megapixels are read")
            if width == 0 or height == 0:
                raise UnreadableImage("an image without pixels")
            image.load()
            return image_to_rgb(image)
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage(_unread_reason(data)) from None
    except Image.DecompressionBombError:
        raise UnreadableImage(f"more than {max_pixels / 1e6:.0f} megapixels") from None
    except MemoryError:
        raise UnreadableImage("too large for this machine's memory") from None
    # Decoders may raise almost any exception on malformed bytes. Such a file is counted and listed as unreadable.
    except Exception as error:
        truncated = isinstance(error, EOFError | struct.error) or "truncated" in str(error)
        raise UnreadableImage("truncated" if truncated else "corrupt image") from None


def fit_square(pixels: np.ndarray, size: int, crop: float = 1.0) -> np.ndarray:
    """Return the central square of an image, resized with antialiasing (triangle filter), uint8 [size, size, 3].

    Args:
        pixels: image, uint8 [H, W, 3].
        size: side of the result in pixels.
        crop: side of the square as a fraction of the shorter side of the image. For example, 0.875 is equivalent to
            resizing the shorter side to size / 0.875 and cropping the center.
    """
    height, width = pixels.shape[:2]
    if height == width == size and crop == 1:
        return pixels
    side = crop * min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)))


def shorter_side(path: Path) -> int | None:
    """Return the shorter side of an image file in pixels from its header, or None if the header is unreadable."""
    with open_header(path) as image:
        return None if image is None else min(image.size)


@contextmanager
def open_header(path: Path) -> Iterator[Image.Image | None]:
    """Open an image file without decoding its pixels; yield None if its header is unreadable."""
    with ExitStack() as stack:
        image = None
        try:
            # Opening a pipe or a device could block.
            if path.is_file():
                with path.open("rb") as file:
                    if is_heic(file.read(HEAD_BYTES)):
                        _register_heif()
                known = [name for name in FORMATS if name in _known_formats()]
                image = stack.enter_context(Image.open(path, formats=known))
        # A file that cannot be read is reported when it is decoded.
        except Exception:
            image = None
        yield image


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        UnreadableImage: the file does not exist, is not a regular file, may not be read, or exceeds ``max_bytes``.
    """
    try:
        status = path.stat()
        # Reading from a pipe or a device could block or never end.
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableImage("not a file")
        if status.st_size > max_bytes:
            size, most = status.st_size / 2**20, max_bytes / 2**20
            raise UnreadableImage(f"file of {size:.0f} MiB; at most {most:.0f} MiB are read")
        return path.read_bytes()
    except FileNotFoundError:
        raise UnreadableImage("no such file") from None
    except PermissionError:
        raise UnreadableImage("no permission to read it") from None
    except (OSError, ValueError) as error:
        raise UnreadableImage(f"cannot be opened ({getattr(error, 'strerror', None) or 'invalid name'})") from None


def _open_image(data: bytes) -> Image.Image:
    if is_heic(data[:HEAD_BYTES]):
        _register_heif()
    return Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name in _known_formats()])


def _known_formats() -> Collection[str]:
    Image.init()
    return Image.OPEN


def _register_heif() -> None:
    try:
        from pi_heif import register_heif_opener  # pyright: ignore[reportMissingImports]
    except ImportError:
        return
    register_heif_opener()


def _unread_reason(data: bytes) -> str:
    if is_heic(data[:HEAD_BYTES]):
        try:
            import pi_heif  # noqa: F401  # pyright: ignore[reportMissingImports, reportUnusedImport]
        except ImportError:
            return "an HEIC image; to read it: pip install 'auxface[heif]'"
        return "corrupt image"
    return "a video" if media_kind(data[:HEAD_BYTES]) == "video" else "not an image"


def count_unread_frames(source: Path | bytes) -> int:
    """Return the number of frames or pages after the first in an image file, which :func:`read_image` ignores.

    The number is 0 for a file that cannot be read.
    """
    try:
        data = source if isinstance(source, bytes) else read_bytes(source, MAX_BYTES)
        if is_heic(data[:HEAD_BYTES]):
            return 0
        with _open_image(data) as image:
            return getattr(image, "n_frames", 1) - 1
    # A file that cannot be read is reported when it is decoded.
    except Exception:
        return 0


def image_to_rgb(image: Image.Image) -> np.ndarray:
    """Convert a PIL image to upright uint8 [H, W, 3] RGB, as in :func:`read_image`.

    Raises:
        UnreadableImage: the pixels are floating-point or 32-bit values.
    """
    return _to_rgb(_oriented(image))


def _oriented(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image) or image
    # Corrupt EXIF data does not affect the pixels, which are already decoded.
    except Exception:
        return image


def _to_rgb(image: Image.Image) -> np.ndarray:
    mode = image.mode
    if mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise UnreadableImage("32 bits per channel; only 8 and 16 bits are read")
        gray = ((values * 255 + 32767) // 65535).astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    if mode == "F":
        raise UnreadableImage("floating-point pixels; only 8-bit and 16-bit integers are read")
    if mode in ("RGBA", "LA", "La", "RGBa", "PA") or "transparency" in image.info:
        front = image.convert("RGBA")
        white = Image.new("RGBA", front.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, front).convert("RGB"))
    return np.asarray(image if mode == "RGB" else image.convert("RGB"))


Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int | None = None
) -> Iterator[Result]:
    """Yield ``function(item)`` for each item, in order, from a pool of threads.

    Threads suffice because decoding, resizing, detection and hashing release the global interpreter lock.

    Args:
        function: function called in a thread; its exceptions are raised here.
        items: items to process. At most 8 per worker are read in advance, so the iterable may be infinite.
        workers: number of threads; defaults to one per processor core.

    Example:
        >>> list(in_order(str.upper, ["a", "b", "c"], workers=2))
        ['A', 'B', 'C']
    """
    count = workers or os.cpu_count() or 1
    items = iter(items)
    pool = ThreadPoolExecutor(count)
    waiting: deque[Future[Result]] = deque()
    try:
        waiting.extend(pool.submit(function, item) for item in islice(items, 8 * count))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(items, 1))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
