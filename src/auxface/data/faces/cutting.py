"""Detector and settings together: an image goes in, images of faces come out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from auxface.data.faces.crop import choose_faces, cut, placement
from auxface.data.faces.detection import Detector, Face, make_detector
from auxface.data.faces.settings import FaceSettings
from auxface.data.faces.tracking import track_face


class FaceCutter:
    """Cuts faces by fixed settings; threads may share one.

    Args:
        settings: how.
        weights: the detector's file; see :func:`auxface.data.faces.detection.make_detector`.

    Raises:
        InputError: the detector cannot be made.
    """

    def __init__(self, settings: FaceSettings, weights: Path | None = None) -> None:
        self.settings = settings
        self._detect: Detector = make_detector(settings.detector, weights)

    def find(self, image: np.ndarray) -> list[Face]:
        """All faces that are large enough, uint8 [H, W, 3] RGB in, best first."""
        faces = [face for face in self._detect(image) if max(face.box[2:]) >= self.settings.least]
        return faces if self.settings.cut == "crop" else [face for face in faces if face.landmarks is not None]

    def cut(self, image: np.ndarray, mask: np.ndarray | None = None) -> list[tuple[Face, np.ndarray]]:
        """The chosen faces with their images, uint8 [size, size, 3]; empty where there is no face.

        Args:
            image: uint8 [H, W, 3] RGB.
            mask: bool, true where the image was forged.
        """
        chosen = choose_faces(self.find(image), self.settings.which, (image.shape[0], image.shape[1]), mask)
        return [(face, self._frame(image, face)) for face in chosen]

    def cut_clip(
        self, frames: Sequence[np.ndarray], masks: Sequence[np.ndarray | None] | None = None
    ) -> list[np.ndarray] | None:
        """One face through frames of one size, each uint8 [size, size, 3]; None where no frame has a face."""
        followed = self.follow(frames, masks)
        return None if followed is None else [image for _, image in followed]

    def follow(
        self, frames: Sequence[np.ndarray], masks: Sequence[np.ndarray | None] | None = None
    ) -> list[tuple[Face, np.ndarray]] | None:
        """One face through frames of one size, with its images; where all faces are wanted, the largest."""
        shape = (frames[0].shape[0], frames[0].shape[1])
        tracked = track_face(
            [self.find(frame) for frame in frames], self.settings.which, shape, masks or [None] * len(frames)
        )
        if tracked is None:
            return None
        return [(face, self._frame(frame, face)) for frame, face in zip(frames, tracked, strict=True)]

    def _frame(self, image: np.ndarray, face: Face) -> np.ndarray:
        shape = (image.shape[0], image.shape[1])
        return cut(image, placement(face, self.settings, shape), self.settings.size)
