"""Synthetic faces: rendered from numbers, with every label known, for demos, tests and studies of bias."""

from auxface.data.synthetic.description import (
    AGE_GROUPS,
    ATTRIBUTES,
    EMOTIONS,
    SKIN_TONES,
    Expression,
    FaceDescription,
    Forgery,
    Identity,
    Scene,
    Style,
)
from auxface.data.synthetic.faces import SyntheticFaces, render_faces
from auxface.data.synthetic.moving_faces import CLIPS_PER_SOURCE, describe_clip, render_clip
from auxface.data.synthetic.population import typical_expression
from auxface.data.synthetic.render import render_face
from auxface.data.synthetic.sampling import IMAGES_PER_SOURCE, Bias, attributes_of, describe_face

__all__ = [
    "AGE_GROUPS",
    "ATTRIBUTES",
    "CLIPS_PER_SOURCE",
    "EMOTIONS",
    "IMAGES_PER_SOURCE",
    "SKIN_TONES",
    "Bias",
    "Expression",
    "FaceDescription",
    "Forgery",
    "Identity",
    "Scene",
    "Style",
    "SyntheticFaces",
    "attributes_of",
    "describe_clip",
    "describe_face",
    "render_clip",
    "render_face",
    "render_faces",
    "typical_expression",
]
