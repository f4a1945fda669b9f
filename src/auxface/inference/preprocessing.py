"""Convert inputs to model input: read images as RGB, and crop faces as in training.

:func:`to_rgb` reads files, URLs, bytes, PIL images, arrays and tensors. :func:`make_face_extractor` returns a function
that extracts face crops at the model's input size from an image.

Example::

    extract_faces = make_face_extractor(config.crop, 224, warn=print)
    for crop in extract_faces(to_rgb("photo.jpg")):
        crop.box, crop.pixels
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
from auxface.data.faces.detection import DetectorName
from auxface.data.images.decode import UnreadableImage, fit_square, image_to_rgb, read_image
from auxface.data.media import printable
from auxface.errors import InputError
from auxface.inference.face_tracks import Box

ImageInput = str | Path | bytes | np.ndarray | torch.Tensor | Image.Image
IMAGE_TYPES = (str, Path, bytes, np.ndarray, torch.Tensor, Image.Image)
FacesMode = Literal["auto", "crop", "whole"]

MAX_URL_BYTES = 32 * 1024 * 1024
MAX_URL_SECONDS = 20.0


def to_rgb(image: ImageInput, *, allow_urls: bool = False) -> np.ndarray:
    """Convert an image input to a uint8 RGB array [H, W, 3].

    Args:
        image: a path; encoded bytes; a PIL image; an RGB array [H, W, 3] or tensor [3, H, W]; a gray array or tensor
            [H, W]; or, with ``allow_urls``, an http or https URL. Arrays and tensors are uint8, or floating-point in
            [0, 1]. OpenCV reads images as BGR; reverse the channels of such arrays first.
        allow_urls: whether to fetch URLs.

    Raises:
        UnreadableImage: the file, URL or bytes do not contain a readable image.
        InputError: an array or tensor has an invalid shape, dtype or range, or ``image`` has an unsupported type.
    """
    if isinstance(image, str) and is_url(image):
        if not allow_urls:
            raise UnreadableImage("a URL; URLs are fetched only with --allow-urls (allow_urls=True)")
        return read_image(fetch(image))
    if isinstance(image, (str, Path)):
        return read_image(Path(image))
    if isinstance(image, bytes):
        return read_image(image)
    if isinstance(image, Image.Image):
        try:
            return image_to_rgb(image)
        # Pillow decodes the file of an opened image only at this point.
        except OSError:
            raise UnreadableImage("truncated or corrupt image") from None
    if isinstance(image, torch.Tensor):
        array = image.detach().cpu()
        array = (array.float() if array.dtype == torch.bfloat16 else array).numpy()
        return _array_to_rgb(array, "tensor", channels_first=True)
    if isinstance(image, np.ndarray):
        return _array_to_rgb(image, "array", channels_first=False)
    raise InputError(f"expected a path, bytes, PIL image, array or tensor; found {type(image).__name__}")


def _array_to_rgb(image: np.ndarray, name: str, *, channels_first: bool) -> np.ndarray:
    channels, other = (0, 2) if channels_first else (2, 0)
    if 0 in image.shape or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[channels] not in (1, 3)):
        advice = ""
        if image.ndim == 4:
            advice = "; for several images, pass a list: list(images)"
        elif image.ndim == 3 and image.shape[other] == 3:
            advice = "; convert it: " + ("image.permute(2, 0, 1)" if channels_first else "image.transpose(1, 2, 0)")
        elif image.ndim == 3 and image.shape[channels] == 4:
            advice = f"; remove alpha: image[{':3' if channels_first else '..., :3'}]"
        shape = "[3, H, W]" if channels_first else "[H, W, 3]"
        raise InputError(f"the {name} must be RGB {shape} or gray [H, W]; found {list(image.shape)}{advice}")
    if np.issubdtype(image.dtype, np.floating):
        if not (image.min() >= 0 and image.max() <= 1):
            raise InputError(
                f"a floating-point {name} must be in [0, 1]; found {image.min():g} to {image.max():g}; for values "
                "from 0 to 255 use image / 255"
            )
        image = (image.astype(np.float32) * 255).round().astype(np.uint8)
    elif image.dtype != np.uint8:
        lines = {np.dtype(np.uint16): "(image // 257).astype(np.uint8)", np.dtype(bool): "image.astype(np.uint8) * 255"}
        advice = lines.get(image.dtype, "image.astype(np.uint8), if its values are 0 to 255")
        raise InputError(f"the {name} has dtype {image.dtype}; expected uint8 or floating-point; convert it: {advice}")
    if image.ndim == 3 and channels_first:
        image = image.transpose(1, 2, 0)
    if image.ndim == 2 or image.shape[2] == 1:
        image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(image)


def is_url(text: str) -> bool:
    """Return whether a string is an http or https URL rather than a path."""
    return text.lower().startswith(("http://", "https://"))


def fetch(url: str, *, max_bytes: int = MAX_URL_BYTES, seconds: float = MAX_URL_SECONDS) -> bytes:
    """Fetch the bytes at a URL within limits on size and time.

    Raises:
        UnreadableImage: the server does not respond within the time limit, responds with an error, or sends more than
            ``max_bytes``.
    """
    end = time.monotonic() + seconds
    parts: list[bytes] = []
    total = 0
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "auxface"})
        with _web_opener().open(request, timeout=seconds) as reply:
            while part := reply.read1(1 << 16):
                parts.append(part)
                total += len(part)
                if total > max_bytes:
                    raise UnreadableImage(f"the URL sends more than {max_bytes / 2**20:.0f} MiB")
                if time.monotonic() > end:
                    raise UnreadableImage(f"the URL did not send the whole file within {seconds:g} s")
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise UnreadableImage(f"the URL cannot be fetched ({getattr(error, 'reason', error)})") from None
    return b"".join(parts)


def _web_opener() -> urllib.request.OpenerDirector:
    """Return an opener for http and https only, so that redirects cannot lead to files or other protocols."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def input_name(image: ImageInput, index: int) -> str:
    """Return the name of an input in a prediction: its path or URL, or ``image`` with its index."""
    return printable(image) if isinstance(image, (str, Path)) else f"image {index}"


