"""One face from its description: paint the layers, light them, take the picture."""

from dataclasses import replace

import cv2
import numpy as np

from auxface.data.synthetic.accessories import paint_earrings, paint_glasses, paint_hat
from auxface.data.synthetic.beard import paint_beard
from auxface.data.synthetic.body import paint_background, paint_body, paint_ears
from auxface.data.synthetic.description import FaceDescription
from auxface.data.synthetic.eyes import paint_brows, paint_eyes
from auxface.data.synthetic.forging import blend, region_mask
from auxface.data.synthetic.hair import covers_ears, paint_back_hair, paint_front_hair
from auxface.data.synthetic.mouth import paint_mouth
from auxface.data.synthetic.relief import raise_relief
from auxface.data.synthetic.shading import develop, shade
from auxface.data.synthetic.skin import paint_skin, skin_colour
from auxface.data.synthetic.surface import Surface, look_at
from auxface.errors import InputError

OVERSAMPLING = 1.5


def paint_behind(surface: Surface, face: FaceDescription) -> None:
    """Paints what is seen past the head: hair behind it, neck, clothes, ears."""
    skin = skin_colour(face.identity)
    paint_back_hair(surface, face.identity)
    paint_body(surface, face, skin)
    if not covers_ears(face.identity):
        paint_ears(surface, face.identity, skin)


def paint_head(surface: Surface, face: FaceDescription) -> None:
    """Paints the head with all that grows on it and is worn on it."""
    person, doing = face.identity, face.expression
    skin = skin_colour(person)
    raise_relief(surface, person, doing)
    paint_skin(surface, person, doing)
    paint_beard(surface, person, doing)
    paint_eyes(surface, face, skin)
    paint_mouth(surface, face, skin)
    paint_brows(surface, person, doing)
    paint_glasses(surface, face)
    paint_front_hair(surface, person)
    paint_hat(surface, face)
    paint_earrings(surface, face)


def _photograph(surface: Surface, background: np.ndarray, size: int) -> np.ndarray:
    linear = np.ascontiguousarray(shade(surface, background).transpose(1, 2, 0))
    small = cv2.resize(linear, (size, size), interpolation=cv2.INTER_AREA)
    return develop(small, surface.scene.exposure).astype(np.float32)


def render_face(description: FaceDescription, size: int = 64) -> np.ndarray:
    """Draws one face.

    Args:
        description: what to draw.
        size: side of the picture in pixels, 32 to 512.

    Returns:
        uint8 [size, size, 3], RGB. The same description and size give the same picture, always.

    Raises:
        InputError: size outside 32..512.
    """
    if not 32 <= size <= 512:
        raise InputError(f"a synthetic face of size {size} cannot be drawn: give a size from 32 to 512")
    scene = description.scene
    resolution = round(size * OVERSAMPLING)
    surface = look_at(description.identity, description.expression, scene, resolution)
    background = paint_background(scene, resolution)
    paint_behind(surface, description)
    paint_head(surface, description)
    picture = _photograph(surface, background, size)
    rng = np.random.default_rng(scene.noise_seed)
    grain = rng.standard_normal(picture.shape, np.float32)
    picture += np.float32(scene.noise) * grain
    if description.forgery is not None:
        swapped = replace(description, identity=description.forgery.donor, forgery=None)
        other = look_at(swapped.identity, swapped.expression, scene, resolution)
        paint_head(other, swapped)
        mask = region_mask(surface, description.forgery, size)
        picture = blend(picture, _photograph(other, background, size), mask, description.forgery)
    picture += np.float32(0.003) * rng.standard_normal(picture.shape, np.float32)
    return np.clip(np.rint(picture * 255.0), 0, 255).astype(np.uint8)
