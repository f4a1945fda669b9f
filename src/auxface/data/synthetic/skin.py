"""The color of the skin (tone, blotches, freckles, moles) and its shading by light.

Shading uses normals (computed from the height), key and ambient light, occlusion, highlights, and the tone curve of the
camera.
"""

import math

import cv2
import numpy as np

from auxface.data.synthetic.description import MONK_HEX, Expression, Identity
from auxface.data.synthetic.relief import AGE, eye_center, fold, nose_base
from auxface.data.synthetic.surface import Surface, pattern_offset, rgb, sample_noise

# Red light spreads farthest below the skin, so shadows on a face have red borders (modeled by wrap lighting per
# channel).
_SKIN_WRAP = rgb((0.42, 0.26, 0.18))


def shade(surface: Surface, background: np.ndarray) -> np.ndarray:
    """Return the image of a painted surface over a background of the same shape, linear RGB float32 [3, R, R]."""
    scene = surface.scene
    sin_yaw, cos_yaw, sin_pitch, cos_pitch = surface.rotation
    height = surface.height
    z = height * cos_yaw - surface.u * sin_yaw
    z = z * cos_pitch - surface.v * sin_pitch
    slope = 1.0 / (8.0 * surface.pixel)
    dx = np.clip(cv2.Sobel(z, cv2.CV_32F, 1, 0, ksize=3) * slope, -3.0, 3.0)
    dy = np.clip(cv2.Sobel(z, cv2.CV_32F, 0, 1, ksize=3) * slope, -3.0, 3.0)
    inverse = 1.0 / np.sqrt(dx * dx + dy * dy + 1.0)

    light = _unit(scene.light_x, scene.light_y, 0.85)
    half = _unit(light[0], light[1], light[2] + 1.0)
    lambert = (light[2] - light[0] * dx - light[1] * dy) * inverse
    mirror = np.maximum((half[2] - half[0] * dx - half[1] * dy) * inverse, 0.0)

    sigma = 0.085 / surface.pixel
    small = cv2.resize(height, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    around = cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / 4), height.shape[::-1], interpolation=cv2.INTER_LINEAR)
    occlusion = np.clip(1.0 - 3.2 * np.maximum(around - height - 0.004, 0.0), 0.35, 1.0)

    warmth = 0.05 * scene.light_warmth
    key = rgb((1.0 + warmth, 1.0, 1.0 - warmth))
    wrap = surface.soft * _SKIN_WRAP
    diffuse = np.maximum((lambert + wrap) / (1.0 + wrap), 0.0)
    sky = 0.85 + 0.22 * dy * inverse
    ambient = scene.light_ambient * sky * occlusion
    strength = (1.16 - 0.70 * scene.light_ambient) * (0.45 + 0.55 * occlusion)
    lit = surface.albedo * (ambient + diffuse * (strength * key))

    broad = mirror**2
    broad = broad**4
    sharp = broad**2
    sharp = sharp**2
    lit += (surface.gloss * (0.35 * broad + 0.75 * sharp) * occlusion) * key

    return background + surface.cover * (lit - background)


def _unit(x: float, y: float, z: float) -> tuple[float, float, float]:
    length = math.sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length


def develop(linear: np.ndarray, exposure: float) -> np.ndarray:
    """Convert linear light to sRGB in 0..1, compressing highlights instead of clipping them."""
    light = np.maximum(linear * exposure, 0.0)
    knee = 0.72
    over = np.maximum(light - knee, 0.0)
    light = np.minimum(light, knee) + (1 - knee) * (1.0 - np.exp(-over / (1 - knee)))
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.power(np.maximum(light, 1e-6), 1 / 2.4) - 0.055)


def to_linear(color: str) -> tuple[float, float, float]:
    """Convert a color written as ``#rrggbb`` to linear RGB."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (part / 12.92 if part <= 0.04045 else math.pow((part + 0.055) / 1.055, 2.4) for part in parts)
    return r, g, b


def skin_color(identity: Identity) -> np.ndarray:
    """Return the albedo of a person's skin: the skin tone, varied by the undertone, as linear RGB [3, 1, 1]."""
    tone = np.array(to_linear(MONK_HEX[identity.skin_tone]), np.float32)
    # The colors of the scale are flat. Light tones are made redder and kept below white, and the darkest tones are made
    # lighter.
    lightness = float(tone @ (0.2126, 0.7152, 0.0722))
    blood = np.array([1.0, 1.0 - 0.17 * lightness, 1.0 - 0.24 * lightness], np.float32)
    warm = np.array([1.0 + 0.03 * identity.undertone, 1.0, 1.0 - 0.05 * identity.undertone], np.float32)
    lit = 0.93 - 0.12 * lightness + 0.9 * max(0.06 - lightness, 0.0) / 0.06
    return rgb((tone * blood * warm * lit).tolist())


