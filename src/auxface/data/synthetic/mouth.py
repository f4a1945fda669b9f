"""The mouth, whose shape depends on the expression, with lips, teeth and tongue."""

from dataclasses import dataclass

import numpy as np

from auxface.data.synthetic.description import Expression, FaceDescription, Identity
from auxface.data.synthetic.relief import nose_base
from auxface.data.synthetic.surface import Surface, Window, pattern_offset, rgb, sample_noise


@dataclass(frozen=True)
class MouthShape:
    """Dimensions of the mouth in face units.

    Attributes:
        half: half of the width.
        line: coordinate v of the line between the closed lips.
        upper: height of the upper lip.
        lower: height of the lower lip.
        gap: distance between the lips.
        left: lift of the corner on the left of the image.
        right: lift of the corner on the right of the image.
    """

    half: float
    line: float
    upper: float
    lower: float
    gap: float
    left: float
    right: float


def mouth_shape(identity: Identity, expression: Expression) -> MouthShape:
    """Return the dimensions of a person's mouth for an expression."""
    lift = 0.5 * (expression.corner_left + expression.corner_right)
    half = 0.245 + 0.022 * identity.mouth_width
    half *= 1.0 + 0.20 * max(lift, 0.0) + 0.20 * expression.mouth_stretch - 0.03 * max(-lift, 0.0)
    thin = (1.0 - 0.55 * expression.lip_press) * (1.0 - 0.18 * max(lift, 0.0))
    full = 1.0 + 0.27 * identity.lip_fullness
    gap = 0.085 * expression.mouth_open + 0.20 * expression.jaw_drop
    line = nose_base(identity) + 0.225 + 0.018 * identity.mouth_height
    return MouthShape(
        half, line, 0.056 * full * thin, 0.074 * full * thin, gap, expression.corner_left, expression.corner_right
    )


def paint_mouth(surface: Surface, face: FaceDescription, skin: np.ndarray) -> None:
    """Paint the lips and, if the mouth is open, the teeth, the tongue and the dark cavity."""
    person, doing = face.identity, face.expression
    shape = mouth_shape(person, doing)
    where = surface.window(-1.25 * shape.half, 1.25 * shape.half, shape.line - 0.25, shape.line + 0.25 + shape.gap)
    u, v = surface.u[where], surface.v[where]
    if u.size == 0:
        return
    a = u * (1 / shape.half)
    square = np.clip(a * a, 0, 1.4)
    span = np.maximum(1.0 - square, 0.0)
    turn = np.clip(0.5 + 0.9 * a, 0.0, 1.0)
    turn = turn * turn * (3.0 - 2.0 * turn)
    corner = shape.left + (shape.right - shape.left) * turn
    curve = (
        -0.155 * corner * square * np.where(corner > 0, np.float32(1.0), np.float32(0.85))
        + 0.035 * np.maximum(corner, 0.0) * span
    )
    raised = 0.06 * doing.lip_raise * span**0.5
    bow = 0.012 * np.exp(-((a / 0.16) ** 2)) - 0.010 * np.exp(-(((np.abs(a) - 0.3) / 0.2) ** 2))
    line = shape.line + curve + 0.012 * person.asymmetry * a * 0.5
    open_shape = span ** (0.62 if doing.jaw_drop > 0.4 else 0.8)
    inner_top = line - 0.28 * shape.gap * open_shape - raised
    inner_bottom = line + 0.72 * shape.gap * open_shape + 0.15 * raised
    push = 0.018 * max(-(shape.left + shape.right) / 2, 0.0)
    outer_top = inner_top - (shape.upper - bow) * span**0.75
    outer_bottom = inner_bottom + shape.lower * span**0.62 - push * span
    beyond = (np.abs(a) - 1.0) * shape.half

    natural = skin * rgb((0.86, 0.58, 0.58)) + rgb((0.018, 0.0, 0.002))
    lip = natural if face.style.lipstick is None else 0.12 * natural + 0.88 * rgb(face.style.lipstick)
    creases = sample_noise("strand", u + 0.3 * u * (v - line), v * 0.5, 0.028, pattern_offset(person.texture, 40))
    outside = np.maximum(np.maximum(outer_top - v, v - outer_bottom), beyond)
    gape = np.maximum(np.maximum(inner_top - v, v - inner_bottom), beyond)
    in_upper = np.clip((v - outer_top) / np.maximum(inner_top - outer_top, 0.01), 0, 1)
    in_lower = np.clip((outer_bottom - v) / np.maximum(outer_bottom - inner_bottom, 0.01), 0, 1)
    upper = v < 0.5 * (inner_top + inner_bottom)
    roll = np.where(upper, np.sin(in_upper * 2.2), 1.1 * np.sin(in_lower * 2.6))
    tone = np.where(upper, np.float32(0.80), np.float32(1.0)) * (1.0 + 0.06 * creases)
    puff = np.where(upper, np.float32(0.026), np.float32(0.036)) * (1.0 - 0.5 * doing.lip_press)
    lips = surface.edge(outside, 0.016 if face.style.lipstick is None else 0.006)
    surface.height[where] += lips * (puff * roll + 0.002 * creases)
    surface.paint(where, lips, tone * lip, gloss=0.08 if face.style.lipstick is None else 0.2)

    inside = surface.edge(gape)
    if shape.gap > 0.012:
        _paint_inside(surface, where, face, shape, (a, v, inner_top, inner_bottom), inside)
    seam = np.exp(-(((v - 0.5 * (inner_top + inner_bottom)) / 0.0125) ** 2)) * np.clip(-beyond * 40, 0, 1)
    if shape.gap < 0.03:
        surface.paint(where, 0.85 * seam, 0.16 * lip)
    for side, lift in ((-1, shape.left), (1, shape.right)):
        cu = side * shape.half
        cv = shape.line - 0.155 * lift
        pit = np.exp(-(((u - cu) / 0.026) ** 2 + ((v - cv) / 0.022) ** 2))
        surface.dim(where, (0.42 + 0.15 * abs(lift)) * pit)
        surface.height[where] -= 0.012 * pit


