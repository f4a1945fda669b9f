"""Finding faces: YuNet (Wu, Peng and Yu, 2023) with five landmarks, or OpenCV's Haar cascade, which needs no weight."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from auxface.data.faces.settings import DetectorName
from auxface.data.faces.weights import yunet_weight
from auxface.errors import InputError

SCORE = 0.7
_OVERLAP = 0.3
_CANVASES = (160, 320, 640)


@dataclass(frozen=True)
class Face:
    """A face in a picture, in pixels of that picture.

    Attributes:
        box: left, top, width, height; parts may lie outside the picture.
        landmarks: float32 [5, 2]: right eye, left eye, nose, right and left mouth corner of the person, who faces the
            viewer, so that the right eye is on the left; None where the detector gives none.
        score: 0..1; 1 where the detector gives none.
    """

    box: tuple[float, float, float, float]
    landmarks: np.ndarray | None
    score: float


Detector = Callable[[np.ndarray], list[Face]]


def make_detector(name: DetectorName, weights: Path | None = None) -> Detector:
    """A function from a picture (uint8 [H, W, 3] RGB) to its faces, best first; threads may share it.

    Args:
        name: ``yunet`` or ``haar``.
        weights: YuNet's ONNX file; without it a hash-checked file is downloaded once.

    Raises:
        InputError: the weight cannot be had or read.
    """
    if name == "haar":
        return _Haar()
    return _YuNet(yunet_weight(weights))


class _YuNet:
    def __init__(self, weight: Path) -> None:
        self._weight = str(weight)
        # A network has state, so every thread has its own.
        self._local = threading.local()
        try:
            self._network(_CANVASES[0])
        except cv2.error:
            raise InputError(f"{weight}: not a YuNet weight that this OpenCV ({cv2.__version__}) reads") from None

    def _network(self, side: int) -> cv2.FaceDetectorYN:
        networks: dict[int, cv2.FaceDetectorYN] = self._local.__dict__.setdefault("networks", {})
        if side not in networks:
            networks[side] = cv2.FaceDetectorYN.create(self._weight, "", (side, side), SCORE, _OVERLAP)
        return networks[side]

    def __call__(self, picture: np.ndarray) -> list[Face]:
        longer = max(picture.shape[:2])
        # A few fixed canvases: each change of input size would lay the network out anew.
        side = next((canvas for canvas in _CANVASES if longer <= canvas), _CANVASES[-1])
        scale = min(1.0, side / longer)
        shown = picture
        if scale < 1:
            width, height = (max(1, round(length * scale)) for length in picture.shape[1::-1])
            shown = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        canvas = np.zeros((side, side, 3), np.uint8)
        canvas[: shown.shape[0], : shown.shape[1]] = shown[:, :, ::-1]
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
            raise InputError(f"this OpenCV ({cv2.__version__}) carries no Haar cascades; use detector yunet")
        self._local = threading.local()

    def __call__(self, picture: np.ndarray) -> list[Face]:
        if not hasattr(self._local, "cascade"):
            self._local.cascade = cv2.CascadeClassifier(str(self._file))
        grey = cv2.equalizeHist(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
        least = max(20, min(grey.shape) // 10)
        found = self._local.cascade.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5, minSize=(least, least))
        faces = [Face((float(x), float(y), float(w), float(h)), None, 1.0) for x, y, w, h in found]
        return sorted(faces, key=lambda face: -face.box[2] * face.box[3])
