"""Cropping of faces from an image, or of one tracked face from the frames of a clip.

In a clip, the position and size of the square around the face are smoothed over time.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from auxface.data.faces.alignment import FaceSettings, Which, box_center, box_iou, choose_faces, crop_transform, warp
from auxface.data.faces.detection import Detector, Face, make_detector

_MIN_IOU = 0.1
# Half width of the smoothing window, in frames.
_HALF_WINDOW = 2


def track_face(
    detected: Sequence[Sequence[Face]], which: Which, shape: tuple[int, int], masks: Sequence[np.ndarray | None]
) -> list[Face] | None:
    """Return one face for every frame, smoothed over time, or None if no frame has a face.

    The face is chosen in the first frame with a face. In each later frame, it is the face whose box has the largest
    overlap with the last tracked box. In frames without an overlapping face, the box is interpolated. Frames before the
    first face use the box of that face.

    Args:
        detected: detected faces of each frame.
        which: criterion by which the face is chosen; ``all`` tracks the largest face.
        shape: height and width of the frames in pixels.
        masks: forgery mask of each frame, or None for a frame without a mask.
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
    # A row holds center, longer side and landmarks, so the square does not change size with the box's aspect ratio.
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


class FaceCropper:
    """Detects and crops faces with fixed settings; thread-safe.

    Args:
        settings: settings for detecting and cropping faces.
        weights: ONNX file of the detector; see :func:`auxface.data.faces.detection.make_detector`.

    Raises:
        InputError: the detector cannot be loaded.
    """

    def __init__(self, settings: FaceSettings, weights: Path | None = None) -> None:
        self.settings = settings
        self._detector: Detector = make_detector(settings.detector, weights)

    def detect(self, image: np.ndarray) -> list[Face]:
        """Return all faces of at least the minimum size, in the order of the detector.

        Args:
            image: uint8 [H, W, 3] RGB.
        """
        faces = [face for face in self._detector(image) if max(face.box[2:]) >= self.settings.least]
        return faces if self.settings.cut == "crop" else [face for face in faces if face.landmarks is not None]

    def crop(self, image: np.ndarray, mask: np.ndarray | None = None) -> list[tuple[Face, np.ndarray]]:
        """Return the chosen faces with their crops, uint8 [size, size, 3], or an empty list if no face is found.

        Args:
            image: uint8 [H, W, 3] RGB.
            mask: mask that is True where the image was forged, bool [h, w]; it is stretched over the whole image.
        """
        chosen = choose_faces(self.detect(image), self.settings.which, (image.shape[0], image.shape[1]), mask)
        return [(face, self._warp(image, face)) for face in chosen]

    def crop_clip(
        self, frames: Sequence[np.ndarray], masks: Sequence[np.ndarray | None] | None = None
    ) -> list[np.ndarray] | None:
        """Return the crops of one face tracked through frames of equal size, or None if no frame has a face.

        The arguments are those of :meth:`track`.
        """
        tracked = self.track(frames, masks)
        return None if tracked is None else [image for _, image in tracked]

    def track(
        self, frames: Sequence[np.ndarray], masks: Sequence[np.ndarray | None] | None = None
    ) -> list[tuple[Face, np.ndarray]] | None:
        """Track one face through the frames of a clip and return it with its crop for each frame.

        Args:
            frames: RGB frames of equal size, uint8 [H, W, 3].
            masks: forgery mask of each frame, or None if there are no masks.

        Returns:
            One (face, crop) pair per frame, or None if no frame has a face. With ``which="all"``, the largest face is
            tracked.
        """
        shape = (frames[0].shape[0], frames[0].shape[1])
        detected = [self.detect(frame) for frame in frames]
        tracked = track_face(detected, self.settings.which, shape, masks or [None] * len(frames))
        if tracked is None:
            return None
        return [(face, self._warp(frame, face)) for frame, face in zip(frames, tracked, strict=True)]

    def _warp(self, image: np.ndarray, face: Face) -> np.ndarray:
        shape = (image.shape[0], image.shape[1])
        return warp(image, crop_transform(face, self.settings, shape), self.settings.size)
