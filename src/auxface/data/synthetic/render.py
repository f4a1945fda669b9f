"""Render one face from its description: paint the layers, shade them, and convert them to an image.

A forged face is rendered twice, as the person and as the donor, and a region of the donor is blended into the image of
the person. As in a face swap, this leaves a seam and a region of another color and sharpness.

Example:
    >>> from auxface.data.synthetic.description import FaceDescription
    >>> render_face(FaceDescription(), 32).shape
    (32, 32, 3)
"""

import math
from dataclasses import replace

import cv2
import numpy as np

from auxface.data.synthetic.body import (
    paint_background,
    paint_body,
    paint_earrings,
    paint_ears,
    paint_glasses,
    paint_hat,
)
from auxface.data.synthetic.description import FaceDescription, Forgery
from auxface.data.synthetic.eyes import paint_brows, paint_eyes
from auxface.data.synthetic.hair import covers_ears, paint_back_hair, paint_beard, paint_front_hair
from auxface.data.synthetic.mouth import paint_mouth
from auxface.data.synthetic.relief import raise_relief
from auxface.data.synthetic.skin import develop, paint_skin, shade, skin_color
from auxface.data.synthetic.surface import Surface, head_surface
from auxface.errors import InputError

# Per region: v of the center, half width and half height in face units.
_REGIONS = {"face": (0.22, 0.50, 0.60), "eyes": (-0.12, 0.53, 0.20), "mouth": (0.56, 0.36, 0.25)}


_OVERSAMPLING = 1.5


def render_face(description: FaceDescription, size: int = 64) -> np.ndarray:
    """Render one face, uint8 [size, size, 3] RGB; equal arguments give equal images.

    Args:
        description: the face.
        size: side of the image in pixels, 32 to 512.

    Raises:
        InputError: size outside 32..512.
    """
    if not 32 <= size <= 512:
        raise InputError(f"a synthetic face cannot have size {size}; give a size from 32 to 512")
    scene = description.scene
    resolution = round(size * _OVERSAMPLING)
    surface = head_surface(description.identity, description.expression, scene, resolution)
    background = paint_background(scene, resolution)
    _paint_behind(surface, description)
    _paint_head(surface, description)
    image = _photograph(surface, background, size)
    rng = np.random.default_rng(scene.noise_seed)
    grain = rng.standard_normal(image.shape, np.float32)
    image += np.float32(scene.noise) * grain
    if description.forgery is not None:
        swapped = replace(description, identity=description.forgery.donor, forgery=None)
        other = head_surface(swapped.identity, swapped.expression, scene, resolution)
        _paint_head(other, swapped)
        mask = _region_mask(surface, description.forgery, size)
        image = _blend(image, _photograph(other, background, size), mask, description.forgery)
    image += np.float32(0.003) * rng.standard_normal(image.shape, np.float32)
    return np.clip(np.rint(image * 255.0), 0, 255).astype(np.uint8)


def _paint_behind(surface: Surface, face: FaceDescription) -> None:
    """Paint what lies behind the head: hair, neck, clothes and ears."""
    skin = skin_color(face.identity)
    paint_back_hair(surface, face.identity)
    paint_body(surface, face, skin)
    if not covers_ears(face.identity):
        paint_ears(surface, face.identity, skin)


def _paint_head(surface: Surface, face: FaceDescription) -> None:
    """Paint the head with its hair and everything worn on it."""
    person, doing = face.identity, face.expression
    skin = skin_color(person)
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


def _region_mask(surface: Surface, forgery: Forgery, size: int) -> np.ndarray:
    """Return the coverage of the replaced region, float32 [size, size]: convex, with a soft border."""
    rng = np.random.default_rng(forgery.shape)
    v0, wide, tall = _REGIONS[forgery.region]
    wide, tall = wide * rng.uniform(0.9, 1.1), tall * rng.uniform(0.9, 1.1)
    u = surface.u - rng.normal(0, 0.02)
    v = surface.v - v0 - rng.normal(0, 0.02)
    tilt = rng.normal(0, 0.07)
    a = np.abs(u * math.cos(tilt) + v * math.sin(tilt)) * (1 / wide)
    b = np.abs(v * math.cos(tilt) - u * math.sin(tilt)) * (1 / tall)
    power = rng.uniform(2.0, 3.6)
    r = (a**power + b**power + 1e-9) ** (1 / power)
    mask = surface.edge((r - 1.0) * min(wide, tall), forgery.seam)
    mask *= surface.edge((np.sqrt(surface.rho2) - 0.98) * 0.8)
    return cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA)


def _blend(target: np.ndarray, donor: np.ndarray, mask: np.ndarray, forgery: Forgery) -> np.ndarray:
    """Blend the recolored and softened donor into the target by the mask; images are sRGB 0..1 [S, S, 3]."""
    size = target.shape[0]
    low = round(size / forgery.softness)
    soft = cv2.resize(
        cv2.resize(donor, (low, low), interpolation=cv2.INTER_LINEAR), (size, size), interpolation=cv2.INTER_CUBIC
    )
    soft = soft * np.array(forgery.color, np.float32)
    return target + mask[..., None] * (soft - target)
