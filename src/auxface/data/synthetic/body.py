"""What a head stands on and hears with: neck, shoulders, clothes and ears; and what stands behind."""

import cv2
import numpy as np

from auxface.data.synthetic.description import FaceDescription, Identity, Scene
from auxface.data.synthetic.noise import offset_of, sample
from auxface.data.synthetic.surface import Surface, rgb


def paint_background(scene: Scene, resolution: int) -> np.ndarray:
    """Linear RGB [3, R, R] of what is behind: a wall in soft light, or shapes out of focus."""
    rng = np.random.default_rng(scene.background)
    base = rng.uniform(0.04, 0.6) * np.clip(1.0 + rng.normal(0, 0.11, 3), 0.4, 1.6)
    uneven = 1.0 + rng.normal(0, rng.uniform(0.08, 0.5), (4, 4, 1)) + rng.normal(0, 0.045, (4, 4, 3))
    side = resolution // 2
    picture = cv2.resize(
        (base * np.clip(uneven, 0.15, 2.2)).astype(np.float32), (64, 64), interpolation=cv2.INTER_CUBIC
    )
    if rng.random() < 0.55:
        for _ in range(int(rng.integers(1, 5))):
            red, green, blue = (
                float(c) for c in base * np.clip(rng.uniform(0.4, 1.9) + rng.normal(0, 0.3, 3), 0.1, 2.5)
            )
            x, y = rng.uniform(-12, 64, 2).astype(int).tolist()
            wide, tall = rng.uniform(5, 45, 2).astype(int).tolist()
            if rng.random() < 0.5:
                cv2.rectangle(picture, (x, y), (x + wide, y + tall), (red, green, blue), -1)
            else:
                cv2.circle(picture, (x, y), wide // 3, (red, green, blue), -1)
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.8, 4.0))
    picture = cv2.resize(picture, (side, side), interpolation=cv2.INTER_LINEAR)
    steps = np.linspace(0, 4.0, side, dtype=np.float32)
    across, down = np.meshgrid(steps, steps)
    wall = sample("cloud", across, down, float(rng.uniform(0.2, 0.9)), (rng.random(), rng.random()))
    picture = picture * (1.0 + np.float32(rng.uniform(0.02, 0.08)) * wall)[..., None]
    picture = cv2.resize(np.maximum(picture, 0.004), (resolution, resolution), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(picture.transpose(2, 0, 1))


def paint_body(surface: Surface, face: FaceDescription, skin: np.ndarray) -> None:
    """Paints neck and clothes behind the head."""
    person = face.identity
    top = int(np.argmax((surface.y > 0.33).any(axis=1)))
    where = (slice(top, None), slice(None))
    x, y = surface.x[where] - 0.10 * surface.rotation[0], surface.y[where]
    wide = 0.42 + 0.02 * person.head_width + 0.035 * person.jaw
    neck = wide + 0.9 * np.maximum(y - 0.98, 0.0) ** 1.4
    # The jaw's shadow: the neck lies deep under it and comes forward towards the collar.
    height = -0.14 + 0.30 * np.sqrt(np.maximum(1.0 - (x / (neck + 0.02)) ** 2, 0.0)) - 0.25 * np.clip(1.25 - y, 0, 1)
    cords = 0.02 * np.exp(-(((np.abs(x) - 0.16 - 0.25 * (1.2 - y)) * (1 / 0.06)) ** 2))
    under = 0.62 + 0.30 * np.clip((y - 0.88) * 3.0, 0, 1)
    alpha = surface.edge(np.maximum(np.abs(x) - neck, 0.35 - y))
    surface.paint(where, alpha, under * skin, gloss=0.015, soft=1.0, height=height + cords)
    collar = 1.04 + 0.20 * np.exp(-((x * (1 / 0.30)) ** 2)) - 0.10 * np.clip(np.abs(x) - 0.3, 0, 0.4)
    weave = sample("strand", x, y, 0.022, offset_of(person.texture, 50))
    creases = sample("cloud", x * 0.6, y, 0.5, offset_of(person.texture, 51))
    shoulder = y - collar - 0.55 * np.clip(np.abs(x) - 0.75, 0, 1)
    rise = -0.05 + 0.16 * np.clip((y - collar) * 8, 0, 1) + 0.015 * creases
    cloth = rgb(face.style.clothes) * (1.0 + 0.05 * weave + 0.08 * creases)
    surface.paint(where, surface.edge(-shoulder), cloth, gloss=0.0, soft=0.0, height=rise)


def paint_ears(surface: Surface, identity: Identity, skin: np.ndarray) -> None:
    """Paints both ears behind the head's outline."""
    for side in (-1, 1):
        centre_u, centre_v, wide, tall = ear_box(identity, side)
        where = surface.window(centre_u - 0.2, centre_u + 0.2, centre_v - 0.36, centre_v + 0.36)
        du, dv = (surface.u[where] - centre_u) * side, surface.v[where] - centre_v
        if du.size == 0:
            continue
        a, b = (du + 0.16 * dv) * (1 / wide), dv * (1 / tall)
        r = np.sqrt(a * a * (1.0 + 0.35 * np.clip(b, -1, 1)) + b * b)
        helix = np.exp(-(((r - 0.80) / 0.14) ** 2))
        bowl = np.exp(-(((a - 0.0) / 0.42) ** 2 + ((b - 0.05) / 0.45) ** 2))
        height = 0.10 + 0.05 * helix - 0.05 * bowl
        red = rgb((1.0, 0.86, 0.84))
        colour = (1.0 - 0.42 * bowl) * skin * red
        surface.paint(where, surface.edge((r - 1.0) * wide), colour, gloss=0.03, soft=1.0, height=height)


def ear_box(identity: Identity, side: int) -> tuple[float, float, float, float]:
    """(u, v, half width, half height) of an ear."""
    big = 1.0 + 0.10 * identity.ear_size
    return side * (0.745 * (1.0 + 0.045 * identity.head_width) + 0.02), 0.06, 0.105 * big, 0.235 * big
