"""Random sampling of people, expressions, styles, scenes and forgeries.

All labels are drawn independently of the skin tone, unless a :class:`~auxface.data.synthetic.Bias` makes them depend on
it. Hair color, baldness and wrinkles depend on age.
"""

from dataclasses import replace

import numpy as np

from auxface.data.synthetic.description import (
    AGE_GROUPS,
    IRIS_COLORS,
    REGIONS,
    Expression,
    FaceDescription,
    Forgery,
    Identity,
    Scene,
    Style,
)

# Based on the action units of each emotion in FACS and EMFACS (Ekman and Friesen, 1978, 1983).
_TYPICAL: dict[str, dict[str, float]] = {
    "neutral": {},
    "happy": {
        "corner_left": 0.85, "corner_right": 0.85, "cheek_raise": 0.75, "lid_tight": 0.35, "mouth_stretch": 0.25,
        "mouth_open": 0.5,
    },
    "sad": {
        "brow_inner": 0.85, "brow_outer_left": -0.4, "brow_outer_right": -0.4, "brow_pinch": 0.35, "lid_open": -0.35,
        "corner_left": -0.75, "corner_right": -0.75, "mouth_stretch": -0.1, "gaze_y": 0.45,
    },
    "surprise": {
        "brow_inner": 0.85, "brow_outer_left": 0.85, "brow_outer_right": 0.85, "lid_open": 0.8,
        "mouth_open": 0.5, "jaw_drop": 0.85, "mouth_stretch": -0.55,
    },
    "fear": {
        "brow_inner": 0.9, "brow_outer_left": 0.25, "brow_outer_right": 0.25, "brow_pinch": 0.65, "lid_open": 0.75,
        "lid_tight": 0.2, "mouth_stretch": 0.65, "mouth_open": 0.6, "jaw_drop": 0.2, "corner_left": -0.35,
        "corner_right": -0.35,
    },
    "disgust": {
        "nose_wrinkle": 0.95, "lip_raise": 0.9, "brow_inner": -0.4, "brow_outer_left": -0.3, "brow_outer_right": -0.3,
        "lid_tight": 0.6, "mouth_open": 0.3, "cheek_raise": 0.45, "corner_left": -0.35, "corner_right": -0.35,
        "lid_open": -0.2,
    },
    "anger": {
        "brow_inner": -0.85, "brow_outer_left": 0.1, "brow_outer_right": 0.1, "brow_pinch": 0.95, "lid_open": 0.15,
        "lid_tight": 0.55, "lip_press": 0.85, "corner_left": -0.35, "corner_right": -0.35, "nose_wrinkle": 0.15,
    },
    "contempt": {"corner_left": 0.95, "lip_press": 0.35, "lid_open": -0.18, "brow_outer_right": 0.35, "gaze_x": 0.25},
}  # fmt: skip
_ONE_SIDED = (("corner_left", "corner_right"), ("brow_outer_left", "brow_outer_right"))


def typical_expression(emotion: str, intensity: float = 1.0) -> Expression:
    """Return the typical expression of an emotion, scaled by ``intensity`` (0 at rest, 1 full)."""
    return Expression(**{name: amount * intensity for name, amount in _TYPICAL[emotion].items()})


def draw_expression(emotion: str, rng: np.random.Generator) -> Expression:
    """Draw an expression of an emotion with random intensity and random deviations."""
    intensity = 0.55 + 0.55 * rng.beta(2.2, 1.4)
    actions = {
        name: amount * intensity * (1.0 + 0.22 * rng.standard_normal()) for name, amount in _TYPICAL[emotion].items()
    }

    def add(name: str, amount: float) -> None:
        actions[name] = actions.get(name, 0.0) + amount

    for name, spread in (
        ("brow_inner", 0.10),
        ("brow_pinch", 0.05),
        ("lid_open", 0.10),
        ("lid_tight", 0.05),
        ("mouth_stretch", 0.08),
    ):
        add(name, spread * rng.standard_normal())
    corners, brows = 0.07 * rng.standard_normal(2), 0.09 * rng.standard_normal(2)
    for name, amount in (("corner_left", corners[0]), ("corner_right", corners[0] + 0.4 * corners[1])):
        add(name, amount)
    for name, amount in (("brow_outer_left", brows[0]), ("brow_outer_right", brows[0] + 0.4 * brows[1])):
        add(name, amount)
    add("gaze_x", 0.25 * rng.standard_normal())
    add("gaze_y", 0.18 * rng.standard_normal())

    loose, style = rng.random(), rng.random()
    if emotion == "neutral" and loose < 0.18:
        polite = 0.12 + 0.22 * style
        add("corner_left", polite)
        add("corner_right", polite)
    if emotion in ("neutral", "contempt", "sad") and 0.4 < loose < 0.62:
        add("mouth_open", 0.25 + 0.3 * style)
    if emotion == "happy" and loose < 0.35:
        actions["mouth_open"] = 0.0
    if emotion == "happy" and loose > 0.35:
        add("mouth_open", 0.6 * style * intensity)
        add("jaw_drop", 0.25 * max(style - 0.5, 0.0))
    if emotion == "disgust" and loose < 0.5:
        add("mouth_open", 0.6 * (style - 0.4))
    if emotion == "anger" and loose < 0.4:
        add("lip_press", -0.8 * intensity)
        add("mouth_open", 0.45 + 0.5 * style)
        add("lip_raise", 0.35)
        add("mouth_stretch", 0.3)
    if emotion == "surprise" and loose < 0.15:
        add("jaw_drop", -0.4)
    if emotion == "contempt" and rng.random() < 0.5:
        for left, right in _ONE_SIDED:
            actions[left], actions[right] = actions.get(right, 0.0), actions.get(left, 0.0)
    only_positive = (
        "brow_pinch",
        "lid_tight",
        "cheek_raise",
        "nose_wrinkle",
        "lip_raise",
        "lip_press",
        "mouth_open",
        "jaw_drop",
    )
    for name, amount in actions.items():
        actions[name] = float(np.clip(amount, 0.0 if name in only_positive else -1.0, 1.2))
    return Expression(**actions)


