"""Synthetic faces for demos, tests and studies of bias, rendered from descriptions so that every label is known.

Example:
    >>> faces = render_faces(4, seed=0, size=32)
    >>> faces.images.shape, faces.images.dtype
    ((4, 32, 32, 3), dtype('uint8'))
    >>> list(faces.table.columns[:5])
    ['split', 'source', 'frame', 'emotion', 'skin_tone']
"""

from auxface.data.synthetic.batch_rendering import (
    CLIPS_PER_SOURCE,
    SyntheticFaces,
    describe_clip,
    render_clip,
    render_faces,
)
from auxface.data.synthetic.collection import IMAGES_PER_SOURCE, Bias, attributes_of, describe_face
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
from auxface.data.synthetic.population import typical_expression
from auxface.data.synthetic.render import render_face

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
