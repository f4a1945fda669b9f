"""Which face, when there are several."""

import math
from collections.abc import Sequence

import numpy as np

from auxface.data.faces.detection import Face
from auxface.data.faces.settings import Which

Box = tuple[float, float, float, float]


def choose_faces(
    faces: Sequence[Face], which: Which, shape: tuple[int, int], mask: np.ndarray | None = None
) -> list[Face]:
    """The faces to keep, at most one unless ``which`` is ``all``.

    Args:
        faces: of one picture.
        which: see :class:`auxface.data.faces.settings.FaceSettings`.
        shape: height and width of the picture.
        mask: bool [H, W], true where the picture was forged; of any size, laid over the whole picture.
    """
    if not faces:
        return []
    if which == "all":
        return sorted(faces, key=lambda face: (face.box[0], face.box[1]))
    if which == "central":
        height, width = shape
        return [min(faces, key=lambda face: math.dist(centre(face.box), (width / 2, height / 2)))]
    if which == "mask" and mask is not None and mask.any():
        covered = [_covered(face.box, shape, mask) for face in faces]
        if max(covered) > 0:
            return [faces[int(np.argmax(covered))]]
    return [max(faces, key=lambda face: face.box[2] * face.box[3])]


def centre(box: Box) -> tuple[float, float]:
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
