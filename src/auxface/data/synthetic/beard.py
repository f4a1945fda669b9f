"""Facial hair: stubble, mustache, goatee, full beard."""

import numpy as np

from auxface.data.synthetic.description import Expression, Identity
from auxface.data.synthetic.hair_colour import HAIR_LINEAR
from auxface.data.synthetic.mouth import mouth_shape
from auxface.data.synthetic.noise import sample
from auxface.data.synthetic.relief import _offset, nose_base
from auxface.data.synthetic.surface import Surface, rgb


def paint_beard(surface: Surface, identity: Identity, expression: Expression, amount: float = 1.0) -> None:
    """Paints the person's beard; call before the mouth, which grows no hair."""
    kind = identity.beard
    if kind == "none":
        return
    mouth = mouth_shape(identity, expression)
    drop = 0.085 * expression.jaw_drop
    where = surface.window(-0.78, 0.78, -0.05, 1.15)
    u, v = surface.u[where], surface.v[where]
    if u.size == 0:
        return
    across = np.abs(u)
    lift = np.where(u > 0, np.float32(mouth.right), np.float32(mouth.left))
    lip_top = (
        mouth.line
        - mouth.upper
        - 0.28 * mouth.gap
        - 0.045 * expression.lip_raise
        - 0.10 * lift * np.clip(across / mouth.half, 0, 1.2) ** 2
    )
    under_nose = nose_base(identity) + 0.035
    moustache = np.maximum(
        np.maximum(
            under_nose + 0.25 * across**2 - v, v - lip_top - 0.02 - 0.30 * np.clip(across - mouth.half * 0.75, 0, 1)
        ),
        across - mouth.half * 1.08,
    )
    chin_low = 1.06 + drop
    around = np.maximum(across - (mouth.half * 1.06 + 0.02), np.maximum(under_nose + 0.10 - v, v - chin_low))
    hole = (mouth.half * 0.95 - across) * 1.0
    lip_low = mouth.line + mouth.lower + 0.72 * mouth.gap
    patch = np.maximum(np.abs(u) - 0.19, np.maximum(lip_low + 0.05 - v, v - chin_low))
    ring = np.maximum(around, np.minimum(hole, lip_low + 0.035 - v))
    cheek = 0.10 + 0.62 * np.clip((0.66 - across) / 0.34, 0, 1) ** 0.8
    jaw = np.maximum(np.maximum(cheek - v, 0.0 * v - 1.0), v - chin_low - 0.04)
    clear = np.sqrt((u / (mouth.half * 0.92)) ** 2 + ((v - lip_low + 0.02) / 0.055) ** 2) - 1.0
    jaw = np.maximum(jaw, -clear * 0.06)
    goatee = np.minimum(patch, ring)
    shape = {
        "mustache": moustache,
        "goatee": np.minimum(moustache, goatee),
        "full": np.minimum(moustache, np.minimum(goatee, jaw)),
        "stubble": np.minimum(moustache, np.minimum(goatee, jaw + 0.03)),
    }[kind]
    offset = _offset(identity, 70)
    fine = sample("strand", u * (1.0 + 0.3 * v), v, 0.026, offset)
    grain = sample("grain", u, v, 0.030, offset)
    texture = 0.6 * fine + 0.6 * grain
    inside = surface.edge(shape + 0.010 * texture, 0.05 if kind != "stubble" else 0.12)
    inside = inside * np.clip((1.02 - np.sqrt(surface.rho2[where])) * 12 + 0.6, 0, 1)
    density = np.clip(0.88 + 0.16 * texture, 0, 1) if kind != "stubble" else np.clip(0.34 + 0.20 * texture, 0, 0.75)
    pigment = rgb(HAIR_LINEAR[identity.hair_colour]) * 0.85
    alpha = inside * density * amount
    shade = np.clip(1.0 + 0.35 * texture, 0.3, 2.0)
    rise = (0.016 if kind != "stubble" else 0.002) * (1.0 + 0.5 * texture)
    height = surface.height[where]
    surface.paint(where, alpha, shade * pigment, gloss=0.015, height=height + rise)
