"""The parts around the face: background, neck, clothes, ears, glasses, hats and earrings.

Each function paints its part on a :class:`~auxface.data.synthetic.surface.Surface`;
:mod:`auxface.data.synthetic.render` calls them in order.
"""

import cv2
import numpy as np

from auxface.data.synthetic.description import FaceDescription, Identity, Scene
from auxface.data.synthetic.relief import eye_center
from auxface.data.synthetic.surface import Surface, dome, pattern_offset, rgb, sample_noise

_EVERYWHERE = (slice(None), slice(None))
# For each rim: half width relative to the eye, half height, superellipse exponent (2 for an ellipse) and thickness.
_RIMS = {"round": (1.30, 0.195, 2.2, 0.020), "square": (1.45, 0.165, 4.5, 0.026), "thin": (1.36, 0.155, 3.0, 0.0115)}


def paint_background(scene: Scene, resolution: int) -> np.ndarray:
    """Return an unevenly lit wall, often with blurred shapes, as linear RGB float32 [3, R, R]."""
    rng = np.random.default_rng(scene.background)
    base = rng.uniform(0.04, 0.6) * np.clip(1.0 + rng.normal(0, 0.11, 3), 0.4, 1.6)
    uneven = 1.0 + rng.normal(0, rng.uniform(0.08, 0.5), (4, 4, 1)) + rng.normal(0, 0.045, (4, 4, 3))
    side = resolution // 2
    image = cv2.resize((base * np.clip(uneven, 0.15, 2.2)).astype(np.float32), (64, 64), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.55:
        for _ in range(int(rng.integers(1, 5))):
            red, green, blue = (
                float(c) for c in base * np.clip(rng.uniform(0.4, 1.9) + rng.normal(0, 0.3, 3), 0.1, 2.5)
            )
            x, y = rng.uniform(-12, 64, 2).astype(int).tolist()
            wide, tall = rng.uniform(5, 45, 2).astype(int).tolist()
            if rng.random() < 0.5:
                cv2.rectangle(image, (x, y), (x + wide, y + tall), (red, green, blue), -1)
            else:
                cv2.circle(image, (x, y), wide // 3, (red, green, blue), -1)
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 4.0))
    image = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
    steps = np.linspace(0, 4.0, side, dtype=np.float32)
    across, down = np.meshgrid(steps, steps)
    wall = sample_noise("cloud", across, down, float(rng.uniform(0.2, 0.9)), (rng.random(), rng.random()))
    image = image * (1.0 + np.float32(rng.uniform(0.02, 0.08)) * wall)[..., None]
    image = cv2.resize(np.maximum(image, 0.004), (resolution, resolution), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def paint_body(surface: Surface, face: FaceDescription, skin: np.ndarray) -> None:
    """Paint the neck and the clothes."""
    person = face.identity
    top = int(np.argmax((surface.y > 0.33).any(axis=1)))
    where = (slice(top, None), slice(None))
    x, y = surface.x[where] - 0.10 * surface.rotation[0], surface.y[where]
    wide = 0.42 + 0.02 * person.head_width + 0.035 * person.jaw
    neck = wide + 0.9 * np.maximum(y - 0.98, 0.0) ** 1.4
    # The neck lies far behind the jaw, which shades it, and comes forward toward the collar.
    height = -0.14 + 0.30 * np.sqrt(np.maximum(1.0 - (x / (neck + 0.02)) ** 2, 0.0)) - 0.25 * np.clip(1.25 - y, 0, 1)
    cords = 0.02 * np.exp(-(((np.abs(x) - 0.16 - 0.25 * (1.2 - y)) * (1 / 0.06)) ** 2))
    under = 0.62 + 0.30 * np.clip((y - 0.88) * 3.0, 0, 1)
    alpha = surface.edge(np.maximum(np.abs(x) - neck, 0.35 - y))
    surface.paint(where, alpha, under * skin, gloss=0.015, soft=1.0, height=height + cords)
    collar = 1.04 + 0.20 * np.exp(-((x * (1 / 0.30)) ** 2)) - 0.10 * np.clip(np.abs(x) - 0.3, 0, 0.4)
    weave = sample_noise("strand", x, y, 0.022, pattern_offset(person.texture, 50))
    creases = sample_noise("cloud", x * 0.6, y, 0.5, pattern_offset(person.texture, 51))
    shoulder = y - collar - 0.55 * np.clip(np.abs(x) - 0.75, 0, 1)
    rise = -0.05 + 0.16 * np.clip((y - collar) * 8, 0, 1) + 0.015 * creases
    cloth = rgb(face.style.clothes) * (1.0 + 0.05 * weave + 0.08 * creases)
    surface.paint(where, surface.edge(-shoulder), cloth, gloss=0.0, soft=0.0, height=rise)


def paint_ears(surface: Surface, identity: Identity, skin: np.ndarray) -> None:
    """Paint both ears; must be called before the head is painted."""
    for side in (-1, 1):
        center_u, center_v, wide, tall = ear_box(identity, side)
        where = surface.window(center_u - 0.2, center_u + 0.2, center_v - 0.36, center_v + 0.36)
        du, dv = (surface.u[where] - center_u) * side, surface.v[where] - center_v
        if du.size == 0:
            continue
        a, b = (du + 0.16 * dv) * (1 / wide), dv * (1 / tall)
        r = np.sqrt(a * a * (1.0 + 0.35 * np.clip(b, -1, 1)) + b * b)
        helix = np.exp(-(((r - 0.80) / 0.14) ** 2))
        bowl = np.exp(-(((a - 0.0) / 0.42) ** 2 + ((b - 0.05) / 0.45) ** 2))
        height = 0.10 + 0.05 * helix - 0.05 * bowl
        red = rgb((1.0, 0.86, 0.84))
        color = (1.0 - 0.42 * bowl) * skin * red
        surface.paint(where, surface.edge((r - 1.0) * wide), color, gloss=0.03, soft=1.0, height=height)


def ear_box(identity: Identity, side: int) -> tuple[float, float, float, float]:
    """Return u, v, half width and half height of the ear on the left (``side`` -1) or right (1) of the image."""
    big = 1.0 + 0.10 * identity.ear_size
    return side * (0.745 * (1.0 + 0.045 * identity.head_width) + 0.02), 0.06, 0.105 * big, 0.235 * big


def paint_glasses(surface: Surface, face: FaceDescription) -> None:
    """Paint the rims, bridge and temples of glasses, their shadow, and a faint reflection on the lenses."""
    kind = face.style.glasses
    if kind == "none":
        return
    color = rgb(face.style.glasses_color)
    wide, tall, power, thick = _RIMS[kind]
    for side in (-1, 1):
        cu, cv, half = eye_center(face.identity, side)
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
                    where, surface.edge(distance), color, gloss=0.22, soft=0.0, height=dome(surface.rho2[where]) + 0.14
                )
        temple = surface.window(cu + side * half * wide - 0.05, side * 0.82, cv - 0.1, cv + 0.08)
        tu, tv = surface.u[temple] * side, surface.v[temple]
        begin = abs(cu) + half * wide
        arm = np.maximum(np.abs(tv - cv + 0.05) - 0.9 * thick, np.maximum(begin - tu, tu - 0.80))
        surface.paint(temple, surface.edge(arm), color, gloss=0.15, soft=0.0)
    inner = abs(eye_center(face.identity, 1)[0]) * 1.02 - eye_center(face.identity, 1)[2] * wide
    where = surface.window(-inner - 0.03, inner + 0.03, -0.22, 0.05)
    u, v = surface.u[where], surface.v[where]
    bridge = np.maximum(np.abs(v + 0.105 - 0.8 * u * u) - 0.9 * thick, np.abs(u) - inner - thick)
    surface.paint(where, surface.edge(bridge), color, gloss=0.2, soft=0.0)


