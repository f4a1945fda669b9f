"""Facial hair: stubble, mustache, goatee, full beard."""

import numpy as np

from auxface.data.synthetic.description import Expression, Identity
from auxface.data.synthetic.hair_colour import HAIR_LINEAR
from auxface.data.synthetic.mouth import mouth_shape
from auxface.data.synthetic.noise import offset_of, sample
from auxface.data.synthetic.relief import nose_base
from auxface.data.synthetic.surface import Surface, rgb


def paint_beard(surface: Surface, identity: Identity, expression: Expression) -> None:
    """Paints the person's beard; call before the mouth, which grows no hair."""
    kind = identity.beard
    if kind == "none":
        return
    where = surface.window(-0.78, 0.78, -0.05, 1.15)
    u, v = surface.u[where], surface.v[where]
    if u.size == 0:
        return
    moustache, goatee, full = _outlines(identity, expression, u, v)
    shape = {
        "mustache": moustache,
        "goatee": np.minimum(moustache, goatee),
        "full": np.minimum(np.minimum(moustache, goatee), full),
        "stubble": np.minimum(np.minimum(moustache, goatee), full + 0.03),
    }[kind]
    drift = sample("cloud", u, v, 0.16, offset_of(identity.texture, 71))
    fan = u * (1.25 - 0.35 * np.clip(v - 0.3, 0, 1)) + 0.012 * drift
    fine = sample("strand", fan, v * 0.9, 0.024, offset_of(identity.texture, 70))
    texture = 0.75 * fine + 0.45 * drift
    stubble = kind == "stubble"
    inside = surface.edge(shape + 0.012 * texture, 0.055 if not stubble else 0.13)
    inside = inside * np.clip((1.02 - np.sqrt(surface.rho2[where])) * 12 + 0.6, 0, 1)
    if stubble:
        grain = sample("grain", u, v, 0.026, offset_of(identity.texture, 72))
        density = np.clip(0.34 + 0.18 * grain, 0, 0.75)
    else:
        density = np.clip(0.90 + 0.10 * texture, 0, 1)
    pigment = rgb(HAIR_LINEAR[identity.hair_colour]) * 0.85
    shade = np.clip(1.0 + 0.30 * texture, 0.3, 2.0)
    height = surface.height[where] + (0.001 if stubble else 0.012 + 0.005 * texture)
    surface.paint(where, inside * density, shade * pigment, gloss=0.015, height=height)


def _outlines(
    identity: Identity, expression: Expression, u: np.ndarray, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Signed distances (negative inside) of mustache, goatee and full beard."""
    mouth = mouth_shape(identity, expression)
    across = np.abs(u)
    corner = np.where(u > 0, np.float32(mouth.right), np.float32(mouth.left))
    lift = 0.125 * corner * np.clip(across * (1 / mouth.half), 0, 1.2) ** 2
    lip_top = mouth.line - mouth.upper - 0.28 * mouth.gap - 0.06 * expression.lip_raise - lift
    lip_low = mouth.line + mouth.lower + 0.72 * mouth.gap
    under_nose = nose_base(identity) + 0.035
    chin_low = 1.06 + 0.085 * expression.jaw_drop

    droop = 0.30 * np.clip(across - mouth.half * 0.75, 0, 1)
    between = np.maximum(under_nose + 0.25 * across**2 - v, v - lip_top - 0.02 - droop)
    moustache = np.maximum(between, across - mouth.half * 1.08)

    patch = np.maximum(across - 0.19, np.maximum(lip_low + 0.05 - v, v - chin_low))
    ring = np.maximum(across - (mouth.half * 1.06 + 0.02), np.maximum(under_nose + 0.10 - v, v - chin_low))
    ring = np.maximum(ring, np.minimum(mouth.half * 0.95 - across, lip_low + 0.035 - v))
    goatee = np.minimum(patch, ring)

    cheek = 0.10 + 0.62 * np.clip((0.66 - across) * (1 / 0.34), 0, 1) ** 0.8
    lips = np.sqrt((u * (1 / (mouth.half * 0.92))) ** 2 + ((v - lip_low + 0.02) * (1 / 0.055)) ** 2) - 1.0
    full = np.maximum(np.maximum(cheek - v, v - chin_low - 0.04), -0.06 * lips)
    return moustache, goatee, full
