"""The faces of a synthetic collection with their splits and labels, optionally with a label correlated with a group.

Every face has its own random stream, so the face with index i does not depend on the number of faces. Labels are
computed from the description, so they are correct by construction. A bias makes a label depend on a group in the
training split, to study what a model learns from biased data.

Example:
    >>> face, row = describe_face(0, seed=0, bias=Bias("Eyeglasses", strength=0.8))
    >>> row["source"], row["frame"]
    ('person_00000', 0)
"""

from dataclasses import dataclass

import numpy as np

from auxface.data.synthetic.description import AGE_GROUPS, ATTRIBUTES, EMOTIONS, SKIN_TONES, FaceDescription, Identity
from auxface.data.synthetic.population import draw_age_group, draw_identity, draw_image
from auxface.errors import InputError

IMAGES_PER_SOURCE = 4
_SPLITS = ("train", "val", "test")
_GOLDEN = 0.6180339887498949
_ATTEMPTS = 400
_EXPRESSION_LABELS = ("Smiling", "Mouth_Slightly_Open")
# Minimum lift of the lip corners in a smile, minimum opening of an open mouth, and minimum size of a large feature.
_SMILING, _OPEN, _BIG = 0.35, 0.30, 0.75
GROUPS: dict[str, tuple[str, ...]] = {"skin_tone": SKIN_TONES, "age_group": AGE_GROUPS}
_AGE_LABELS = ("Young", "Gray_Hair", "Bald", "Black_Hair", "Blond_Hair", "Brown_Hair")
_PERSON_LABELS = (
    "Bald", "Bangs", "Big_Lips", "Big_Nose", "Black_Hair", "Blond_Hair", "Brown_Hair", "Bushy_Eyebrows", "Goatee",
    "Gray_Hair", "Mustache", "No_Beard", "Wavy_Hair", "Young",
)  # fmt: skip


