"""From a face to a square image of it: an upright box with a margin, or a similarity to five standard points.

Which face, when there are several.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from auxface.data.faces.detection import Face
from auxface.data.faces.settings import FaceSettings, Which

Box = tuple[float, float, float, float]


def choose_faces(
    faces: Sequence[Face], which: Which, shape: tuple[int, int], mask: np.ndarray | None = None
) -> list[Face]:
    """The faces to keep, at most one unless ``which`` is ``all``.

    Args:
        faces: of one image.
        which: see :class:`auxface.data.faces.settings.FaceSettings`.
        shape: height and width of the image.
        mask: bool [H, W], true where the image was forged; of any size, laid over the whole image.
    """
    if not faces:
        return []
    if which == "all":
        return sorted(faces, key=lambda face: (face.box[0], face.box[1]))
    if which == "central":
        height, width = shape
        return [min(faces, key=lambda face: math.dist(center(face.box), (width / 2, height / 2)))]
    if which == "mask" and mask is not None and mask.any():
        covered = [_covered(face.box, shape, mask) for face in faces]
        if max(covered) > 0:
            return [faces[int(np.argmax(covered))]]
    return [max(faces, key=lambda face: face.box[2] * face.box[3])]


def center(box: Box) -> tuple[float, float]:
    """The middle of a box, x and y."""
    return box[0] + box[2] / 2, box[1] + box[3] / 2


def overlap(first: Box, second: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    width = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    height = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (first[2] * first[3] + second[2] * second[3] - shared)


def _covered(box: Box, shape: tuple[int, int], mask: np.ndarray) -> int:
    """How many pixels of the mask lie in the box."""
    down, across = mask.shape[0] / shape[0], mask.shape[1] / shape[1]
    left, right = (int(max(0, x * across)) for x in (box[0], box[0] + box[2]))
    top, bottom = (int(max(0, y * down)) for y in (box[1], box[1] + box[3]))
    return int(mask[top:bottom, left:right].sum())


# Where eyes, nose and mouth corners stand in a 112 x 112 image: the positions used since ArcFace (Deng et al., 2019).
STANDARD_POINTS = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
_STANDARD_SIDE = 112.0


def placement(face: Face, settings: FaceSettings, shape: tuple[int, int]) -> np.ndarray:
    """The similarity from image to crop coordinates, float64 [2, 3].

    An upright square that would leave the image is moved back into it, and made smaller only where the image itself
    is, so that no pixel is invented.

    Args:
        face: what is framed.
        settings: how.
        shape: height and width of the image.

    Raises:
        ValueError: the settings align, and the face has no landmarks.
    """
    if settings.cut == "align":
        if face.landmarks is None:
            raise ValueError("a face without landmarks cannot be aligned")
        middle = _STANDARD_SIDE / 2
        points = (STANDARD_POINTS - middle) / (1 + settings.margin) + middle
        return similarity(face.landmarks, points * settings.size / _STANDARD_SIDE)
    height, width = shape
    side = min(max(face.box[2:]) * (1 + settings.margin), height, width)
    x, y = center(face.box)
    left, top = min(max(0.0, x - side / 2), width - side), min(max(0.0, y - side / 2), height - side)
    scale = settings.size / side
    return np.array([[scale, 0, -scale * left], [0, scale, -scale * top]])


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation, scale and shift that bring points nearest to others, without mirroring (Umeyama, 1991).

    Args:
        source: [N, 2].
        target: [N, 2].

    Returns:
        float64 [2, 3].
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    from_mean, to_mean = source.mean(0), target.mean(0)
    left, sizes, right = np.linalg.svd((target - to_mean).T @ (source - from_mean) / len(source))
    sign = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right)) or 1.0])
    turn = left @ np.diag(sign) @ right
    scale = (sizes * sign).sum() / max(((source - from_mean) ** 2).sum() / len(source), 1e-12)
    return np.hstack([scale * turn, (to_mean - scale * turn @ from_mean)[:, None]])


def cut(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Cut a square by a similarity, antialiased, uint8 [size, size, 3]; black where the image has ended.

    Args:
        image: uint8 [H, W, 3].
        matrix: of :func:`placement`; pixel areas, so that 0 is the left edge of the first pixel.
        size: side of the result.
    """
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 1:
        # Bilinear sampling skips pixels when it shrinks, so the shrinking is done first, by areas.
        height, width = image.shape[:2]
        smaller = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, smaller, interpolation=cv2.INTER_AREA)
        matrix = matrix @ np.diag([width / smaller[0], height / smaller[1], 1.0])
    # OpenCV counts from the middle of the first pixel.
    centerd = matrix.copy()
    centerd[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    # Edge pixels are repeated first: half a pixel of black would bleed into a square that ends with the image.
    padded = cv2.copyMakeBorder(np.ascontiguousarray(image), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    centerd[:, 2] -= centerd[:, :2] @ (1.0, 1.0)
    result = cv2.warpAffine(padded, centerd, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(result, np.uint8)
