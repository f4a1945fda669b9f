"""From an emotion to what the face does: typical muscle actions, never twice the same."""

import numpy as np

from auxface.data.synthetic.description import Expression

# After the action units listed for each emotion in FACS and EMFACS (Ekman and Friesen, 1978, 1983).
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
    """The textbook face of an emotion: its action units at `intensity` (0 at rest, 1 full)."""
    return Expression(**{name: amount * intensity for name, amount in _TYPICAL[emotion].items()})


def draw_expression(emotion: str, rng: np.random.Generator) -> Expression:
    """A face that somebody makes in this emotion: strong or faint, with its own accidents."""
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
