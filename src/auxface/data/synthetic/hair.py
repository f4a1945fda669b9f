"""Hair on the head, painted before and after the face, and facial hair: stubble, mustache, goatee and full beard."""

import math

import numpy as np

from auxface.data.synthetic.description import Expression, Identity
from auxface.data.synthetic.mouth import mouth_shape
from auxface.data.synthetic.relief import AGE, nose_base
from auxface.data.synthetic.surface import Surface, Window, dome, pattern_offset, rgb, sample_noise

# Hair colors in linear RGB.
HAIR_LINEAR: dict[str, tuple[float, float, float]] = {
    "black": (0.012, 0.011, 0.011),
    "dark_brown": (0.045, 0.026, 0.015),
    "brown": (0.115, 0.062, 0.032),
    "auburn": (0.22, 0.072, 0.03),
    "blond": (0.52, 0.36, 0.17),
    "gray": (0.42, 0.42, 0.43),
}


# For each style: thickness on top, thickness at the sides, and coordinate v at which the hair ends (None if above the
# ears).
_CUT: dict[str, tuple[float, float, float | None]] = {
    "buzz": (0.025, 0.008, None),
    "short": (0.10, 0.035, None),
    "side_part": (0.13, 0.05, None),
    "curly": (0.25, 0.20, 0.40),
    "medium": (0.12, 0.10, 0.70),
    "long": (0.11, 0.11, 1.6),
    "tied": (0.06, 0.02, None),
}


def paint_back_hair(surface: Surface, identity: Identity) -> None:
    """Paint the hair behind the head; must be called before the head is painted."""
    if identity.hair_style == "bald":
        return
    _, side, fall = _CUT[identity.hair_style]
    volume = 1.0 + 0.22 * identity.hair_volume
    if fall is None:
        if identity.hair_style == "tied":
            _paint_knot(surface, identity, volume)
        return
    where = surface.window(-1.1, 1.1, -0.5, fall + 0.15)
    u, v = surface.u[where], surface.v[where]
    strands, coarse = _strands(surface, identity, where)
    rough = (0.012 if identity.hair_style != "curly" else 0.022) * coarse
    fall = fall + 0.06 * identity.hair_volume
    wave = 0.03 * identity.hair_waves * np.sin(v * 9.0 + np.sign(u))
    wide = 0.74 * (1.0 + 0.045 * identity.head_width) + side * volume + 0.06 * np.clip(v + 0.2, 0, 1) + wave
    wide = wide - 0.13 * np.clip((-0.02 - v) * 3.0, 0, 1)
    tuck = 0.16 * np.clip((v - fall + 0.35) * 2.4, 0, 1) ** 2 if fall < 1.5 else 0.0
    curtain = np.maximum(np.abs(u) - wide + tuck, np.maximum(v - fall, -v - 0.35)) + rough
    depth = -0.1 + 0.1 * np.clip(1.0 - np.abs(u), 0, 1)
    _lay(surface, identity, where, surface.edge(curtain, 0.02), 0.8 * strands - 0.6, depth)


def _paint_knot(surface: Surface, identity: Identity, volume: float) -> None:
    where = surface.window(-0.4, 0.4, -1.5, -0.75)
    u, v = surface.u[where], surface.v[where]
    strands, coarse = _strands(surface, identity, where)
    knot = np.sqrt(u * u + ((v + 1.12) * 1.1) ** 2) - 0.27 * volume + 0.012 * coarse
    _lay(surface, identity, where, surface.edge(knot, 0.02), strands, 0.1 - 0.5 * knot)


def covers_ears(identity: Identity) -> bool:
    """Return whether the hair covers the ears."""
    return identity.hair_style != "bald" and _CUT[identity.hair_style][2] is not None


