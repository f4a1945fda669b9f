"""One face through a clip: the same person in every frame, in a square that glides and does not jump."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from auxface.data.faces.crop import center, choose_faces, overlap
from auxface.data.faces.detection import Face
from auxface.data.faces.settings import Which

_LINK = 0.1
_WIDTH = 2


def track_face(
    detected: Sequence[Sequence[Face]], which: Which, shape: tuple[int, int], masks: Sequence[np.ndarray | None]
) -> list[Face] | None:
    """A face for every frame, smoothed over time, or None where no frame has one.

    The face is chosen in the first frame that has any and followed in both directions to the box that overlaps most;
    frames where it was missed are filled in between their neighbors.

    Args:
        detected: the faces of each frame.
        which: how the face is chosen; ``all`` follows the largest.
        shape: height and width of the frames.
        masks: of each frame, or None.
    """
    first = next((at for at, faces in enumerate(detected) if faces), None)
    if first is None:
        return None
    chosen = choose_faces(detected[first], "largest" if which == "all" else which, shape, masks[first])[0]
    followed: list[Face | None] = [None] * len(detected)
    followed[first] = chosen
    last = chosen
    for at in range(first + 1, len(detected)):
        found = _nearest(last, detected[at])
        if found is not None:
            followed[at] = last = found
    return _smooth(followed)


def _nearest(last: Face, faces: Sequence[Face]) -> Face | None:
    linked = [face for face in faces if overlap(last.box, face.box) > _LINK]
    return max(linked, key=lambda face: overlap(last.box, face.box)) if linked else None


def _smooth(followed: Sequence[Face | None]) -> list[Face]:
    seen = [at for at, face in enumerate(followed) if face is not None]
    faces = [face for face in followed if face is not None]
    # Middle, side and landmarks, so that a box that flickers in shape does not change the square's size.
    rows = np.array([[*center(face.box), max(face.box[2:]), *_points(face)] for face in faces])
    times = np.arange(len(followed))
    filled = np.stack([np.interp(times, seen, column) for column in rows.T], 1)
    weights = np.array([np.exp(-0.5 * (offset / 1.5) ** 2) for offset in range(-_WIDTH, _WIDTH + 1)])
    padded = np.pad(filled, ((_WIDTH, _WIDTH), (0, 0)), mode="edge")
    smooth = sum(weight * padded[at : at + len(filled)] for at, weight in enumerate(weights / weights.sum()))
    result = []
    for row in np.asarray(smooth):
        x, y, side = row[:3]
        landmarks = row[3:].reshape(5, 2).astype(np.float32) if faces[0].landmarks is not None else None
        result.append(replace(faces[0], box=(x - side / 2, y - side / 2, side, side), landmarks=landmarks))
    return result


def _points(face: Face) -> list[float]:
    return [] if face.landmarks is None else face.landmarks.astype(np.float64).ravel().tolist()