@dataclass(frozen=True)
class FaceCrop:
    """One face of an image, cropped and resized for the model.

    Attributes:
        box: box (x, y, width, height) of the face in pixels of the image.
        pixels: RGB crop at the model's input size, uint8 [S, S, 3].
    """

    box: Box
    pixels: np.ndarray


FaceExtractor = Callable[[np.ndarray], list[FaceCrop]]
"""Function that returns the face crops of an RGB image, uint8 [H, W, 3]."""


@dataclass(frozen=True)
class DetectedFaces:
    """A face extractor that detects every face and crops it; made by :func:`make_face_extractor`."""

    cropper: FaceCropper
    size: int
    crop: float = 1.0

    def __call__(self, image: np.ndarray) -> list[FaceCrop]:
        """Return the face crops from left to right."""
        return [FaceCrop(face.box, self.fit(pixels)) for face, pixels in self.cropper.crop(image)]

    def fit(self, pixels: np.ndarray) -> np.ndarray:
        """Resize the crop of one face to the model's input size."""
        return fit_square(pixels, self.size, self.crop)


@dataclass(frozen=True)
class WholeImage:
    """A face extractor that uses the central square of an image as one face."""

    size: int
    crop: float = 1.0

    def __call__(self, image: np.ndarray) -> list[FaceCrop]:
        """Return exactly one crop."""
        height, width = image.shape[:2]
        side = self.crop * min(height, width)
        box = ((width - side) / 2, (height - side) / 2, float(side), float(side))
        return [FaceCrop(box, fit_square(image, self.size, self.crop))]


def make_face_extractor(
    crop: dict[str, Any] | None,
    size: int,
    *,
    evaluation_crop: float = 1.0,
    faces: FacesMode = "auto",
    detector: DetectorName | None = None,
    weights: Path | None = None,
    warn: Callable[[str], None],
) -> FaceExtractor:
    """Return a function that crops faces from images for a model.

    Args:
        crop: settings with which the training faces were cropped (``crop`` in the model's config); None if training
            used whole images.
        size: side length of the model's input in pixels.
        evaluation_crop: value of ``encoder.evaluation_crop`` in the recipe.
        faces: ``auto`` extracts faces as in training, ``crop`` detects and crops faces even if training used whole
            images, and ``whole`` uses the central square of the image as one face.
        detector: detector to use in place of the recorded detector.
        weights: path of YuNet's weights; see :func:`auxface.data.faces.detection.yunet_weights`.
        warn: callback that receives a message about each difference from training.

    Raises:
        InputError: a setting is invalid, or the detector cannot be loaded.
    """
    if faces not in get_args(FacesMode):
        raise InputError(f"faces must be one of {', '.join(get_args(FacesMode))}; found '{faces}'")
    recorded = recorded_settings(crop)
    if faces == "whole" or (faces == "auto" and recorded is None):
        if recorded is not None:
            warn(
                f"the model was trained on faces cropped with {recorded.detector} (margin {recorded.margin:g}); "
                "images are now scored without cropping, so crop them in the same way first"
            )
        return WholeImage(size, evaluation_crop)
    if recorded is None:
        warn("the model was trained on images without face cropping; the crops may differ from its training images")
    settings = replace(recorded or FaceSettings(), which="all")
    if detector is not None and detector != settings.detector:
        settings = replace(settings, detector=detector)
        if recorded is not None:
            warn(f"faces are detected with {detector}; the model was trained on faces found with {recorded.detector}")
    cropper = FaceCropper(settings, weights)
    if weights is not None and settings.detector == "yunet" and (crop or {}).get("weights"):
        digest = hashlib.sha256(Path(weights).read_bytes()).hexdigest()
        if digest != (crop or {})["weights"]:
            warn(f"{weights}: not the YuNet weights with which the training faces were found")
    return DetectedFaces(cropper, size, evaluation_crop)


def recorded_settings(crop: dict[str, Any] | None) -> FaceSettings | None:
    """Return the face settings from a model's config, or None if faces were not cropped.

    Raises:
        InputError: the settings are invalid.
    """
    if not crop or "detector" not in crop:
        return None
    for name, kind in (("size", int), ("least", int), ("margin", (int, float))):
        if name in crop and (not isinstance(crop[name], kind) or isinstance(crop[name], bool)):
            raise InputError(f"config.json: crop.{name} must be a number; found {crop[name]!r}")
    for name in ("cut", "detector", "which"):
        if name in crop and not isinstance(crop[name], str):
            raise InputError(f"config.json: crop.{name} must be a name; found {crop[name]!r}")
    return FaceSettings.from_json(crop)
