"""Shading: normals from the height, key and ambient light, occlusion, highlights, and the tone curve of the camera."""

import math

import cv2
import numpy as np

from auxface.data.synthetic.surface import Surface, rgb

# Red light spreads furthest below the skin, so shadows on a face have red borders (wrap lighting per channel).
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
    """Convert linear light to sRGB in 0..1; highlights are compressed, not clipped."""
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
