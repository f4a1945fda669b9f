"""Things worn: glasses, hats, earrings."""

import numpy as np

from auxface.data.synthetic.body import ear_box
from auxface.data.synthetic.description import FaceDescription
from auxface.data.synthetic.noise import sample
from auxface.data.synthetic.relief import eye_centre
from auxface.data.synthetic.surface import Surface, dome, rgb

_EVERYWHERE = (slice(None), slice(None))
# Rim: half width over the eye's half width, half height, corner roundness (2 is an ellipse), thickness.
_RIMS = {"round": (1.30, 0.195, 2.2, 0.020), "square": (1.45, 0.165, 4.5, 0.026), "thin": (1.36, 0.155, 3.0, 0.0115)}


def paint_glasses(surface: Surface, face: FaceDescription) -> None:
    """Paints rims, bridge and temples, their shadow, and a faint gleam on the lenses."""
    kind = face.style.glasses
    if kind == "none":
        return
    colour = rgb(face.style.glasses_colour)
    wide, tall, power, thick = _RIMS[kind]
    for side in (-1, 1):
        cu, cv, half = eye_centre(face.identity, side)
        cu, cv = cu * 1.02, cv + 0.025
        where = surface.window(cu - 0.42, cu + 0.42, cv - 0.3, cv + 0.3)
        du, dv = surface.u[where] - cu, surface.v[where] - cv
        if du.size == 0:
            continue
        for shadow in (True, False):
            a = np.abs(du + (0.02 * face.scene.light_x if shadow else 0.0)) * (1 / (half * wide))
            b = np.abs(dv - (0.028 if shadow else 0.0)) * (1 / tall)
            r = (a**power + b**power + 1e-6) ** (1 / power)
            distance = np.abs(r - 1.0) * (0.5 * (half * wide + tall)) - thick
            if shadow:
                dim = 0.30 * surface.edge(distance, 0.03)
                surface.dim(where, dim)
            else:
                gleam = np.clip(1.0 - np.abs((du * 0.8 + dv + 0.05 * side) * (1 / 0.05)), 0, 1) * surface.edge(
                    (r - 0.95) * half
                )
                surface.albedo[:, where[0], where[1]] += 0.05 * gleam
                surface.gloss[where] += 0.05 * surface.edge((r - 0.97) * half)
                surface.paint(
                    where, surface.edge(distance), colour, gloss=0.22, soft=0.0, height=dome(surface.rho2[where]) + 0.14
                )
        temple = surface.window(cu + side * half * wide - 0.05, side * 0.82, cv - 0.1, cv + 0.08)
        tu, tv = surface.u[temple] * side, surface.v[temple]
        begin = abs(cu) + half * wide
        arm = np.maximum(np.abs(tv - cv + 0.05) - 0.9 * thick, np.maximum(begin - tu, tu - 0.80))
        surface.paint(temple, surface.edge(arm), colour, gloss=0.15, soft=0.0)
    inner = abs(eye_centre(face.identity, 1)[0]) * 1.02 - eye_centre(face.identity, 1)[2] * wide
    where = surface.window(-inner - 0.03, inner + 0.03, -0.22, 0.05)
    u, v = surface.u[where], surface.v[where]
    bridge = np.maximum(np.abs(v + 0.105 - 0.8 * u * u) - 0.9 * thick, np.abs(u) - inner - thick)
    surface.paint(where, surface.edge(bridge), colour, gloss=0.2, soft=0.0)


def paint_hat(surface: Surface, face: FaceDescription) -> None:
    """Paints the hat."""
    kind = face.style.hat
    u, v = surface.u, surface.v
    if kind == "none":
        return
    colour = rgb(face.style.hat_colour)
    radius = np.sqrt(surface.rho2)
    brim = -0.50 + 0.26 * u * u
    shell = dome(surface.rho2 / 1.35, 0.74) + 0.06
    if kind == "beanie":
        outside = (radius - 1.13) * 0.85
        ribs = np.cos(u / (0.45 + 0.5 * np.clip(v + 1.3, 0.05, 1.0)) * (2 * np.pi / 0.085))
        knit = 1.0 + 0.14 * ribs + 0.06 * sample("grain", u, v, 0.035, (0.3, 0.6))
        band = np.clip((v - (brim - 0.19)) * 40, 0, 1)
        shade = knit * (1.0 + 0.10 * band)
        mask = np.maximum(outside - 0.02 * band, v - brim)
        alpha = surface.edge(mask)
        surface.paint(
            _EVERYWHERE, alpha, shade * colour, gloss=0.0, soft=0.0, height=shell + 0.006 * ribs + 0.03 * band
        )
        return
    outside = (radius - 1.09) * 0.85
    crown = np.maximum(outside, v - brim - 0.02)
    seams = (
        1.0 - 0.18 * np.exp(-((u / 0.012) ** 2)) - 0.12 * np.exp(-(((np.abs(u) - 0.36 - 0.2 * (v + 0.8)) / 0.012) ** 2))
    )
    cloth = seams * (1.0 + 0.05 * sample("grain", u, v, 0.03, (0.1, 0.2)))
    alpha = surface.edge(crown)
    surface.paint(_EVERYWHERE, alpha, cloth * colour, gloss=0.01, soft=0.0, height=shell)
    visor = np.maximum(
        np.abs(v - brim + 0.02 + 0.06 * u * u) - 0.085 * np.sqrt(np.clip(1.0 - (u / 0.66) ** 2, 0, 1)), np.abs(u) - 0.66
    )
    peak = surface.edge(visor)
    surface.paint(_EVERYWHERE, peak, 0.75 * colour, gloss=0.02, soft=0.0, height=0.72 + 0.5 * (v - brim))


def paint_earrings(surface: Surface, face: FaceDescription) -> None:
    """Paints a bright drop under each ear lobe, in front of any hair."""
    if not face.style.earrings:
        return
    for side in (-1, 1):
        u, v, _, tall = ear_box(face.identity, side)
        cu, cv = u - side * 0.03, v + tall + 0.035
        where = surface.window(cu - 0.1, cu + 0.1, cv - 0.12, cv + 0.2)
        du, dv = surface.u[where] - cu, surface.v[where] - cv
        stud = np.sqrt(du * du + dv * dv) - 0.036
        drop = np.sqrt((du * 1.3) ** 2 + ((dv - 0.095) * 0.75) ** 2) - 0.042
        shape = np.minimum(stud, drop)
        metal = rgb((0.86, 0.66, 0.26)) * (0.9 + 6.0 * np.clip(-shape, 0, 0.03))
        surface.paint(
            where, surface.edge(shape), metal, gloss=0.6, soft=0.0, height=surface.height[where] + 0.05 - shape
        )
