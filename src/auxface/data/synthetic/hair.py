"""Hair on the head: what falls behind it, what grows over it, and the strands both are made of."""

import math

import numpy as np

from auxface.data.synthetic.description import Identity
from auxface.data.synthetic.hair_colour import HAIR_LINEAR
from auxface.data.synthetic.noise import sample
from auxface.data.synthetic.relief import AGE, _offset
from auxface.data.synthetic.surface import Surface, dome, rgb

_EVERYWHERE = (slice(None), slice(None))
# Style: thickness on top, thickness at the sides, v the hair falls to (None: stays above the ears).
_CUT: dict[str, tuple[float, float, float | None]] = {
    "buzz": (0.025, 0.008, None),
    "short": (0.10, 0.035, None),
    "side_part": (0.13, 0.05, None),
    "curly": (0.25, 0.20, 0.42),
    "medium": (0.12, 0.10, 0.68),
    "long": (0.11, 0.11, 1.6),
    "tied": (0.06, 0.02, None),
}


def paint_back_hair(surface: Surface, identity: Identity) -> None:
    """Paints the hair that is seen past the head's outline; call before the head is painted."""
    if identity.hair_style == "bald":
        return
    _, side, fall = _CUT[identity.hair_style]
    if fall is None and identity.hair_style != "tied":
        return
    volume = 1.0 + 0.22 * identity.hair_volume
    u, v = surface.u, surface.v
    strands, curls = _strands(surface, identity)
    rough = (0.012 if identity.hair_style != "curly" else 0.035) * curls
    if fall is None:
        knot = np.sqrt(u * u + ((v + 1.12) * 1.1) ** 2) - 0.27 * volume + rough
        _lay(surface, identity, _EVERYWHERE, surface.edge(knot, 0.02), strands, 0.1 - 0.3 * knot)
        return
    fall = fall + 0.06 * identity.hair_volume
    wave = 0.03 * identity.hair_waves * np.sin(v * 9.0 + np.sign(u))
    wide = 0.74 * (1.0 + 0.045 * identity.head_width) + side * volume + 0.06 * np.clip(v + 0.2, 0, 1) + wave
    tuck = 0.16 * np.clip((v - fall + 0.35) * 2.4, 0, 1) ** 2 if fall < 1.5 else 0.0
    curtain = np.maximum(np.abs(u) - wide + tuck, np.maximum(v - fall, -v - 0.35)) + rough
    _lay(
        surface,
        identity,
        _EVERYWHERE,
        surface.edge(curtain, 0.02),
        0.8 * strands,
        -0.1 + 0.1 * np.clip(1.0 - np.abs(u), 0, 1),
    )


def paint_front_hair(surface: Surface, identity: Identity) -> None:
    """Paints the hair over the head."""
    if identity.hair_style == "bald":
        return
    top, side, fall = _CUT[identity.hair_style]
    volume = 1.0 + 0.22 * identity.hair_volume
    u, v = surface.u, surface.v
    strands, curls = _strands(surface, identity)
    curly = identity.hair_style == "curly"
    rough = (0.012 if not curly else 0.03) * curls
    radius = np.sqrt(surface.rho2)
    up = np.clip(0.25 - v * 0.95, 0.0, 1.0)
    thick = (side + (top - side) * up**1.5) * volume
    lopsided = 0.03 * identity.hair_part * u if identity.hair_style == "side_part" else 0.0
    outside = (radius - 1.0 - thick - lopsided) * 0.85 + rough
    line = _hairline(identity, u)
    below = (v - line) + rough * 1.5
    if identity.bangs:
        fringe = -0.36 + 0.05 * np.sin(7.0 * u + 3.0 * identity.hair_part) + 0.25 * u * u + 0.03 * strands
        over = np.maximum(v - fringe, np.abs(u) - 0.62)
        below = np.minimum(below, over)
    if fall is not None:
        inner = (
            0.60
            + 0.04 * np.sin(4.0 * v + identity.hair_part)
            + (0.06 if curly else 0.0)
            + 0.10 * np.clip(v - 0.3, 0, 1)
        )
        lock = np.maximum(inner - np.abs(u), v - fall) + rough
        lock = np.maximum(lock, -0.75 - v)
        below = np.minimum(below, lock)
        wide = (
            0.74 * (1.0 + 0.045 * identity.head_width)
            + side * volume
            + 0.03 * identity.hair_waves * np.sin(v * 9.0 + np.sign(u))
        )
        outside = np.where(v > 0.0, np.minimum(outside, np.abs(u) - wide), outside)
    mask = np.maximum(outside, below)
    fuzzy = 0.05 if identity.hair_style in ("buzz", "tied") else 0.022
    alpha = surface.edge(mask, fuzzy)
    if identity.hair_style == "buzz":
        alpha = alpha * np.clip(0.80 + 0.12 * strands, 0, 1)
    puffed = dome(surface.rho2 / (1.0 + thick) ** 2, 0.70) + 0.6 * thick
    drop = np.clip(-below * 9.0, 0.0, 1.0)
    height = np.where(v > 0.1, np.maximum(puffed, 0.18), puffed) - 0.03 * (1.0 - drop)
    _lay(surface, identity, _EVERYWHERE, alpha, strands, height)


