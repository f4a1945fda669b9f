"""The relief of the face (bones, soft tissue, folds, wrinkles and pores) as the height above the dome of the head."""

import numpy as np

from auxface.data.synthetic.description import Expression, Identity
from auxface.data.synthetic.surface import Surface, Window, dome, pattern_offset, sample_noise

AGE = {"young": 0.0, "middle_aged": 0.5, "senior": 1.0}


def eye_center(identity: Identity, side: int) -> tuple[float, float, float]:
    """Return u, v and half width of the eye on the left (``side`` -1) or right (1) of the image."""
    half = 0.158 + 0.013 * identity.eye_size
    return side * (0.318 + 0.018 * identity.eye_spacing), -0.085 - 0.006 * side * identity.asymmetry, half


def raise_relief(surface: Surface, identity: Identity, expression: Expression) -> None:
    """Set the height of the surface to the relief of the face."""
    surface.height = np.where(surface.rho2 < 1.0, dome(surface.rho2), surface.height)
    _bones(surface, identity, expression)
    _nose(surface, identity, expression)
    _folds(surface, identity, expression)
    _wrinkles(surface, identity, expression)
    _pores(surface, identity)


def _bones(surface: Surface, identity: Identity, expression: Expression) -> None:
    deep = 1.0 + 0.25 * identity.eye_depth
    drop = 0.085 * expression.jaw_drop
    hollow = 0.02 + 0.012 * AGE[identity.age_group]
    surface.bump(0.0, -0.52, 0.38, 0.16, 0.03)
    for side in (-1, 1):
        u, v, half = eye_center(identity, side)
        cheek = 0.045 + 0.014 * identity.cheekbones + 0.04 * expression.cheek_raise
        surface.bump(u, v, half * 1.05, 0.085, -0.075 * deep)
        surface.bump(side * 0.10, -0.07, 0.05, 0.09, -0.05 * deep)
        surface.bump(side * 0.27, -0.25, 0.19, 0.06, 0.032 + 0.014 * identity.brow_ridge)
        surface.bump(side * 0.41, 0.20 - 0.03 * expression.cheek_raise, 0.16, 0.13, cheek)
        surface.bump(side * 0.46, 0.47, 0.11, 0.15, -hollow - 0.008 * identity.cheekbones)
        surface.bump(side * 0.66, -0.32, 0.09, 0.16, -0.025)
    surface.bump(0.0, 0.56 + 0.4 * drop, 0.23, 0.17, 0.055)
    surface.bump(0.0, 0.755 + 0.7 * drop, 0.15, 0.035, -0.03)
    surface.bump(0.0, 0.875 + drop, 0.125 + 0.02 * identity.jaw, 0.075, 0.055 + 0.012 * identity.chin)


def nose_base(identity: Identity) -> float:
    """Return the coordinate v of the lower end of the nose."""
    return 0.335 + 0.035 * identity.nose_length


def _nose(surface: Surface, identity: Identity, expression: Expression) -> None:
    base = nose_base(identity) - 0.03 * expression.nose_wrinkle
    wide = 1.0 + 0.17 * identity.nose_width + 0.06 * expression.nose_wrinkle
    where = surface.window(-0.36, 0.36, -0.42, 0.50)
    u, v = surface.u[where], surface.v[where]
    along = np.clip((v + 0.22) / (base + 0.22), 0.0, 1.1)
    bridge = 0.075 + 0.018 * identity.nose_bridge
    profile = bridge * np.clip((v + 0.36) * 5.0, 0, 1) + (0.15 + 0.02 * identity.nose_tip) * along**1.5
    breadth = (0.052 + 0.036 * along) * wide
    under = 1.0 / (1.0 + np.exp(np.clip((v - base + 0.012 - 0.25 * u * u) * (1 / 0.017), -30, 30)))
    ridge = profile * np.exp(-0.5 * (u / breadth) ** 2) * under
    tip = 0.075 * np.exp(-0.5 * ((u / (0.066 * wide)) ** 2 + ((v - base + 0.065) / 0.06) ** 2))
    wings = 0.0
    for side in (-1, 1):
        spread = side * 0.118 * wide
        wings = wings + np.exp(-0.5 * (((u - spread) / (0.04 * wide)) ** 2 + ((v - base + 0.045) / 0.046) ** 2))
    surface.height[where] += ridge + (tip + 0.085 * wings) * under


def fold(surface: Surface, side: int, identity: Identity, expression: Expression) -> tuple[Window, np.ndarray]:
    """Return the window of one nasolabial fold, and the signed distance from its line (positive toward the cheek)."""
    lift = expression.corner_right if side > 0 else expression.corner_left
    where = surface.window(side * 0.02, side * 0.62, 0.16, 0.92)
    u, v = surface.u[where] * side, surface.v[where]
    t = np.clip((v - 0.24) / 0.45, 0, 1.3)
    line = 0.15 + (0.21 + 0.07 * max(lift, 0.0)) * t**0.85 + 0.05 * max(lift, 0.0) * t * (1.3 - t)
    return where, u - line


