"""Face detection with YuNet (Wu, Peng and Yu, 2023; five landmarks) or OpenCV's Haar cascade (no download).

Example::

    detect = make_detector("haar")
    faces = detect(image)  # uint8 [H, W, 3] RGB to a list of Face
"""

import hashlib
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from auxface.atomic import atomic_file
from auxface.errors import InputError

DetectorName = Literal["yunet", "haar"]

URL = (
    "https://raw.githubusercontent.com/ShiqiYu/libfacedetection.train/0047ac24afb1a50a0c6105001c89d1b5b805dbf1/"
    "onnx/yunet_n_640_640.onnx"
)
SHA256 = "25a606a145a5b6d7271ae138fbd00eba91dad8b83222ae3f2c7ecd0f4a7b0e31"
MIN_SCORE = 0.7
_NMS_IOU = 0.3
# Only a few input sizes are used, because OpenCV prepares the network again whenever the input size changes.
_CANVASES = (160, 320, 640)
_MAX_DOWNLOAD = 4 * 1024 * 1024


@dataclass(frozen=True)
class Face:
    """A detected face, in pixel coordinates of its image.

    Attributes:
        box: left, top, width and height of the bounding box, which may extend beyond the image.
        landmarks: right eye, left eye, nose, right and left mouth corner, float32 [5, 2], from the person's perspective
            (the right eye of a person facing the camera is on the left of the image); None if the detector does not
            return landmarks.
        score: confidence from 0 to 1; 1 if the detector does not return a confidence.
    """

    box: tuple[float, float, float, float]
    landmarks: np.ndarray | None
    score: float


Detector = Callable[[np.ndarray], list[Face]]


def make_detector(name: DetectorName, weights: Path | None = None) -> Detector:
    """Return a thread-safe function that detects the faces of an image (uint8 [H, W, 3] RGB).

    Faces of YuNet are sorted by confidence, and faces of the Haar cascade by size, in descending order.

    Args:
        name: name of the detector, ``yunet`` or ``haar``.
        weights: YuNet's ONNX file; see :func:`yunet_weights`.

    Raises:
        InputError: the weights cannot be found, downloaded or read.
    """
    if name == "haar":
        return _Haar()
    return _YuNet(yunet_weights(weights))


def yunet_weights(given: Path | None = None) -> Path:
    """Return YuNet's ONNX file: ``given``, the file named by ``AUXFACE_YUNET``, or a download, in this order.

    The file is downloaded once, verified by its SHA-256 and kept in the cache folder.

    Raises:
        InputError: the file does not exist, there is no network connection, or the hash of the download is wrong.
    """
    named = given or (Path(os.environ["AUXFACE_YUNET"]) if os.environ.get("AUXFACE_YUNET") else None)
    if named is not None:
        if not named.is_file():
            raise InputError(f"{named}: no such file; expected YuNet's weights, an ONNX file")
        return named
    # Imported only here, because the cache module imports pandas, which is not needed if a file is named.
    from auxface.data.images.cache import cache_folder

    kept = cache_folder() / "weights" / f"yunet-{SHA256[:12]}.onnx"
    if not (kept.is_file() and hashlib.sha256(kept.read_bytes()).hexdigest() == SHA256):
        data = _download()
        with atomic_file(kept) as temporary:
            temporary.write_bytes(data)
    return kept


def _download() -> bytes:
    advice = "name the file with --weights or AUXFACE_YUNET, or use --detector haar"
    try:
        with urllib.request.urlopen(URL, timeout=30) as reply:
            data = reply.read(_MAX_DOWNLOAD + 1)
    except (urllib.error.URLError, OSError) as error:
        raise InputError(
            f"YuNet's weights cannot be downloaded ({getattr(error, 'reason', error)}); {advice}"
        ) from None
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise InputError(f"the downloaded file does not contain YuNet's weights (its hash differs); {advice}")
    return data


class _YuNet:
    def __init__(self, weights: Path) -> None:
        self._weights = str(weights)
        # OpenCV's network keeps state between calls, so every thread has its own network.
        self._local = threading.local()
        try:
            self._network(_CANVASES[0])
        except cv2.error:
            raise InputError(f"{weights}: OpenCV {cv2.__version__} cannot read it as YuNet's weights") from None

    def _network(self, side: int) -> cv2.FaceDetectorYN:
        networks: dict[int, cv2.FaceDetectorYN] = self._local.__dict__.setdefault("networks", {})
        if side not in networks:
            networks[side] = cv2.FaceDetectorYN.create(self._weights, "", (side, side), MIN_SCORE, _NMS_IOU)
        return networks[side]

    def __call__(self, image: np.ndarray) -> list[Face]:
        longer = max(image.shape[:2])
        side = next((canvas for canvas in _CANVASES if longer <= canvas), _CANVASES[-1])
        scale = min(1.0, side / longer)
        scaled = image
        if scale < 1:
            width, height = (max(1, round(length * scale)) for length in image.shape[1::-1])
            scaled = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        canvas = np.zeros((side, side, 3), np.uint8)
        canvas[: scaled.shape[0], : scaled.shape[1]] = scaled[:, :, ::-1]
        _, found = self._network(side).detect(canvas)
        if found is None:
            return []
        faces = []
        for row in np.asarray(found, np.float64):
            if np.isfinite(row).all() and row[2] > 0 and row[3] > 0:
                left, top, width, height = (row[:4] / scale).tolist()
                landmarks = (row[4:14].reshape(5, 2) / scale).astype(np.float32)
                faces.append(Face((left, top, width, height), landmarks, float(row[14])))
        return sorted(faces, key=lambda face: -face.score)


class _Haar:
    def __init__(self) -> None:
        folder = getattr(getattr(cv2, "data", None), "haarcascades", None)
        self._file = None if folder is None else Path(folder) / "haarcascade_frontalface_default.xml"
        if self._file is None or not self._file.is_file():
            raise InputError(f"OpenCV {cv2.__version__} is installed without Haar cascades; use the detector yunet")
        self._local = threading.local()

    def __call__(self, image: np.ndarray) -> list[Face]:
        if not hasattr(self._local, "cascade"):
            self._local.cascade = cv2.CascadeClassifier(str(self._file))
        gray = cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
        least = max(20, min(gray.shape) // 10)
        found = self._local.cascade.detectMultiScale(gray, scaleFactor=1.1, minNeighbors=5, minSize=(least, least))
        faces = [Face((float(x), float(y), float(w), float(h)), None, 1.0) for x, y, w, h in found]
        return sorted(faces, key=lambda face: -face.box[2] * face.box[3])