def paint_skin(surface: Surface, identity: Identity, expression: Expression) -> None:
    """Paint the skin of the head; must be called after :func:`~auxface.data.synthetic.relief.raise_relief`."""
    age = AGE[identity.age_group]
    u, v = surface.u, surface.v
    base = skin_color(identity)
    lightness = float(base.mean())

    head = surface.head
    blotch = sample_noise("cloud", u[head], v[head], 0.42, pattern_offset(identity.texture, 1))
    mottle = sample_noise("cloud", u[head], v[head], 0.10, pattern_offset(identity.texture, 2))
    value, red = np.ones_like(u), np.zeros_like(u)
    value[head] += (0.022 + 0.018 * age) * blotch + (0.018 + 0.02 * age) * mottle
    red[head] += 0.02 * mottle + 0.012 * blotch
    for cu, cv, su, sv, amount in (
        (-0.42, 0.2, 0.17, 0.13, 0.13),
        (0.42, 0.2, 0.17, 0.13, 0.13),
        (0.0, 0.27, 0.11, 0.08, 0.12),
        (0.0, 0.86, 0.14, 0.08, 0.05),
        (0.0, -0.5, 0.3, 0.12, -0.03),
    ):
        where = surface.window(cu - 2.5 * su, cu + 2.5 * su, cv - 2.5 * sv, cv + 2.5 * sv)
        red[where] += amount * np.exp(-0.5 * (((u[where] - cu) / su) ** 2 + ((v[where] - cv) / sv) ** 2))
    for side in (-1, 1):
        cu, cv, half = eye_center(identity, side)
        where = surface.window(cu - 0.3, cu + 0.3, cv - 0.25, cv + 0.3)
        ring = np.exp(-0.5 * (((u[where] - cu) / (half * 1.1)) ** 2 + ((v[where] - cv - 0.03) / 0.095) ** 2))
        value[where] -= (0.13 + 0.05 * identity.eye_depth + 0.05 * age) * ring
        red[where] += 0.06 * ring
        where, distance = fold(surface, side, identity, expression)
        lift = max(expression.corner_right if side > 0 else expression.corner_left, 0.0)
        line = (
            np.exp(-((distance / 0.02) ** 2))
            * np.clip((v[where] - 0.24) * 9, 0, 1)
            * np.clip((0.74 - v[where]) * 6, 0, 1)
        )
        value[where] -= (0.03 + 0.07 * age + 0.09 * lift + 0.06 * expression.lip_raise) * line
    if identity.freckles > 0.05:
        spots = sample_noise("grain", u[head], v[head], 0.045, pattern_offset(identity.texture, 4)) + 0.35 * blotch
        zone = np.exp(-0.5 * ((u[head] / 0.42) ** 2 + ((v[head] - 0.14) / 0.2) ** 2))
        value[head] -= 0.26 * identity.freckles * zone * np.clip((spots - 0.95) * 1.5, 0, 1)
    red = red[head]
    tint = base * value[head]
    tint[1] *= 1.0 - red * (0.5 + 0.7 * lightness)
    tint[2] *= 1.0 - 1.1 * red * (0.5 + 0.7 * lightness)
    shine = 0.05 + 0.04 * np.exp(-0.5 * ((u[head] / 0.2) ** 2 + ((v[head] + 0.05) / 0.4) ** 2))
    inside = surface.edge((np.sqrt(surface.rho2[head]) - 1.0) * 0.8)
    surface.paint(head, inside, tint, gloss=shine, soft=1.0)
    _moles(surface, identity)
    _nostrils(surface, identity, expression)


def _moles(surface: Surface, identity: Identity) -> None:
    rng = np.random.default_rng(identity.texture)
    for _ in range(int(rng.integers(0, 4))):
        u, v = rng.uniform(-0.5, 0.5), rng.uniform(-0.1, 0.85)
        size = rng.uniform(0.011, 0.022)
        where = surface.window(u - size, u + size, v - size, v + size)
        spot = np.exp(-((((surface.u[where] - u) ** 2 + (surface.v[where] - v) ** 2) / size**2) ** 2))
        surface.dim(where, 0.62 * spot * rgb((0.8, 1.0, 1.1)))
        surface.height[where] += 0.006 * spot


def _nostrils(surface: Surface, identity: Identity, expression: Expression) -> None:
    base = nose_base(identity) - 0.03 * expression.nose_wrinkle
    wide = 1.0 + 0.17 * identity.nose_width + 0.06 * expression.nose_wrinkle
    for side in (-1, 1):
        u, v = side * 0.066 * wide, base - 0.002
        where = surface.window(u - 0.12, u + 0.12, v - 0.08, v + 0.08)
        a, b = (
            (surface.u[where] - u) / (0.040 * wide),
            (surface.v[where] - v - 0.1 * np.abs(surface.u[where] - u)) / 0.021,
        )
        dark = np.exp(-0.5 * (a * a + b * b) ** 1.2)
        surface.dim(where, dark * rgb((0.74, 0.84, 0.86)))
        surface.gloss[where] *= 1.0 - dark
    for side in (-1, 1):
        u, v = side * 0.165 * wide, base - 0.05
        where = surface.window(u - 0.08, u + 0.08, v - 0.1, v + 0.1)
        a = (surface.u[where] - u) / 0.014
        b = (surface.v[where] - v) / 0.042
        surface.dim(where, 0.30 * np.exp(-0.5 * (a * a + b * b)))
