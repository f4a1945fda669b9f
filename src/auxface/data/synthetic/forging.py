"""Blending a region of another face into a picture, as a face swap does, with the traces that leaves."""

import math

import cv2
import numpy as np

from auxface.data.synthetic.description import Forgery
from auxface.data.synthetic.surface import Surface

# Centre v, half width, half height in face units.
_REGIONS = {"face": (0.22, 0.50, 0.60), "eyes": (-0.12, 0.53, 0.20), "mouth": (0.56, 0.36, 0.25)}


def region_mask(surface: Surface, forgery: Forgery, size: int) -> np.ndarray:
    """Coverage of the replaced region, float32 [size, size]: convex, with a soft seam."""
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


def blend(target: np.ndarray, donor: np.ndarray, mask: np.ndarray, forgery: Forgery) -> np.ndarray:
    """The target with the donor's region recoloured, softened and blended along the seam; all sRGB 0..1 [S, S, 3]."""
    size = target.shape[0]
    low = round(size / forgery.softness)
    soft = cv2.resize(
        cv2.resize(donor, (low, low), interpolation=cv2.INTER_LINEAR), (size, size), interpolation=cv2.INTER_CUBIC
    )
    soft = soft * np.array(forgery.colour, np.float32)
    return target + mask[..., None] * (soft - target)