def paint_front_hair(surface: Surface, identity: Identity) -> None:
    """Paint the hair on top of and in front of the head; must be called after the face is painted."""
    if identity.hair_style == "bald":
        return
    top, side, fall = _CUT[identity.hair_style]
    curly = identity.hair_style == "curly"
    volume = 1.0 + 0.22 * identity.hair_volume
    where = surface.window(-1.1, 1.1, -1.6, 0.3 if fall is None else fall + 0.1)
    u, v, rho2 = surface.u[where], surface.v[where], surface.rho2[where]
    strands, coarse = _strands(surface, identity, where)
    rough = (0.012 if not curly else 0.022) * coarse
    up = np.clip(0.25 - v * 0.95, 0.0, 1.0)
    thick = (side + (top - side) * up**1.5) * volume
    lopsided = 0.03 * identity.hair_part * u if identity.hair_style == "side_part" else 0.0
    outside = (np.sqrt(rho2) - 1.0 - thick - lopsided) * 0.85 + rough
    below = v - _hairline(identity, u) + rough * 1.5
    if identity.bangs:
        below = np.minimum(below, _fringe(identity, u, v, coarse))
    if fall is not None:
        inner = 0.60 + 0.04 * np.sin(4.0 * v + identity.hair_part) + (0.06 if curly else 0.0)
        lock = np.maximum(inner + 0.10 * np.clip(v - 0.3, 0, 1) - np.abs(u), v - fall) + rough
        below = np.minimum(below, np.maximum(lock, -0.75 - v))
        wave = 0.03 * identity.hair_waves * np.sin(v * 9.0 + np.sign(u))
        wide = 0.74 * (1.0 + 0.045 * identity.head_width) + side * volume + wave
        wide = wide - 0.06 * np.clip(1.0 - 5.0 * v, 0, 1)
        outside = np.where(v > 0.0, np.minimum(outside, np.abs(u) - wide), outside)
    fuzzy = {"buzz": 0.06, "tied": 0.05, "curly": 0.045}.get(identity.hair_style, 0.022)
    # Sideburns become thinner toward the end instead of ending in a line.
    if fall is None:
        fuzzy = fuzzy + 0.16 * np.clip(v + 0.22, 0.0, 1.0)
    alpha = np.minimum(surface.edge(outside, 0.02), surface.edge(below, fuzzy))
    if identity.hair_style == "buzz":
        alpha = alpha * np.clip(0.80 + 0.12 * strands, 0, 1)
    _cast_shadow(surface, where, np.maximum(outside, below))
    puffed = dome(rho2 / (1.0 + thick) ** 2, 0.70) + 0.6 * thick
    drop = np.clip(-below * 9.0, 0.0, 1.0)
    height = np.where(v > 0.1, np.maximum(puffed, 0.18), puffed) - 0.03 * (1.0 - drop)
    _lay(surface, identity, where, alpha, strands, height)


