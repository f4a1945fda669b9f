"""Synthetic faces: rendered from numbers, with every label known, for demos, tests and studies of bias."""

from auxface.data.synthetic.bias import Bias
from auxface.data.synthetic.clips import CLIPS_PER_SOURCE, describe_clip, render_clip
from auxface.data.synthetic.description import Expression, FaceDescription, Forgery, Identity, Scene, Style
from auxface.data.synthetic.expression import typical_expression
from auxface.data.synthetic.faces import SyntheticFaces, render_faces
from auxface.data.synthetic.labels import attributes_of
from auxface.data.synthetic.render import render_face
from auxface.data.synthetic.sampling import PICTURES_PER_SOURCE, describe_face
from auxface.data.synthetic.vocabulary import AGE_GROUPS, ATTRIBUTES, EMOTIONS, SKIN_TONES

__all__ = [
    "AGE_GROUPS",
    "ATTRIBUTES",
    "CLIPS_PER_SOURCE",
    "EMOTIONS",
    "PICTURES_PER_SOURCE",
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
