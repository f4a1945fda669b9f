"""Faces in images: found, chosen and cut, by settings that travel with the manifest and the model."""

from auxface.data.faces.cutting import FaceCutter
from auxface.data.faces.detection import Detector, Face, make_detector
from auxface.data.faces.settings import FaceSettings

__all__ = ["Detector", "Face", "FaceCutter", "FaceSettings", "make_detector"]
