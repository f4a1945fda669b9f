"""How a model sees a picture: cut into faces as when it was trained, or taken whole."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from auxface.data.decode import fit_square
from auxface.data.faces import FaceCutter, FaceSettings
from auxface.data.faces.settings import DetectorName
from auxface.errors import InputError

FacesMode = Literal["auto", "crop", "whole"]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Shown:
    """A face as the model will see it: where it was found (x, y, width, height in pixels), and its square [S, S, 3]."""

    box: Box
    square: np.ndarray


Framing = Callable[[np.ndarray], list[Shown]]


@dataclass(frozen=True)
class FaceFraming:
    """Finds every face and cuts it as the settings say; see :func:`make_framing`."""

    cutter: FaceCutter
    size: int

    def __call__(self, picture: np.ndarray) -> list[Shown]:
        """Faces from left to right."""
        return [Shown(face.box, fit_square(square, self.size)) for face, square in self.cutter.cut(picture)]


@dataclass(frozen=True)
class WholeFraming:
    """Takes the central square of a picture as one face."""

    size: int

    def __call__(self, picture: np.ndarray) -> list[Shown]:
        """Exactly one."""
        height, width = picture.shape[:2]
        side = min(height, width)
        box = ((width - side) / 2, (height - side) / 2, float(side), float(side))
        return [Shown(box, fit_square(picture, self.size))]


def make_framing(
    crop: dict[str, Any] | None,
    size: int,
    *,
    faces: FacesMode = "auto",
    detector: DetectorName | None = None,
    weights: Path | None = None,
    warn: Callable[[str], None],
) -> Framing:
    """How pictures become faces for a model.

    Args:
        crop: the model's record of how its training faces were cut; None: they were used as they were.
        size: side of the model's input in pixels.
        faces: ``auto``: as the model was trained; ``crop``: find and cut faces, also for a model of whole pictures;
            ``whole``: the picture is the face.
        detector: replaces the recorded detector.
        weights: YuNet's file; see :func:`auxface.data.faces.weights.yunet_weight`.
        warn: told what differs from training.

    Raises:
        InputError: settings that cannot be, or a detector that cannot be had.
    """
    if faces not in get_args(FacesMode):
        raise InputError(f"faces '{faces}': expected {', '.join(get_args(FacesMode))}")
    recorded = recorded_settings(crop)
    if faces == "whole" or (faces == "auto" and recorded is None):
        if recorded is not None:
            warn(
                f"the model learned from faces cut with {recorded.detector} (margin {recorded.margin:g}); whole "
                "pictures are scored as they are, so they must be cut alike"
            )
        return WholeFraming(size)
    if recorded is None:
        warn("the model learned from pictures used as they were; how its faces were framed is not recorded")
    settings = replace(recorded or FaceSettings(), which="all")
    if detector is not None and detector != settings.detector:
        settings = replace(settings, detector=detector)
        if recorded is not None:
            warn(f"faces are found with {detector}; the model learned from faces found with {recorded.detector}")
    cutter = FaceCutter(settings, weights)
    if weights is not None and settings.detector == "yunet" and (crop or {}).get("weights"):
        mark = hashlib.sha256(Path(weights).read_bytes()).hexdigest()
        if mark != (crop or {})["weights"]:
            warn(f"{weights}: not the YuNet weight that cut the training faces")
    return FaceFraming(cutter, size)


def recorded_settings(crop: dict[str, Any] | None) -> FaceSettings | None:
    """The face settings in a model's record, or None where it cut no faces.

    Raises:
        InputError: a record that is none.
    """
    if not crop or "detector" not in crop:
        return None
    for name, kind in (("size", int), ("least", int), ("margin", (int, float))):
        if name in crop and (not isinstance(crop[name], kind) or isinstance(crop[name], bool)):
            raise InputError(f"config.json: crop.{name} must be a number, not {crop[name]!r}")
    for name in ("cut", "detector", "which"):
        if name in crop and not isinstance(crop[name], str):
            raise InputError(f"config.json: crop.{name} must be a name, not {crop[name]!r}")
    return FaceSettings.from_json(crop)
