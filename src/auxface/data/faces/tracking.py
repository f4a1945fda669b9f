"""Track one face through the frames of a clip, with a square whose position and size change smoothly."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from auxface.data.faces.alignment import box_center, box_iou, choose_faces
from auxface.data.faces.detection import Face
from auxface.data.faces.settings import Which

_MIN_IOU = 0.1
# Half width of the smoothing window, in frames.
_HALF_WINDOW = 2


def track_face(
    detected: Sequence[Sequence[Face]], which: Which, shape: tuple[int, int], masks: Sequence[np.ndarray | None]
) -> list[Face] | None:
    """Return one face for every frame, smoothed over time; None if no frame has a face.

    The face is chosen in the first frame that has any. In each later frame it is the face whose box overlaps the last
    tracked box most. Frames without such a face are interpolated; those before the first face repeat it.

    Args:
        detected: the faces of each frame.
        which: how the face is chosen; ``all`` tracks the largest.
        shape: height and width of the frames in pixels.
        masks: the forgery mask of each frame, or None.
    """
    first = next((at for at, faces in enumerate(detected) if faces), None)
    if first is None:
        return None
    chosen = choose_faces(detected[first], "largest" if which == "all" else which, shape, masks[first])[0]
    tracked: list[Face | None] = [None] * len(detected)
    tracked[first] = last = chosen
    for at in range(first + 1, len(detected)):
        found = _best_overlap(last, detected[at])
        if found is not None:
            tracked[at] = last = found
    return _smooth(tracked)


def _best_overlap(last: Face, faces: Sequence[Face]) -> Face | None:
    linked = [face for face in faces if box_iou(last.box, face.box) > _MIN_IOU]
    return max(linked, key=lambda face: box_iou(last.box, face.box)) if linked else None


def _smooth(tracked: Sequence[Face | None]) -> list[Face]:
    known = [at for at, face in enumerate(tracked) if face is not None]
    faces = [face for face in tracked if face is not None]
    # Center, side and landmarks: a box that changes its aspect ratio then does not change the size of the square.
    rows = np.array([[*box_center(face.box), max(face.box[2:]), *_landmark_values(face)] for face in faces])
    times = np.arange(len(tracked))
    filled = np.stack([np.interp(times, known, column) for column in rows.T], 1)
    offsets = range(-_HALF_WINDOW, _HALF_WINDOW + 1)
    weights = np.array([np.exp(-0.5 * (offset / 1.5) ** 2) for offset in offsets])
    padded = np.pad(filled, ((_HALF_WINDOW, _HALF_WINDOW), (0, 0)), mode="edge")
    smooth = sum(weight * padded[at : at + len(filled)] for at, weight in enumerate(weights / weights.sum()))
    result = []
    for row in np.asarray(smooth):
        x, y, side = row[:3]
        landmarks = row[3:].reshape(5, 2).astype(np.float32) if faces[0].landmarks is not None else None
        result.append(replace(faces[0], box=(x - side / 2, y - side / 2, side, side), landmarks=landmarks))
    return result


def _landmark_values(face: Face) -> list[float]:
    return [] if face.landmarks is None else face.landmarks.astype(np.float64).ravel().tolist()
