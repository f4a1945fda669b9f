"""What counts as an image: files, addresses, bytes, PIL images, arrays, tensors; all become uint8 RGB.

How a model sees an image: cut into faces as when it was trained, or taken whole.
"""

import hashlib
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from PIL import Image

from auxface.data.faces import FaceCropper, FaceSettings
from auxface.data.faces.settings import DetectorName
from auxface.data.images.decode import UnreadableImage, fit_square, read_image
from auxface.errors import InputError

ImageInput = str | Path | bytes | np.ndarray | torch.Tensor | Image.Image
IMAGE_TYPES = (str, Path, bytes, np.ndarray, torch.Tensor, Image.Image)

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


def read_any(image: ImageInput, *, allow_urls: bool = False) -> np.ndarray:
    """Any accepted kind of image to uint8 RGB [H, W, 3].

    Args:
        image: a path; encoded bytes; a PIL image; a uint8 array [H, W, 3] or tensor [3, H, W], both RGB (OpenCV reads
            BGR: turn it first). With ``allow_urls`` also an http or https address.
        allow_urls: whether an address is fetched.

    Raises:
        UnreadableImage: a file, address or bytes that do not hold an image.
        InputError: an array or tensor of another shape or type, or another kind of thing.
    """
    if isinstance(image, str) and is_url(image):
        if not allow_urls:
            raise UnreadableImage("an address; addresses are fetched only with --allow-urls (allow_urls=True)")
        return read_image(fetch(image))
    if isinstance(image, (str, Path)):
        return read_image(Path(image))
    if isinstance(image, bytes):
        return read_image(image)
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("RGB"))
    if isinstance(image, torch.Tensor):
        if image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape:
            raise InputError(f"a tensor must be uint8 [3, H, W], RGB; got {image.dtype} {list(image.shape)}")
        return image.permute(1, 2, 0).cpu().numpy()
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise InputError(f"an array must be uint8 [H, W, 3], RGB; got {image.dtype} {list(image.shape)}")
        return image
    raise InputError(f"expected a path, bytes, PIL image, array or tensor; got {type(image).__name__}")


def is_url(text: str) -> bool:
    """Whether a string is an http or https address rather than a path."""
    return text.lower().startswith(("http://", "https://"))


def fetch(url: str, *, max_bytes: int = MAX_URL_BYTES, seconds: float = MAX_URL_SECONDS) -> bytes:
    """The bytes behind an address, within bounds of size and time.

    Raises:
        UnreadableImage: no answer in time, an error, or more than ``max_bytes``.
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
                    raise UnreadableImage(f"more than {max_bytes / 2**20:.0f} MiB behind the address")
                if time.monotonic() > end:
                    raise UnreadableImage(f"the address did not answer whole within {seconds:g} s")
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise UnreadableImage(f"the address cannot be fetched ({getattr(error, 'reason', error)})") from None
    return b"".join(parts)


def name_of(image: ImageInput, place: int) -> str:
    """What a prediction calls its input: the path or address, or the place among the inputs."""
    return str(image) if isinstance(image, (str, Path)) else f"image {place}"


FacesMode = Literal["auto", "crop", "whole"]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Shown:
    """A face as the model will see it: where it was found (x, y, width, height in pixels), and its square [S, S, 3]."""

    box: Box
    square: np.ndarray


Framing = Callable[[np.ndarray], list[Shown]]


@dataclass(frozen=True)
class FaceFraming:
    """Finds every face and cuts it as the settings say; see :func:`make_framing`."""

    cropper: FaceCropper
    size: int

    def __call__(self, image: np.ndarray) -> list[Shown]:
        """Faces from left to right."""
        return [Shown(face.box, fit_square(square, self.size)) for face, square in self.cropper.crop(image)]


@dataclass(frozen=True)
class WholeFraming:
    """Takes the central square of an image as one face."""

    size: int

    def __call__(self, image: np.ndarray) -> list[Shown]:
        """Exactly one."""
        height, width = image.shape[:2]
        side = min(height, width)
        box = ((width - side) / 2, (height - side) / 2, float(side), float(side))
        return [Shown(box, fit_square(image, self.size))]


def make_framing(
    crop: dict[str, Any] | None,
    size: int,
    *,
    faces: FacesMode = "auto",
    detector: DetectorName | None = None,
    weights: Path | None = None,
    warn: Callable[[str], None],
) -> Framing:
    """How images become faces for a model.

    Args:
        crop: the model's record of how its training faces were cut; None: they were used as they were.
        size: side of the model's input in pixels.
        faces: ``auto``: as the model was trained; ``crop``: find and cut faces, also for a model of whole images;
            ``whole``: the image is the face.
        detector: replaces the recorded detector.
        weights: YuNet's file; see :func:`auxface.data.faces.detection.yunet_weights`.
        warn: told what differs from training.

    Raises:
        InputError: settings that cannot be, or a detector that cannot be had.
    """
    if faces not in get_args(FacesMode):
        raise InputError(f"faces '{faces}': expected {', '.join(get_args(FacesMode))}")
    recorded = recorded_settings(crop)
    if faces == "whole" or (faces == "auto" and recorded is None):
        if recorded is not None:
            warn(
                f"the model learned from faces cut with {recorded.detector} (margin {recorded.margin:g}); whole "
                "images are scored as they are, so they must be cut alike"
            )
        return WholeFraming(size)
    if recorded is None:
        warn("the model learned from images used as they were; how its faces were framed is not recorded")
    settings = replace(recorded or FaceSettings(), which="all")
    if detector is not None and detector != settings.detector:
        settings = replace(settings, detector=detector)
        if recorded is not None:
            warn(f"faces are found with {detector}; the model learned from faces found with {recorded.detector}")
    cropper = FaceCropper(settings, weights)
    if weights is not None and settings.detector == "yunet" and (crop or {}).get("weights"):
        mark = hashlib.sha256(Path(weights).read_bytes()).hexdigest()
        if mark != (crop or {})["weights"]:
            warn(f"{weights}: not the YuNet weight that cut the training faces")
    return FaceFraming(cropper, size)


def recorded_settings(crop: dict[str, Any] | None) -> FaceSettings | None:
    """The face settings in a model's record, or None where it cut no faces.

    Raises:
        InputError: a record that is none.
    """
    if not crop or "detector" not in crop:
        return None
    for name, kind in (("size", int), ("least", int), ("margin", (int, float))):
        if name in crop and (not isinstance(crop[name], kind) or isinstance(crop[name], bool)):
            raise InputError(f"config.json: crop.{name} must be a number, not {crop[name]!r}")
    for name in ("cut", "detector", "which"):
        if name in crop and not isinstance(crop[name], str):
            raise InputError(f"config.json: crop.{name} must be a name, not {crop[name]!r}")
    return FaceSettings.from_json(crop)