_TRAITS = (
    "undertone", "head_width", "cranium", "jaw", "chin", "cheekbones", "brow_ridge", "eye_spacing", "eye_size",
    "eye_tilt", "eye_depth", "eye_roundness", "lid_fold", "lashes", "brow_thickness", "brow_height", "brow_arch",
    "nose_width", "nose_length", "nose_bridge", "nose_tip", "mouth_width", "mouth_height", "lip_fullness", "ear_size",
    "asymmetry", "hair_volume", "hairline", "hair_part",
)  # fmt: skip
# Change of the traits with the build, from delicate (-1) to rugged (1). The build is not a label.
_BUILD = {
    "jaw": 0.7, "brow_ridge": 0.8, "brow_thickness": 0.5, "nose_width": 0.3, "chin": 0.4, "head_width": 0.25,
    "lashes": -0.8, "lip_fullness": -0.35, "eye_size": -0.3, "brow_arch": -0.4, "cheekbones": -0.15,
}  # fmt: skip
_HAIR_COLORS = {
    "young": (("black", 0.28), ("dark_brown", 0.16), ("brown", 0.20), ("auburn", 0.10), ("blond", 0.26)),
    "middle_aged": (
        ("black", 0.26),
        ("dark_brown", 0.14),
        ("brown", 0.16),
        ("auburn", 0.06),
        ("blond", 0.20),
        ("gray", 0.18),
    ),
    "senior": (("black", 0.10), ("brown", 0.10), ("blond", 0.10), ("gray", 0.70)),
}
_LIPSTICKS = ((0.42, 0.02, 0.03), (0.50, 0.06, 0.12), (0.28, 0.015, 0.035), (0.55, 0.10, 0.08), (0.36, 0.03, 0.14))
_RIMS = (
    (0.012, 0.012, 0.014),
    (0.012, 0.012, 0.014),
    (0.09, 0.035, 0.015),
    (0.02, 0.03, 0.10),
    (0.30, 0.30, 0.32),
    (0.22, 0.02, 0.02),
)

_LABELED = (
    "hair_style", "hair_color", "hair_waves", "hair_part", "hair_volume", "hairline", "bangs", "beard", "nose_width",
    "lip_fullness", "brow_thickness",
)  # fmt: skip


def _choose(rng: np.random.Generator, options: tuple[tuple[str, float], ...]) -> str:
    names, weights = zip(*options)
    total = np.cumsum(weights)
    return names[int(np.searchsorted(total, rng.random() * total[-1], side="right").clip(0, len(names) - 1))]


def draw_age_group(rng: np.random.Generator) -> str:
    """Draw an age group: young with probability 40%, middle-aged with 35% or senior with 25%."""
    return AGE_GROUPS[int(np.searchsorted((0.40, 0.75), rng.random(), side="right"))]