def _paint_inside(
    surface: Surface,
    where: Window,
    face: FaceDescription,
    shape: MouthShape,
    lines: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    inside: np.ndarray,
) -> None:
    doing = face.expression
    a, v, top, bottom = lines
    depth = np.clip((v - top) / np.maximum(bottom - top, 0.01), 0, 1)
    dark = rgb((0.035, 0.010, 0.010)) * (1.0 - 0.4 * a * a)
    tongue = np.exp(-((a / 0.55) ** 2)) * np.clip((depth - 0.55) * 4, 0, 1) * min(doing.jaw_drop * 1.6, 1.0)
    color = dark + tongue * (rgb((0.22, 0.065, 0.06)) - dark)
    surface.paint(where, inside, color, gloss=0.01, soft=0.0, height=surface.height[where] - 0.03)
    lift = 0.5 * (shape.left + shape.right)
    shown = 0.035 + 0.05 * max(lift, 0.0) + 0.05 * doing.lip_raise + 0.03 * max(doing.mouth_stretch, 0.0)
    gaps = 1.0 - 0.16 * np.exp(-((((a * 5.2 + 0.5) % 1.0 - 0.5) / 0.09) ** 2))
    shade = (0.70 - 0.42 * a * a) * gaps
    enamel = shade * rgb((0.98, 0.93, 0.84))
    upper_edge = top + shown * np.sqrt(np.maximum(1.0 - 0.8 * a * a, 0.0))
    teeth = surface.edge(np.maximum(v - upper_edge, np.abs(a) - 0.9)) * inside
    surface.paint(where, teeth, enamel * np.clip((v - top) * 26 + 0.55, 0, 1), gloss=0.06, soft=0.3)
    if doing.mouth_stretch > 0.25 or doing.lip_raise > 0.5:
        lower_edge = bottom - 0.03 * np.sqrt(np.maximum(1.0 - 0.8 * a * a, 0.0))
        teeth = surface.edge(np.maximum(lower_edge - v, np.abs(a) - 0.8)) * inside
        surface.paint(where, 0.9 * teeth, 0.85 * enamel, gloss=0.05, soft=0.3)
