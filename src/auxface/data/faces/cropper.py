"""Crop faces: a detector and its settings, applied to one image or to the frames of one clip."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from auxface.data.faces.alignment import choose_faces, crop_transform, warp
from auxface.data.faces.detection import Detector, Face, make_detector
from auxface.data.faces.settings import FaceSettings
from auxface.data.faces.tracking import track_face


class FaceCropper:
    """Detect and crop faces with fixed settings. Thread-safe.

    Args:
        settings: how faces are detected and cropped.
        weights: the detector's ONNX file; see :func:`auxface.data.faces.detection.make_detector`.

    Raises:
        InputError: the detector cannot be loaded.
    """

    def __init__(self, settings: FaceSettings, weights: Path | None = None) -> None:
        self.settings = settings
        self._detector: Detector = make_detector(settings.detector, weights)

    def detect(self, image: np.ndarray) -> list[Face]:
        """Return all faces of at least the minimum size, best first.

        Args:
            image: uint8 [H, W, 3] RGB.
        """
        faces = [face for face in self._detector(image) if max(face.box[2:]) >= self.settings.least]
        return faces if self.settings.cut == "crop" else [face for face in faces if face.landmarks is not None]

    def crop(self, image: np.ndarray, mask: np.ndarray | None = None) -> list[tuple[Face, np.ndarray]]:
        """Return the chosen faces with their crops, uint8 [size, size, 3]; empty if no face is found.

        Args:
            image: uint8 [H, W, 3] RGB.
            mask: bool [h, w], True where the image was forged; stretched over the whole image.
        """
        chosen = choose_faces(self.detect(image), self.settings.which, (image.shape[0], image.shape[1]), mask)
        return [(face, self._warp(image, face)) for face in chosen]

    def crop_clip(
        self, frames: Sequence[np.ndarray], masks: Sequence[np.ndarray | None] | None = None
    ) -> list[np.ndarray] | None:
        """Return the crops of one face, tracked through frames of one size; None if no frame has a face.

        Arguments are those of :meth:`track`.
        """
        tracked = self.track(frames, masks)
        return None if tracked is None else [image for _, image in tracked]

    def track(
        self, frames: Sequence[np.ndarray], masks: Sequence[np.ndarray | None] | None = None
    ) -> list[tuple[Face, np.ndarray]] | None:
        """Track one face through the frames of a clip and return it with its crop for each frame.

        Args:
            frames: uint8 [H, W, 3] RGB, all of one size.
            masks: the forgery mask of each frame, or None.

        Returns:
            one (face, crop) per frame; None if no frame has a face. With ``which="all"`` the largest face is tracked.
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