def draw_identity(skin_tone: str, age_group: str, rng: np.random.Generator) -> Identity:
    """Draw a person with a given skin tone and age group."""
    build = float(np.clip(rng.normal(), -1.6, 1.6))
    drawn = np.clip(0.72 * rng.standard_normal(len(_TRAITS)), -1.7, 1.7)
    traits = {
        name: float(np.clip(value + 0.6 * build * _BUILD.get(name, 0.0), -2.0, 2.0))
        for name, value in zip(_TRAITS, drawn)
    }
    age = AGE_GROUPS.index(age_group)
    delicate = build < 0
    if rng.random() < (0.03, 0.12, 0.2)[age] * (0.4 if delicate else 1.6):
        hair = "bald"
    elif delicate:
        hair = _choose(
            rng,
            (("long", 0.36), ("medium", 0.26), ("tied", 0.16), ("curly", 0.10), ("short", 0.07), ("side_part", 0.05)),
        )
    else:
        hair = _choose(
            rng,
            (("short", 0.40), ("side_part", 0.25), ("buzz", 0.15), ("curly", 0.10), ("medium", 0.06), ("long", 0.04)),
        )
    beard = "none"
    if build > -0.3:
        beard = _choose(rng, (("none", 0.42), ("stubble", 0.14), ("mustache", 0.13), ("goatee", 0.15), ("full", 0.16)))
    bangs = hair in ("short", "medium", "long", "side_part") and rng.random() < (0.38 if delicate else 0.24)
    return Identity(
        skin_tone=skin_tone,
        age_group=age_group,
        texture=int(rng.integers(0, 2**31)),
        freckles=float(np.clip(rng.normal(-0.2, 0.5), 0, 1)),
        iris=IRIS_COLORS[int(rng.integers(len(IRIS_COLORS)))],
        hair_style=hair,
        hair_color=_choose(rng, _HAIR_COLORS[age_group]),
        hair_waves=0.0 if rng.random() < 0.55 else float(rng.uniform(0.5, 1.0)),
        bangs=bangs,
        beard=beard,
        **traits,
    )


def draw_image(identity: Identity, emotion: str, rng: np.random.Generator) -> FaceDescription:
    """Draw the expression, style and scene of one image of a person with an emotion; one image in three is forged."""
    expression = draw_expression(emotion, rng)
    delicate = identity.jaw + identity.brow_ridge < identity.lashes
    glasses = _choose(rng, (("none", 0.70), ("round", 0.09), ("square", 0.11), ("thin", 0.10)))
    style = Style(
        glasses=glasses,
        glasses_color=_RIMS[int(rng.integers(len(_RIMS)))],
        hat=_choose(rng, (("none", 0.85), ("beanie", 0.08), ("cap", 0.07))),
        hat_color=_cloth(rng),
        lipstick=_LIPSTICKS[int(rng.integers(len(_LIPSTICKS)))]
        if rng.random() < (0.55 if delicate else 0.03)
        else None,
        earrings=bool(rng.random() < (0.45 if delicate else 0.05)),
        clothes=_cloth(rng),
    )
    turn = rng.standard_normal(5)
    scene = Scene(
        yaw=float(np.clip(8.0 * turn[0], -20, 20)),
        pitch=float(np.clip(4.5 * turn[1], -10, 10)),
        roll=float(np.clip(3.5 * turn[2], -9, 9)),
        zoom=float(rng.uniform(0.94, 1.06)),
        shift_x=float(np.clip(0.02 * turn[3], -0.05, 0.05)),
        shift_y=float(0.05 + np.clip(0.02 * turn[4], -0.05, 0.05)),
        light_x=float(rng.uniform(-1.1, 1.1)),
        light_y=float(rng.uniform(-0.95, 0.0)),
        light_ambient=float(rng.uniform(0.22, 0.5)),
        light_warmth=float(np.clip(rng.normal(0, 1.0), -2, 2)),
        exposure=float(np.exp(np.clip(0.10 * rng.standard_normal(), -0.2, 0.2))),
        background=int(rng.integers(0, 2**31)),
        noise=float(rng.uniform(0.004, 0.014)),
        noise_seed=int(rng.integers(0, 2**31)),
    )
    forged = rng.random() < 1 / 3
    forgery = draw_forgery(identity, rng)
    return FaceDescription(identity, expression, style, scene, forgery if forged else None)


def draw_forgery(identity: Identity, rng: np.random.Generator) -> Forgery:
    """Draw a forgery that replaces part of a person's face.

    The donor has the same labeled traits (tone, age, hair, beard, and size of nose, lips and brows), so that all labels
    stay correct.
    """
    donor = draw_identity(identity.skin_tone, identity.age_group, rng)
    donor = replace(
        donor,
        undertone=0.5 * donor.undertone - identity.undertone,
        **{name: getattr(identity, name) for name in _LABELED},
    )
    shift = 0.03 if rng.random() < 0.5 else -0.03
    red, green, blue = np.clip(1.0 + shift + 0.025 * rng.standard_normal(3), 0.88, 1.12).tolist()
    return Forgery(
        donor=donor,
        region=REGIONS[int(np.searchsorted((0.5, 0.75), rng.random(), side="right"))],
        color=(red, green, blue),
        softness=float(rng.uniform(1.1, 1.6)),
        seam=float(rng.uniform(0.02, 0.09)),
        shape=int(rng.integers(0, 2**31)),
    )


def _cloth(rng: np.random.Generator) -> tuple[float, float, float]:
    level = rng.uniform(0.02, 0.45)
    r, g, b = np.clip(level * np.exp(0.55 * rng.standard_normal(3)), 0.01, 0.7)
    return float(r), float(g), float(b)
