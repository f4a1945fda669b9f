"""Recognition of images and videos by their first bytes, regardless of the file name.

Example::

    media_kind(path.open("rb").read(HEAD_BYTES))   # "image", "video" or None
"""

import os
import re
from pathlib import Path, PurePath
from typing import Literal

Kind = Literal["image", "video"]

HEAD_BYTES = 400
"""Number of bytes required by :func:`media_kind`."""

_IMAGES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\x00", b"MM\x00*")
_VIDEOS = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x00\x00\x01\xb3",  # MPEG-1 or MPEG-2 video
    b"\x00\x00\x01\xb0",  # MPEG-4 video
    b"\x00\x00\x00\x01\x67",  # H.264
    b"\x00\x00\x01\x67",
    b"\x00\x00\x00\x01\x09",
    b"\x00\x00\x00\x01\x40\x01",  # H.265
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF: WMV
    b"FLV\x01",
    b"OggS",
)
_STILL_BRANDS = frozenset({b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
IMAGE_SUFFIXES: tuple[str, ...] = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".avif",
    ".heic", ".heif",
)  # fmt: skip
VIDEO_SUFFIXES: tuple[str, ...] = (
    ".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".3gp", ".mts", ".m2ts", ".ts", ".flv",
    ".ogv", ".h264",
)  # fmt: skip


def media_kind(head: bytes) -> Kind | None:
    """Return the kind of a file given its first bytes, or None if it is neither an image nor a video."""
    if head[:4] == b"RIFF":
        return {b"WEBP": "image", b"AVI ": "video"}.get(head[8:12])  # pyright: ignore[reportReturnType]
    if head[4:8] == b"ftyp":
        return "image" if _brands(head) & _STILL_BRANDS else "video"
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip") or head.startswith(_VIDEOS):
        return "video"
    if _is_transport_stream(head):
        return "video"
    if head.startswith(_IMAGES) or (head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace()):
        return "image"
    return None


def is_heic(head: bytes) -> bool:
    """Return whether the first bytes of a file identify an HEIC image."""
    return head[4:8] == b"ftyp" and bool(_brands(head) & _HEIC_BRANDS)


def file_kind(path: str | os.PathLike[str]) -> Kind | None:
    """Return the kind of a file from its first bytes, or None for other files and files that cannot be opened."""
    try:
        # Opening a pipe or a device could block.
        if not os.path.isfile(path):
            return None
        with open(path, "rb") as file:
            return media_kind(file.read(HEAD_BYTES))
    except (OSError, ValueError):
        return None


def is_video(path: str | PurePath) -> bool:
    """Return whether a file is a video by its content, or by its suffix if the content is not recognized."""
    kind = file_kind(path)
    return kind == "video" if kind is not None else str(path).lower().endswith(VIDEO_SUFFIXES)


def printable(path: str | PurePath) -> str:
    r"""Return a path as text, with bytes that are not UTF-8 escaped, such as ``bad\xff.png``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def original_path(text: str) -> Path:
    r"""Return the path that :func:`printable` wrote; ``\xff`` is a byte only if no file has the text as its name."""
    path = Path(text)
    if os.path.lexists(path) or "\\x" not in text:
        return path
    raw = re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), os.fsencode(text))
    return Path(os.fsdecode(raw))


def _brands(head: bytes) -> set[bytes]:
    """Return the major and compatible brands of an ISO base media file."""
    size = min(int.from_bytes(head[:4]), len(head), 128)
    return {head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))}


def _is_transport_stream(head: bytes) -> bool:
    # Each packet has 188 bytes. In the .MTS files of cameras, each packet is preceded by four bytes.
    return any(
        len(head) > start + step and head[start] == head[start + step] == 0x47 for start, step in ((0, 188), (4, 192))
    )
