"""One image, from an untrusted file to uint8 RGB: right, or refused with a reason."""

import io
import stat
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

DECODE_VERSION = 1
"""Raised whenever the pixels that :func:`read_image` or :func:`fit_square` make change; caches are keyed by it."""

FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES: tuple[str, ...] = (
    ".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm",
)  # fmt: skip
MAX_PIXELS = 100_000_000
# What Pillow says of a damaged tag names no file; every refusal here does.
warnings.filterwarnings("ignore", module=r"PIL\.")
MAX_BYTES = 256 * 1024 * 1024


class UnreadableImage(Exception):
    """A file that is not a usable image; the message is the reason, a short phrase."""


def read_image(source: Path | bytes, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """Decode an image as a person would see it, uint8 [H, W, 3] RGB in 0..255.

    The EXIF turn is applied; gray, palette, CMYK and YCbCr become RGB; 16 bits are scaled to 8; transparency is laid
    over white; of an animation the first frame is taken. Color profiles are not applied, as everywhere in the field.

    Args:
        source: a file, or the bytes of one.
        max_pixels: larger images are refused from their header, before any memory is taken.
        max_bytes: larger files are refused unread.

    Raises:
        UnreadableImage: no such file, not an image, truncated, or over a bound.
    """
    data = source if isinstance(source, bytes) else read_bytes(Path(source), max_bytes)
    if not data:
        raise UnreadableImage("empty file")
    if len(data) > max_bytes:
        raise UnreadableImage(f"file of {len(data) / 2**20:.0f} MiB; at most {max_bytes / 2**20:.0f} are read")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise UnreadableImage(f"{width}x{height} pixels; at most {max_pixels / 1e6:.0f} megapixels are read")
            if width == 0 or height == 0:
                raise UnreadableImage("an image without pixels")
            image.load()
            return _to_rgb(_turned(image))
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage("not an image") from None
    except Image.DecompressionBombError:
        raise UnreadableImage(f"more than {max_pixels / 1e6:.0f} megapixels") from None
    except MemoryError:
        raise UnreadableImage("too large for this machine's memory") from None
    # Decoders meet bytes that nobody foresaw and raise nearly anything; each such file is one counted, named image.
    except Exception as error:
        truncated = isinstance(error, EOFError | struct.error) or "truncated" in str(error)
        raise UnreadableImage("truncated" if truncated else "damaged image") from None


def fit_square(pixels: np.ndarray, size: int) -> np.ndarray:
    """The central square, resized with antialiasing (triangle filter), uint8 [size, size, 3].

    Args:
        pixels: uint8 [H, W, 3].
        size: side of the result in pixels. The shorter side of the pixels becomes ``size``.
    """
    height, width = pixels.shape[:2]
    if height == width == size:
        return pixels
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)))


def shorter_side(path: Path) -> int | None:
    """Return the shorter side of an image file in pixels, from its header alone; None if there is no readable one."""
    try:
        # Opening a pipe or a device could block.
        if not path.is_file():
            return None
        with Image.open(path, formats=FORMATS) as image:
            return min(image.size)
    # A file that cannot be read is reported when it is decoded.
    except Exception:
        return None


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """The bytes of a regular file, or UnreadableImage with the reason."""
    try:
        about = path.stat()
        # A pipe or a device would block or never end.
        if not stat.S_ISREG(about.st_mode):
            raise UnreadableImage("not a file")
        if about.st_size > max_bytes:
            raise UnreadableImage(f"file of {about.st_size / 2**20:.0f} MiB; at most {max_bytes / 2**20:.0f} are read")
        return path.read_bytes()
    except FileNotFoundError:
        raise UnreadableImage("no such file") from None
    except PermissionError:
        raise UnreadableImage("no permission to read it") from None
    except (OSError, ValueError) as error:
        raise UnreadableImage(f"cannot be opened ({getattr(error, 'strerror', None) or 'bad name'})") from None


def _turned(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image) or image
    # Damaged EXIF says nothing about the pixels, which have been decoded by now.
    except Exception:
        return image


def _to_rgb(image: Image.Image) -> np.ndarray:
    mode = image.mode
    if mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise UnreadableImage("32 bits per channel; 8 or 16 are read")
        gray = ((values * 255 + 32767) // 65535).astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    if mode == "F":
        raise UnreadableImage("floating-point pixels; 8 or 16 bits are read")
    if mode in ("RGBA", "LA", "La", "RGBa", "PA") or "transparency" in image.info:
        front = image.convert("RGBA")
        white = Image.new("RGBA", front.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, front).convert("RGB"))
    return np.asarray(image if mode == "RGB" else image.convert("RGB"))
