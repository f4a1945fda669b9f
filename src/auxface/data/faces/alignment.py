"""Selection of faces and their mapping to a square crop, either an upright box with a margin or an aligned face.

Aligned faces are mapped to the five standard points of ArcFace (Deng et al., 2019) with the similarity transform of
Umeyama (1991).

Example::

    [face] = choose_faces(faces, "largest", image.shape[:2])
    crop = warp(image, crop_transform(face, settings, image.shape[:2]), settings.size)
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import cv2
import numpy as np

from auxface.data.faces.detection import DetectorName, Face
from auxface.errors import InputError

Box = tuple[float, float, float, float]
Cut = Literal["crop", "align"]
Which = Literal["largest", "central", "mask", "all"]

# Positions of the eyes, the nose and the mouth corners in an image of 112 x 112 pixels.
STANDARD_POINTS = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
_STANDARD_SIDE = 112.0


@dataclass(frozen=True)
class FaceSettings:
    """Settings for detecting and cropping faces.

    Attributes:
        cut: kind of crop: ``crop`` for an upright square around the bounding box, or ``align`` to rotate and scale the
            image so that eyes, nose and mouth corners lie at fixed points, which requires a detector with landmarks.
        detector: face detector, ``yunet`` or ``haar``.
        which: face to keep if an image has several faces: ``mask`` (the face that the forgery mask covers most, or the
            largest if there is no mask), ``largest``, ``central`` or ``all``.
        size: side of the crops in pixels, 16 to 2048.
        margin: relative context around the face, 0 to 4. The side of the square is (1 + margin) times the longer side
            of the bounding box or, for ``align``, of the standard 112 x 112 frame.
        least: minimum face size in pixels; faces whose longer side is shorter than this are ignored.

    Raises:
        InputError: a value is out of range, or ``align`` is used with a detector that does not return landmarks.
    """

    cut: Cut = "crop"
    detector: DetectorName = "yunet"
    which: Which = "mask"
    size: int = 224
    margin: float = 0.3
    least: int = 20

    def __post_init__(self) -> None:
        for name, allowed in (("cut", Cut), ("detector", DetectorName), ("which", Which)):
            if getattr(self, name) not in get_args(allowed):
                raise InputError(f"faces: {name} '{getattr(self, name)}' must be {' or '.join(get_args(allowed))}")
        if not 16 <= self.size <= 2048:
            raise InputError(f"faces: size is {self.size}; expected 16 to 2048 pixels")
        if not 0 <= self.margin <= 4:
            raise InputError(f"faces: margin is {self.margin}; expected a number from 0 to 4")
        if self.least < 1:
            raise InputError(f"faces: least (smallest face) is {self.least}; expected at least 1 pixel")
        if self.cut == "align" and self.detector == "haar":
            raise InputError(
                "faces: 'align' needs landmarks, which the haar detector does not provide; use 'crop', or the "
                "detector yunet"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain JSON, for the header of a manifest or a model."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "FaceSettings":
        """Read the settings from a header, ignoring other keys such as the clip length.

        Raises:
            InputError: a value is out of range.
        """
        return cls(**{field.name: raw[field.name] for field in fields(cls) if field.name in raw})


def choose_faces(
    faces: Sequence[Face], which: Which, shape: tuple[int, int], mask: np.ndarray | None = None
) -> list[Face]:
    """Return the faces to keep: at most one, unless ``which`` is ``all``.

    Args:
        faces: detected faces of one image.
        which: faces to keep; see :class:`auxface.data.faces.alignment.FaceSettings`.
        shape: height and width of the image in pixels.
        mask: mask that is True where the image was forged, bool [h, w], of any size; it is stretched over the image.
    """
    if not faces:
        return []
    if which == "all":
        return sorted(faces, key=lambda face: (face.box[0], face.box[1]))
    if which == "central":
        height, width = shape
        return [min(faces, key=lambda face: math.dist(box_center(face.box), (width / 2, height / 2)))]
    if which == "mask" and mask is not None and mask.any():
        covered = [_mask_pixels(face.box, shape, mask) for face in faces]
        if max(covered) > 0:
            return [faces[int(np.argmax(covered))]]
    return [max(faces, key=lambda face: face.box[2] * face.box[3])]


def _mask_pixels(box: Box, shape: tuple[int, int], mask: np.ndarray) -> int:
    """Return the number of mask pixels inside a box."""
    down, across = mask.shape[0] / shape[0], mask.shape[1] / shape[1]
    left, right = (int(max(0, x * across)) for x in (box[0], box[0] + box[2]))
    top, bottom = (int(max(0, y * down)) for y in (box[1], box[1] + box[3]))
    return int(mask[top:bottom, left:right].sum())


def box_center(box: Box) -> tuple[float, float]:
    """Return the center (x, y) of a box (left, top, width, height)."""
    return box[0] + box[2] / 2, box[1] + box[3] / 2


def box_iou(first: Box, second: Box) -> float:
    """Return the intersection over union of two boxes (left, top, width, height), from 0 to 1."""
    width = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    height = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    intersection = width * height
    return intersection / (first[2] * first[3] + second[2] * second[3] - intersection)


def crop_transform(face: Face, settings: FaceSettings, shape: tuple[int, int]) -> np.ndarray:
    """Return the similarity transform from image to crop coordinates, float64 [2, 3].

    An upright square that would extend beyond the image is moved inside. It is shrunk only if the image itself is
    smaller than the square, so the crop needs no padding.

    Args:
        face: face to crop.
        settings: settings that provide the size, the margin and whether to align.
        shape: height and width of the image in pixels.

    Raises:
        ValueError: the settings require alignment, but the face has no landmarks.
    """
    if settings.cut == "align":
        if face.landmarks is None:
            raise ValueError("a face without landmarks cannot be aligned")
        middle = _STANDARD_SIDE / 2
        points = (STANDARD_POINTS - middle) / (1 + settings.margin) + middle
        return similarity(face.landmarks, points * settings.size / _STANDARD_SIDE)
    height, width = shape
    side = min(max(face.box[2:]) * (1 + settings.margin), height, width)
    x, y = box_center(face.box)
    left, top = min(max(0.0, x - side / 2), width - side), min(max(0.0, y - side / 2), height - side)
    scale = settings.size / side
    return np.array([[scale, 0, -scale * left], [0, scale, -scale * top]])


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the similarity transform from ``source`` to ``target`` that minimizes the squared error (Umeyama, 1991).

    The transform consists of rotation, scaling and translation, without reflection.

    Args:
        source: points [N, 2] to be mapped.
        target: corresponding points [N, 2].

    Returns:
        Transform matrix, float64 [2, 3].
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    from_mean, to_mean = source.mean(0), target.mean(0)
    left, sizes, right = np.linalg.svd((target - to_mean).T @ (source - from_mean) / len(source))
    sign = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right)) or 1.0])
    rotation = left @ np.diag(sign) @ right
    scale = (sizes * sign).sum() / max(((source - from_mean) ** 2).sum() / len(source), 1e-12)
    return np.hstack([scale * rotation, (to_mean - scale * rotation @ from_mean)[:, None]])


def warp(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Crop a square from an image with a similarity transform and antialiasing, uint8 [size, size, 3].

    Pixels outside the image are black.

    Args:
        image: image to crop, uint8 [H, W, 3].
        matrix: transform from :func:`crop_transform`, in coordinates in which 0 is the left edge of the first pixel.
        size: side of the result in pixels.
    """
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 1:
        # Bilinear sampling skips pixels when downscaling, so the image is first reduced by area averaging.
        height, width = image.shape[:2]
        smaller = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
        matrix = matrix @ np.diag([width / smaller[0], height / smaller[1], 1.0])
    # The origin in OpenCV is the center of the first pixel.
    centered = matrix.copy()
    centered[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    # Edge pixels are replicated first. Otherwise, half a pixel of black would bleed into a square that touches the
    # edge.
    padded = cv2.copyMakeBorder(np.ascontiguousarray(image), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    centered[:, 2] -= centered[:, :2] @ (1.0, 1.0)
    result = cv2.warpAffine(padded, centered, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(result, np.uint8)