@dataclass(frozen=True)
class Bias:
    """A dependence of a label on a group in the training split.

    With probability ``strength``, the label of a training face is determined by its group: present for the favored
    levels and absent for the others. Otherwise, the label is drawn without bias. With a base rate p, the rate of the
    label is strength + (1 - strength) p for the favored levels and (1 - strength) p for the others. The group itself,
    the validation split and the test split do not change. A label of the person (hair, beard, nose, ...) is set for all
    images of the person.

    Attributes:
        label: name in ``ATTRIBUTES``, ``forged``, or ``emotion=NAME``.
        group: column of the group, ``skin_tone`` or ``age_group``.
        strength: strength of the dependence, from 0 (independent) to 1 (the group determines the label).
        favored: levels for which the label is set, or None for the first half of the levels (the five lightest skin
            tones, or ``young``).

    Raises:
        InputError: a label, group or level is unknown, the strength is outside 0..1, or ``age_group`` is combined with
            a label that depends on age by construction (Young, Bald, hair colors).
    """

    label: str = "Smiling"
    group: str = "skin_tone"
    strength: float = 0.5
    favored: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        labels = (*ATTRIBUTES, "forged", *(f"emotion={emotion}" for emotion in EMOTIONS))
        if self.label not in labels:
            raise InputError(f"bias label {self.label!r} is unknown; expected one of {', '.join(labels)}")
        if self.group not in GROUPS:
            raise InputError(f"bias group {self.group!r} is unknown; expected skin_tone or age_group")
        if not 0.0 <= self.strength <= 1.0:
            raise InputError(f"bias strength {self.strength} must be between 0 (independent) and 1 (fully determined)")
        unknown = [level for level in self.favored or () if level not in GROUPS[self.group]]
        if unknown:
            raise InputError(
                f"bias favors {unknown[0]!r}, which is not a level of {self.group}; "
                f"expected one or more of {', '.join(GROUPS[self.group])}"
            )
        if self.group == "age_group" and self.label in _AGE_LABELS:
            raise InputError(
                f"bias cannot correlate {self.label} with age_group, because it already depends on age; use the group "
                "skin_tone"
            )

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels of the group for which the label is set."""
        every = GROUPS[self.group]
        return self.favored if self.favored is not None else every[: len(every) // 2]

    @property
    def is_of_person(self) -> bool:
        """Whether the label belongs to the person rather than the image."""
        return self.label in _PERSON_LABELS


def describe_face(
    index: int, *, seed: int = 0, bias: Bias | None = None, splits: tuple[float, float, float] = (0.7, 0.1, 0.2)
) -> tuple[FaceDescription, dict[str, object]]:
    """Return the description of the face with index ``index`` and its row in the table of the collection.

    Args:
        index: index of the face, counted from 0. Each person has four images with consecutive indices.
        seed: seed of the collection.
        bias: dependence of a label on a group in the training split, or None for no bias.
        splits: fractions of people in train, val and test.
    """
    number, frame = divmod(index, IMAGES_PER_SOURCE)
    split = _split_of(number, seed, splits)
    identity, order, target = _person(number, seed, bias if split == "train" else None)
    emotion = EMOTIONS[order[frame % len(EMOTIONS)]]
    face, emotion = _image(index, emotion, identity, seed, bias if split == "train" else None, target)
    row: dict[str, object] = {
        "split": split,
        "source": f"person_{number:05d}",
        "frame": frame,
        "emotion": emotion,
        "skin_tone": identity.skin_tone,
        "age_group": identity.age_group,
        "forged": int(face.forgery is not None),
        **attributes_of(face),
    }
    return face, row


def attributes_of(face: FaceDescription) -> dict[str, int]:
    """Return 0 or 1 for each name in ``ATTRIBUTES``, with 0 for attributes hidden by a hat or baldness."""
    person, doing, worn = face.identity, face.expression, face.style
    bald = person.hair_style == "bald"
    hat = worn.hat != "none"
    color = "none" if bald else person.hair_color
    present = {
        "Bald": bald and not hat,
        "Bangs": person.bangs and not hat and not bald,
        "Big_Lips": person.lip_fullness > _BIG,
        "Big_Nose": person.nose_width > _BIG,
        "Black_Hair": color == "black",
        "Blond_Hair": color == "blond",
        "Brown_Hair": color in ("brown", "dark_brown"),
        "Bushy_Eyebrows": person.brow_thickness > _BIG,
        "Eyeglasses": worn.glasses != "none",
        "Goatee": person.beard == "goatee",
        "Gray_Hair": color == "gray",
        "Mouth_Slightly_Open": doing.mouth_open + doing.jaw_drop > _OPEN,
        "Mustache": person.beard in ("mustache", "goatee", "full"),
        "No_Beard": person.beard == "none",
        "Smiling": 0.5 * (doing.corner_left + doing.corner_right) >= _SMILING,
        "Wavy_Hair": not bald
        and (person.hair_style == "curly" or (person.hair_style in ("long", "medium") and person.hair_waves > 0.05)),
        "Wearing_Earrings": worn.earrings,
        "Wearing_Hat": hat,
        "Wearing_Lipstick": worn.lipstick is not None,
        "Young": person.age_group == "young",
    }
    return {name: int(value) for name, value in present.items()}


def _stream(seed: int, *path: int) -> np.random.Generator:
    return np.random.default_rng([seed, *path])


def _split_of(number: int, seed: int, splits: tuple[float, float, float]) -> str:
    # The golden-ratio sequence is evenly distributed at every length, so small collections also have the right
    # fractions.
    place = (number * _GOLDEN + _stream(seed, 0).random()) % 1.0
    return _SPLITS[int(np.searchsorted(np.cumsum(splits)[:2], place, side="right"))]


def _person(number: int, seed: int, bias: Bias | None) -> tuple[Identity, np.ndarray, int | None]:
    block, place = divmod(number, len(SKIN_TONES))
    tone = SKIN_TONES[_stream(seed, 1, block).permutation(len(SKIN_TONES))[place]]
    first = _stream(seed, 2, number)
    order = first.permutation(len(EMOTIONS))
    age_group = draw_age_group(first)
    target = None
    if bias is not None and bias.is_of_person:
        target = _draw_target(bias, {"skin_tone": tone, "age_group": age_group}, _stream(seed, 3, number))
    for attempt in range(_ATTEMPTS):
        identity = draw_identity(tone, age_group, _stream(seed, 4, number, attempt))
        if bias is None or target is None or attributes_of(FaceDescription(identity))[bias.label] == target:
            return identity, order, target
    raise InputError(
        f"no person with {tone}, {age_group} and {bias.label if bias else ''}={target} was found; "
        "give the bias another label or group"
    )


def _image(
    index: int, emotion: str, identity: Identity, seed: int, bias: Bias | None, target: int | None
) -> tuple[FaceDescription, str]:
    # A hat can hide an attribute of the person, so `target` must also hold for the image.
    if bias is not None and not bias.is_of_person:
        levels = {"skin_tone": identity.skin_tone, "age_group": identity.age_group}
        target = _draw_target(bias, levels, _stream(seed, 5, index))
    for attempt in range(_ATTEMPTS):
        rng = _stream(seed, 6, index, attempt)
        if attempt and bias is not None and (bias.label in _EXPRESSION_LABELS or bias.label.startswith("emotion=")):
            emotion = EMOTIONS[int(rng.integers(len(EMOTIONS)))]
        face = draw_image(identity, emotion, rng)
        if bias is None or target is None or _has(face, emotion, bias.label) == target:
            return face, emotion
    raise InputError(
        f"no image with {bias.label if bias else ''}={target} was found; give the bias another label or group"
    )


def _draw_target(bias: Bias, levels: dict[str, str], rng: np.random.Generator) -> int | None:
    if rng.random() >= bias.strength:
        return None
    return int(levels[bias.group] in bias.levels)


def _has(face: FaceDescription, emotion: str, label: str) -> int:
    if label.startswith("emotion="):
        return int(emotion == label.removeprefix("emotion="))
    if label == "forged":
        return int(face.forgery is not None)
    return attributes_of(face)[label]