def paint_hat(surface: Surface, face: FaceDescription) -> None:
    """Paint the beanie or cap, if there is one."""
    kind = face.style.hat
    u, v = surface.u, surface.v
    if kind == "none":
        return
    color = rgb(face.style.hat_color)
    radius = np.sqrt(surface.rho2)
    brim = -0.50 + 0.26 * u * u
    shell = dome(surface.rho2 / 1.35, 0.74) + 0.06
    if kind == "beanie":
        outside = (radius - 1.13) * 0.85
        ribs = np.cos(u / (0.45 + 0.5 * np.clip(v + 1.3, 0.05, 1.0)) * (2 * np.pi / 0.085))
        knit = 1.0 + 0.14 * ribs + 0.06 * sample_noise("grain", u, v, 0.035, (0.3, 0.6))
        band = np.clip((v - (brim - 0.19)) * 40, 0, 1)
        shade = knit * (1.0 + 0.10 * band)
        mask = np.maximum(outside - 0.02 * band, v - brim)
        alpha = surface.edge(mask)
        surface.paint(_EVERYWHERE, alpha, shade * color, gloss=0.0, soft=0.0, height=shell + 0.006 * ribs + 0.03 * band)
        return
    outside = (radius - 1.09) * 0.85
    crown = np.maximum(outside, v - brim - 0.02)
    seams = (
        1.0 - 0.18 * np.exp(-((u / 0.012) ** 2)) - 0.12 * np.exp(-(((np.abs(u) - 0.36 - 0.2 * (v + 0.8)) / 0.012) ** 2))
    )
    cloth = seams * (1.0 + 0.05 * sample_noise("grain", u, v, 0.03, (0.1, 0.2)))
    alpha = surface.edge(crown)
    surface.paint(_EVERYWHERE, alpha, cloth * color, gloss=0.01, soft=0.0, height=shell)
    visor = np.maximum(
        np.abs(v - brim + 0.02 + 0.06 * u * u) - 0.085 * np.sqrt(np.clip(1.0 - (u / 0.66) ** 2, 0, 1)), np.abs(u) - 0.66
    )
    peak = surface.edge(visor)
    surface.paint(_EVERYWHERE, peak, 0.75 * color, gloss=0.02, soft=0.0, height=0.72 + 0.5 * (v - brim))


def paint_earrings(surface: Surface, face: FaceDescription) -> None:
    """Paint an earring under each ear lobe, in front of any hair."""
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