def _fringe(identity: Identity, u: np.ndarray, v: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    end = -0.37 + 0.035 * np.sin(6.0 * u + 3.0 * identity.hair_part) + 0.25 * u * u + 0.035 * coarse
    return np.maximum(v - end, np.abs(u) - 0.62)


def _cast_shadow(surface: Surface, where: Window, mask: np.ndarray) -> None:
    near = np.clip(1.0 - mask * (1 / 0.09), 0.0, 1.0)
    lit_from_above = 0.55 - 0.45 * surface.scene.light_y
    surface.dim(where, (0.34 * lit_from_above) * near * near * (surface.rho2[where] < 1.0))


def _hairline(identity: Identity, u: np.ndarray) -> np.ndarray:
    age = AGE[identity.age_group]
    cropped = identity.hair_style in ("buzz", "short", "side_part")
    start = -0.70 - 0.045 * identity.hairline - (0.06 * age if cropped else 0.0)
    across = np.abs(u)
    corner = 0.06 * np.exp(-(((across - 0.36) / 0.12) ** 2)) * (0.4 + age)
    side = np.clip((across - 0.44) * (1 / 0.25), 0.0, 1.0)
    sweep = 0.0
    if identity.hair_style in ("side_part", "medium", "long", "tied"):
        parting = (u - 0.30 * math.copysign(1.0, identity.hair_part)) * (1 / 0.22)
        sweep = 0.06 * across - 0.06 * np.exp(-(parting**2))
    down = 0.72 if identity.hair_style != "tied" else 0.62
    return start + 0.10 * across**2 - corner + sweep + down * side * side * (3 - 2 * side)


def _strands(surface: Surface, identity: Identity, where: Window) -> tuple[np.ndarray, np.ndarray]:
    """Return the strand pattern and its coarse part, which roughens the outline, with standard deviations near 1."""
    u, v = surface.u[where], surface.v[where]
    offset = pattern_offset(identity.texture, 60)
    if identity.hair_style == "curly":
        curls = sample_noise("grain", u, v, 0.13, offset)
        fine = sample_noise("ridge", u, v, 0.06, offset)
        return 0.75 * curls + 0.55 * fine, curls
    if identity.hair_style == "buzz":
        fine = sample_noise("grain", u, v, 0.035, offset)
        return fine, fine
    part = 0.30 * identity.hair_part
    away = np.minimum(np.maximum(v + 1.25, 0.05), 1.0)
    across = (u - part) / (0.35 + 0.65 * away)
    along = v + 0.35 * u * u
    if identity.hair_waves > 0.05:
        across = across + 0.045 * identity.hair_waves * np.sin(along * 10.0 + 2.0 * np.sign(u - part))
    if identity.bangs:
        across = np.where(v < -0.3, u * 0.9, across)
    coarse = sample_noise("strand", across, along * 0.45 + 0.3 * u, 0.13, offset)
    fine = sample_noise("strand", across, along * 0.5, 0.034, offset)
    return 0.55 * coarse + 0.6 * fine, coarse


def _lay(
    surface: Surface, identity: Identity, where: Window, alpha: np.ndarray, strands: np.ndarray, height: np.ndarray
) -> None:
    pigment = rgb(HAIR_LINEAR[identity.hair_color])
    curly = identity.hair_style == "curly"
    u, v = surface.u[where], surface.v[where]
    # The ring of reflected light on combed hair moves down with the lamp.
    ring = np.exp(-(((v + 0.80 - 0.25 * surface.scene.light_y + 0.35 * u * u) / 0.13) ** 2))
    sheen = 0.0 if identity.hair_style in ("buzz", "curly") else 0.45 * ring * np.clip(1.0 + 0.6 * strands, 0, 2)
    contrast = 0.36 if identity.hair_color == "gray" else 0.26
    shade = np.clip(1.0 + contrast * strands, 0.25, 2.0) + sheen
    gloss = (0.02 if curly or identity.hair_style == "buzz" else 0.05) * np.clip(1.0 + 0.7 * strands, 0.1, 3.0)
    relief = 0.008 if not curly else 0.022
    surface.paint(where, alpha, shade * pigment + 0.02 * sheen, gloss=gloss, soft=0.0, height=height + relief * strands)


def paint_beard(surface: Surface, identity: Identity, expression: Expression) -> None:
    """Paint the beard; must be called before the mouth is painted, so that the lips stay free of hair."""
    kind = identity.beard
    if kind == "none":
        return
    where = surface.window(-0.78, 0.78, -0.05, 1.15)
    u, v = surface.u[where], surface.v[where]
    if u.size == 0:
        return
    mustache, goatee, full = _outlines(identity, expression, u, v)
    shape = {
        "mustache": mustache,
        "goatee": np.minimum(mustache, goatee),
        "full": np.minimum(np.minimum(mustache, goatee), full),
        "stubble": np.minimum(np.minimum(mustache, goatee), full + 0.03),
    }[kind]
    drift = sample_noise("cloud", u, v, 0.16, pattern_offset(identity.texture, 71))
    fan = u * (1.25 - 0.35 * np.clip(v - 0.3, 0, 1)) + 0.012 * drift
    fine = sample_noise("strand", fan, v * 0.9, 0.024, pattern_offset(identity.texture, 70))
    texture = 0.75 * fine + 0.45 * drift
    stubble = kind == "stubble"
    inside = surface.edge(shape + 0.012 * texture, 0.055 if not stubble else 0.13)
    inside = inside * np.clip((1.02 - np.sqrt(surface.rho2[where])) * 12 + 0.6, 0, 1)
    if stubble:
        grain = sample_noise("grain", u, v, 0.026, pattern_offset(identity.texture, 72))
        density = np.clip(0.34 + 0.18 * grain, 0, 0.75)
    else:
        density = np.clip(0.90 + 0.10 * texture, 0, 1)
    pigment = rgb(HAIR_LINEAR[identity.hair_color]) * 0.85
    shade = np.clip(1.0 + 0.30 * texture, 0.3, 2.0)
    height = surface.height[where] + (0.001 if stubble else 0.012 + 0.005 * texture)
    surface.paint(where, inside * density, shade * pigment, gloss=0.015, height=height)


def _outlines(
    identity: Identity, expression: Expression, u: np.ndarray, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the signed distances (negative inside) to the outlines of the mustache, goatee and full beard."""
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
    mustache = np.maximum(between, across - mouth.half * 1.08)

    patch = np.maximum(across - 0.19, np.maximum(lip_low + 0.05 - v, v - chin_low))
    ring = np.maximum(across - (mouth.half * 1.06 + 0.02), np.maximum(under_nose + 0.10 - v, v - chin_low))
    ring = np.maximum(ring, np.minimum(mouth.half * 0.95 - across, lip_low + 0.035 - v))
    goatee = np.minimum(patch, ring)

    cheek = 0.10 + 0.62 * np.clip((0.66 - across) * (1 / 0.34), 0, 1) ** 0.8
    lips = np.sqrt((u * (1 / (mouth.half * 0.92))) ** 2 + ((v - lip_low + 0.02) * (1 / 0.055)) ** 2) - 1.0
    full = np.maximum(np.maximum(cheek - v, v - chin_low - 0.04), -0.06 * lips)
    return mustache, goatee, full
