"""Detection, selection and cropping of faces, with settings that are stored in the manifest and in the model.

Example::

    from auxface.data.faces import FaceCropper, FaceSettings
    from auxface.data.images.decode import read_image

    cropper = FaceCropper(FaceSettings(detector="haar"))
    faces = cropper.crop(read_image(path))  # [(Face, uint8 [224, 224, 3]), ...]
"""

from auxface.data.faces.alignment import FaceSettings
from auxface.data.faces.cropper import FaceCropper
from auxface.data.faces.detection import Detector, Face, make_detector

__all__ = ["Detector", "Face", "FaceCropper", "FaceSettings", "make_detector"]