def _hairline(identity: Identity, u: np.ndarray) -> np.ndarray:
    age = AGE[identity.age_group]
    start = (
        -0.70
        - 0.045 * identity.hairline
        - (0.05 * age if identity.hair_style in ("buzz", "short", "side_part") else 0.0)
    )
    across = np.abs(u)
    corner = 0.05 * np.exp(-(((across - 0.38) / 0.12) ** 2)) * (0.4 + age)
    side = np.clip((across - 0.44) * (1 / 0.25), 0.0, 1.0)
    sweep = 0.0
    if identity.hair_style in ("side_part", "medium", "long", "tied"):
        sweep = (
            0.10 * np.exp(-(((u - 0.30 * math.copysign(1.0, identity.hair_part)) / 0.22) ** 2)) * -0.6 + 0.06 * across
        )
    down = 0.72 if identity.hair_style != "tied" else 0.62
    return start + 0.10 * across**2 - corner + sweep + down * side * side * (3 - 2 * side)


def _strands(surface: Surface, identity: Identity) -> tuple[np.ndarray, np.ndarray]:
    """Strand pattern and, for the outline, its coarser part; both about unit deviation."""
    u, v = surface.u, surface.v
    offset = _offset(identity, 60)
    if identity.hair_style == "curly":
        curls = sample("grain", u, v, 0.13, offset)
        fine = sample("ridge", u, v, 0.06, offset)
        return 0.75 * curls + 0.55 * fine, curls
    if identity.hair_style == "buzz":
        fine = sample("grain", u, v, 0.035, offset)
        return fine, fine
    part = 0.30 * identity.hair_part
    away = np.minimum(np.maximum(v + 1.25, 0.05), 1.0)
    across = (u - part) / (0.35 + 0.65 * away)
    along = v + 0.35 * u * u
    if identity.hair_waves > 0.05:
        across = across + 0.045 * identity.hair_waves * np.sin(along * 10.0 + 2.0 * np.sign(u - part))
    if identity.bangs:
        across = np.where(v < -0.3, u * 0.9, across)
    coarse = sample("strand", across, along * 0.5, 0.11, offset)
    fine = sample("strand", across, along * 0.5, 0.036, offset)
    return 0.65 * coarse + 0.6 * fine, coarse


def _lay(
    surface: Surface,
    identity: Identity,
    where: tuple[slice, slice],
    alpha: np.ndarray,
    strands: np.ndarray,
    height: np.ndarray,
) -> None:
    pigment = rgb(HAIR_LINEAR[identity.hair_colour])
    grizzle = 0.0
    if identity.hair_colour == "gray":
        grizzle = 0.25
    shade = np.clip(1.0 + (0.30 + grizzle * 0.5) * strands, 0.25, 2.0)
    gloss = 0.055 * np.clip(1.0 + 0.7 * strands, 0.1, 3.0) * (0.4 if identity.hair_style in ("buzz", "curly") else 1.0)
    relief = 0.011 if identity.hair_style != "curly" else 0.03
    surface.paint(where, alpha, shade * pigment, gloss=gloss, soft=0.0, height=height + relief * strands)