def _folds(surface: Surface, identity: Identity, expression: Expression) -> None:
    age = AGE[identity.age_group]
    for side in (-1, 1):
        lift = expression.corner_right if side > 0 else expression.corner_left
        where, distance = fold(surface, side, identity, expression)
        v = surface.v[where]
        fade = np.clip((v - 0.22) * 9, 0, 1) * np.clip((0.78 - v) * 5, 0, 1)
        depth = 0.006 + 0.016 * age + 0.028 * max(lift, 0.0) + 0.02 * expression.lip_raise + 0.012 * max(-lift, 0.0)
        groove = -depth * np.exp(-((distance / 0.026) ** 2))
        pad = 1.1 * depth * np.exp(-(((distance - 0.075) / 0.06) ** 2))
        surface.height[where] += (groove + pad) * fade
        if age:
            surface.bump(side * 0.30, 0.73, 0.02, 0.08, -0.018 * age)
        bag = 0.012 * age + 0.012 * expression.lid_tight
        u_eye, v_eye, half = eye_center(identity, side)
        surface.bump(u_eye, v_eye + 0.115, half * 0.75, 0.028, bag)
        surface.bump(u_eye - 0.02 * side, v_eye + 0.165, half * 0.8, 0.02, -bag)


def _wrinkles(surface: Surface, identity: Identity, expression: Expression) -> None:
    age = AGE[identity.age_group]
    offset = pattern_offset(identity.texture, 3)
    raised = max(0.0, 0.6 * expression.brow_inner + 0.25 * (expression.brow_outer_left + expression.brow_outer_right))
    lines = 0.0035 * age + 0.0105 * raised * (0.55 + 0.45 * age)
    if lines > 0.001:
        where = surface.window(-0.55, 0.55, -0.72, -0.28)
        u, v = surface.u[where], surface.v[where]
        bend = 0.05 * sample_noise("cloud", u, v * 0.5, 0.5, offset) * 0.3 + 0.12 * u * u
        inside = np.clip((v + 0.70) * 9, 0, 1) * np.clip((-0.33 - v) * 9, 0, 1) * np.clip((0.50 - np.abs(u)) * 6, 0, 1)
        wave = np.cos((v + bend) * (2 * np.pi / 0.088))
        surface.height[where] += lines * inside * (wave - 0.6 * wave * wave)
    for side in (-1, 1):
        crow = 0.004 * age + 0.011 * expression.cheek_raise * (0.35 + 0.65 * age)
        if crow > 0.001:
            u_eye, v_eye, half = eye_center(identity, side)
            corner = u_eye + side * half * 0.9
            where = surface.window(corner, corner + side * 0.26, v_eye - 0.2, v_eye + 0.2)
            a, b = (surface.u[where] - corner) * side, surface.v[where] - v_eye
            ray = np.arctan2(b, a + 0.06)
            reach = (
                np.clip((a - 0.02) * 16, 0, 1) * np.clip((0.22 - a) * 10, 0, 1) * np.clip(1.2 - np.abs(ray) * 1.4, 0, 1)
            )
            surface.height[where] += crow * reach * np.cos(ray * 13.0 + side)
    pinch = 0.004 * age + 0.022 * expression.brow_pinch
    if pinch > 0.004:
        for side in (-1, 1):
            surface.bump(side * 0.052, -0.275, 0.012, 0.07, -pinch)
            surface.bump(side * 0.09, -0.27, 0.025, 0.06, 0.9 * pinch)
        surface.bump(0.0, -0.27, 0.02, 0.06, 0.4 * pinch)
    if expression.nose_wrinkle > 0.05:
        where = surface.window(-0.17, 0.17, -0.25, 0.14)
        u, v = surface.u[where], surface.v[where]
        inside = np.exp(-0.5 * ((u / 0.085) ** 2 + ((v + 0.06) / 0.09) ** 2))
        wave = np.cos((v - 0.8 * np.abs(u)) * (2 * np.pi / 0.07))
        surface.height[where] += 0.013 * expression.nose_wrinkle * inside * wave


def _pores(surface: Surface, identity: Identity) -> None:
    age = AGE[identity.age_group]
    head = surface.head
    u, v = surface.u[head], surface.v[head]
    rough = 1.0 + 0.4 * age + 0.25 * max(identity.brow_ridge, -1.0)
    micro = np.zeros_like(u)
    octaves = (
        ("grain", 0.010, 0.00030),
        ("grain", 0.024, 0.00055),
        ("ridge", 0.055, 0.0006 + 0.0010 * age),
        ("grain", 0.12, 0.0014),
    )
    for index, (name, wavelength, amount) in enumerate(octaves):
        visible = min(max(wavelength / surface.pixel / 2.0 - 0.75, 0.0), 1.0)
        if visible:
            micro += (amount * rough * visible) * sample_noise(
                name, u, v, wavelength, pattern_offset(identity.texture, 10 + index)
            )
    # Near the outline, the surface is seen at a grazing angle, and pores would make the outline look jagged.
    surface.height[head] += micro * np.clip(3.0 * (1.0 - surface.rho2[head]), 0.0, 1.0)
