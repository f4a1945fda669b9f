"""What counts as a picture: files, addresses, bytes, PIL images, arrays, tensors; all become uint8 RGB."""

import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from auxface.data.decode import UnreadablePicture, read_picture
from auxface.errors import InputError

Picture = str | Path | bytes | np.ndarray | torch.Tensor | Image.Image
PICTURE_TYPES = (str, Path, bytes, np.ndarray, torch.Tensor, Image.Image)

MAX_URL_BYTES = 32 * 1024 * 1024
MAX_URL_SECONDS = 20.0
# These alone, so that no redirection leads to a file or another protocol.
_OPENER = urllib.request.OpenerDirector()
for _handler in (
    urllib.request.ProxyHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPRedirectHandler,
    urllib.request.HTTPErrorProcessor,
    urllib.request.UnknownHandler,
):
    _OPENER.add_handler(_handler())


def read_any(picture: Picture, *, allow_urls: bool = False) -> np.ndarray:
    """Any accepted kind of picture to uint8 RGB [H, W, 3].

    Args:
        picture: a path; encoded bytes; a PIL image; a uint8 array [H, W, 3] or tensor [3, H, W], both RGB (OpenCV reads
            BGR: turn it first). With ``allow_urls`` also an http or https address.
        allow_urls: whether an address is fetched.

    Raises:
        UnreadablePicture: a file, address or bytes that do not hold a picture.
        InputError: an array or tensor of another shape or type, or another kind of thing.
    """
    if isinstance(picture, str) and is_url(picture):
        if not allow_urls:
            raise UnreadablePicture("an address; addresses are fetched only with --allow-urls (allow_urls=True)")
        return read_picture(fetch(picture))
    if isinstance(picture, (str, Path)):
        return read_picture(Path(picture))
    if isinstance(picture, bytes):
        return read_picture(picture)
    if isinstance(picture, Image.Image):
        return np.asarray(picture.convert("RGB"))
    if isinstance(picture, torch.Tensor):
        if picture.dtype != torch.uint8 or picture.ndim != 3 or picture.shape[0] != 3 or 0 in picture.shape:
            raise InputError(f"a tensor must be uint8 [3, H, W], RGB; got {picture.dtype} {list(picture.shape)}")
        return picture.permute(1, 2, 0).cpu().numpy()
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
            raise InputError(f"an array must be uint8 [H, W, 3], RGB; got {picture.dtype} {list(picture.shape)}")
        return picture
    raise InputError(f"expected a path, bytes, PIL image, array or tensor; got {type(picture).__name__}")


def is_url(text: str) -> bool:
    """Whether a string is an http or https address rather than a path."""
    return text.lower().startswith(("http://", "https://"))


def fetch(url: str, *, max_bytes: int = MAX_URL_BYTES, seconds: float = MAX_URL_SECONDS) -> bytes:
    """The bytes behind an address, within bounds of size and time.

    Raises:
        UnreadablePicture: no answer in time, an error, or more than ``max_bytes``.
    """
    end = time.monotonic() + seconds
    parts: list[bytes] = []
    total = 0
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "auxface"})
        with _OPENER.open(request, timeout=seconds) as reply:
            while part := reply.read1(1 << 16):
                parts.append(part)
                total += len(part)
                if total > max_bytes:
                    raise UnreadablePicture(f"more than {max_bytes / 2**20:.0f} MiB behind the address")
                if time.monotonic() > end:
                    raise UnreadablePicture(f"the address did not answer whole within {seconds:g} s")
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise UnreadablePicture(f"the address cannot be fetched ({getattr(error, 'reason', error)})") from None
    return b"".join(parts)


def name_of(picture: Picture, place: int) -> str:
    """What a prediction calls its input: the path or address, or the place among the inputs."""
    return str(picture) if isinstance(picture, (str, Path)) else f"picture {place}"
