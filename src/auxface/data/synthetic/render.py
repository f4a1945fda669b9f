"""Rendering of a face from its description, by painting layers, shading them, and converting them to an image.

A forged face is rendered twice, as the person and as the donor, and a region of the donor is blended into the image of
the person. As in a face swap, this leaves a seam and a region with a different color and sharpness.

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
from auxface.data.synthetic.description import Expression, FaceDescription, Forgery, Identity
from auxface.data.synthetic.hair import HAIR_LINEAR, covers_ears, paint_back_hair, paint_beard, paint_front_hair
from auxface.data.synthetic.mouth import paint_mouth
from auxface.data.synthetic.relief import AGE, eye_center, raise_relief
from auxface.data.synthetic.skin import develop, paint_skin, shade, skin_color
from auxface.data.synthetic.surface import Surface, head_surface, pattern_offset, rgb, sample_noise
from auxface.errors import InputError

# For each region: coordinate v of the center, half width and half height in face units.
_REGIONS = {"face": (0.22, 0.50, 0.60), "eyes": (-0.12, 0.53, 0.20), "mouth": (0.56, 0.36, 0.25)}


_OVERSAMPLING = 1.5


def render_face(description: FaceDescription, size: int = 64) -> np.ndarray:
    """Render one face deterministically as uint8 [size, size, 3] RGB.

    Args:
        description: description of the face.
        size: side of the image in pixels, 32 to 512.

    Raises:
        InputError: ``size`` is outside 32..512.
    """
    if not 32 <= size <= 512:
        raise InputError(f"size of a synthetic face must be between 32 and 512 pixels, not {size}")
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
    """Paint the hair, neck, clothes and ears, which lie behind the head."""
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
    """Return the coverage of the replaced region, which is convex with a soft border, float32 [size, size]."""
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
    """Blend the recolored and softened donor into the target with a mask; images are sRGB [S, S, 3] in 0..1."""
    size = target.shape[0]
    low = round(size / forgery.softness)
    soft = cv2.resize(
        cv2.resize(donor, (low, low), interpolation=cv2.INTER_LINEAR), (size, size), interpolation=cv2.INTER_CUBIC
    )
    soft = soft * np.array(forgery.color, np.float32)
    return target + mask[..., None] * (soft - target)


IRIS_LINEAR: dict[str, tuple[float, float, float]] = {
    "brown": (0.10, 0.045, 0.018),
    "dark_brown": (0.035, 0.018, 0.01),
    "hazel": (0.16, 0.10, 0.035),
    "green": (0.10, 0.15, 0.07),
    "blue": (0.09, 0.18, 0.30),
    "gray": (0.17, 0.20, 0.22),
}


def paint_eyes(surface: Surface, face: FaceDescription, skin: np.ndarray) -> None:
    """Paint both eyes with their lids and lashes."""
    for side in (-1, 1):
        _paint_eye(surface, face, skin, side)


def _paint_eye(surface: Surface, face: FaceDescription, skin: np.ndarray, side: int) -> None:
    person, doing = face.identity, face.expression
    cu, cv, half = eye_center(person, side)
    where = surface.window(cu - 1.45 * half, cu + 1.45 * half, cv - 0.2, cv + 0.17)
    du, dv = (surface.u[where] - cu) * side, surface.v[where] - cv
    if du.size == 0:
        return
    tilt = math.radians(4.0 + 4.0 * person.eye_tilt)
    a = (du * math.cos(tilt) - dv * math.sin(tilt)) * (1 / half)
    b = (dv * math.cos(tilt) + du * math.sin(tilt)) * (1 / half)
    opening = 1.0 + 0.13 * person.eye_roundness - 0.12 * AGE[person.age_group]
    upper = max(
        0.40 * opening * (1.0 + 0.62 * doing.lid_open - 0.16 * doing.lid_tight - 0.10 * doing.cheek_raise), 0.03
    )
    lower = max(
        0.245 * opening * (1.0 + 0.3 * max(doing.lid_open, 0.0) - 0.62 * doing.lid_tight - 0.35 * doing.cheek_raise),
        0.02,
    )
    span = np.maximum(1.0 - a * a, 0.0)
    top = -upper * span**0.72 * (1.0 - 0.16 * a)
    bottom = lower * span**0.85 * (1.0 + 0.2 * a)
    slit = np.maximum(np.maximum(top - b, b - bottom), (np.abs(a) - 1.0)) * half

    # The lids lie over the eyeball. Without the crease above them, the eye would look flat.
    surface.height[where] += 0.045 * np.exp(-0.5 * ((a / 0.75) ** 2 + ((b + 0.05) / 0.5) ** 2))
    crease_at = top - (0.19 + 0.045 * person.lid_fold) * np.sqrt(span + 0.02) + 0.05 * doing.lid_tight
    crease = np.exp(-(((b - crease_at) / 0.07) ** 2)) * np.clip((1.15 - np.abs(a)) * 4, 0, 1)
    surface.height[where] -= 0.012 * crease
    shadow = 0.20 * crease + 0.13 * np.exp(-(((b - bottom - 0.13) / 0.08) ** 2)) * span * (0.5 + doing.lid_tight)
    surface.dim(where, shadow)

    ball = 0.56 - 0.20 * np.clip(a * a, 0, 1) - 0.18 * np.clip((b - top) * -3.2 + 1.0, 0, 1)
    white = ball * rgb((0.98, 0.92, 0.90))
    white[1:] *= 1.0 - 0.25 * np.clip(np.abs(a) - 0.55, 0, 1)
    radius = 0.405 - 0.02 * person.eye_size
    ia, ib = a - (0.20 * doing.gaze_x * side - 0.02), b - 0.17 * doing.gaze_y + 0.045
    r = np.sqrt(ia * ia + ib * ib) * (1 / radius)
    iris = rgb(IRIS_LINEAR[person.iris])
    spokes = 1.0 + 0.22 * sample_noise("grain", np.arctan2(ib, ia), 0.3 * r, 0.28, pattern_offset(person.texture, 20))
    ring = np.clip(1.25 - 0.9 * r**4, 0.25, 1.3) * (1.0 + 0.35 * np.clip(ib / radius, -1, 1)) * spokes
    pupil = np.clip((r - 0.42) * 8.0, 0.0, 1.0)
    inside = surface.edge((r - 1.0) * (radius * half), 0.006)
    color = white + inside * (iris * (ring * (0.08 + 0.92 * pupil)) - white)
    color *= np.clip((b - top) * 4.5 + 0.35, 0.35, 1.0)
    light = face.scene
    spot_a = ia - (0.16 * light.light_x * side + 0.02 * side)
    spot_b = ib + 0.16
    spot = np.exp(-(((spot_a * spot_a + spot_b * spot_b) / 0.095**2) ** 1.5))
    small = 0.4 * np.exp(-(((ia + 0.17 * side) ** 2 + (ib - 0.17) ** 2) / 0.006))
    color += 1.3 * spot + 0.25 * small
    duct = np.exp(-(((a + 0.93) / 0.10) ** 2 + (b / 0.12) ** 2))
    color += duct * (skin * rgb((1.0, 0.62, 0.60)) - color)
    alpha = surface.edge(slit)
    flat = surface.height[where]
    surface.paint(where, alpha, color, gloss=0.05, soft=0.25, height=flat - 0.012)

    lash = 0.035 + 0.022 * (person.lashes + 1.0)
    line = np.exp(-(((b - top + 0.4 * lash) / lash) ** 2)) * np.clip((1.08 - np.abs(a)) * 5, 0, 1)
    wing = np.exp(-(((a - 1.0) / 0.16) ** 2 + ((b + 0.03 + 0.25 * (a - 1)) / (0.6 * lash + 0.02)) ** 2)) * (
        0.4 + 0.3 * person.lashes
    )
    rim = 0.42 * np.exp(-(((b - bottom - 0.02) / 0.045) ** 2)) * np.clip((1.0 - np.abs(a)) * 3, 0, 1)
    dark = np.clip(np.maximum(0.93 * line, wing) + 0.55 * rim * (0.5 + 0.25 * person.lashes), 0, 0.95)
    surface.paint(where, dark, 0.10 * skin + 0.008)


def paint_brows(surface: Surface, identity: Identity, expression: Expression) -> None:
    """Paint both eyebrows."""
    hair = rgb(HAIR_LINEAR[identity.hair_color])
    hair = hair * (0.45 if identity.hair_color == "blond" else 0.7)
    for side in (-1, 1):
        outer = expression.brow_outer_right if side > 0 else expression.brow_outer_left
        where = surface.window(side * 0.03, side * 0.66, -0.56, -0.12)
        u, v = surface.u[where] * side, surface.v[where]
        if u.size == 0:
            continue
        inner_end = 0.125 - 0.035 * expression.brow_pinch
        t = (u - inner_end) * (1 / (0.555 - inner_end))
        s = np.clip(t, 0, 1)
        rest = (
            -0.285
            - 0.02 * identity.brow_height
            - (0.05 + 0.022 * identity.brow_arch) * np.sin(np.pi * np.clip(0.85 * s, 0, 1) ** 1.25)
        )
        inner = 0.105 * expression.brow_inner - 0.065 * expression.brow_pinch - 0.03 * expression.nose_wrinkle
        move = inner * (1 - s) ** 1.5 + 0.11 * outer * np.clip(s * 1.4, 0, 1) ** 1.3
        arch = 0.02 * max(expression.brow_inner, 0.0) * np.sin(np.pi * s)
        middle = rest + 0.035 * s**3 - move - arch
        thick = (
            (0.036 + 0.014 * identity.brow_thickness) * (0.55 + 0.75 * (1 - s) ** 0.6) * np.clip(1.15 - s**3, 0.1, 1)
        )
        distance = np.maximum(np.abs(v - middle) - thick, np.maximum(-t, t - 1.0) * 0.43)
        flow = 0.8 * s + 0.15
        hairs = sample_noise(
            "strand", u - (v - middle) * flow * 1.4, v * 0.6, 0.03, pattern_offset(identity.texture, 30 + side)
        )
        dense = np.clip(0.78 + 0.10 * identity.brow_thickness + 0.26 * hairs, 0.0, 1.0)
        alpha = (
            surface.edge(distance + 0.008 * hairs, 0.022) * dense * (0.9 if identity.hair_color != "blond" else 0.72)
        )
        surface.paint(where, alpha, hair, gloss=0.02, height=surface.height[where] + 0.006)
