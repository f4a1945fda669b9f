"""Face number i of a collection: who, in which split, with which labels; each face its own random stream.

Labels read off a description: what is drawn is what is said.

A dial that ties a label to a group in the training split, so that a model can learn the wrong thing on purpose.
"""

from dataclasses import dataclass

import numpy as np

from auxface.data.synthetic.description import AGE_GROUPS, ATTRIBUTES, EMOTIONS, SKIN_TONES, FaceDescription, Identity
from auxface.data.synthetic.population import draw_age_group, draw_identity, draw_image
from auxface.errors import InputError

SMILE = 0.35
"""Mean lift of both lip corners from which a face counts as smiling."""
_OPEN = 0.30
_BIG = 0.75


def attributes_of(face: FaceDescription) -> dict[str, int]:
    """0/1 for every name of `ATTRIBUTES`. What a hat or baldness hides counts as absent."""
    person, doing, worn = face.identity, face.expression, face.style
    bald = person.hair_style == "bald"
    hat = worn.hat != "none"
    color = "none" if bald else person.hair_color
    said = {
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
        "Smiling": 0.5 * (doing.corner_left + doing.corner_right) >= SMILE,
        "Wavy_Hair": not bald
        and (person.hair_style == "curly" or (person.hair_style in ("long", "medium") and person.hair_waves > 0.05)),
        "Wearing_Earrings": worn.earrings,
        "Wearing_Hat": hat,
        "Wearing_Lipstick": worn.lipstick is not None,
        "Young": person.age_group == "young",
    }
    return {name: int(value) for name, value in said.items()}


GROUPS: dict[str, tuple[str, ...]] = {"skin_tone": SKIN_TONES, "age_group": AGE_GROUPS}
_BOUND_TO_AGE = ("Young", "Gray_Hair", "Bald", "Black_Hair", "Blond_Hair", "Brown_Hair")
_OF_A_PERSON = (
    "Bald", "Bangs", "Big_Lips", "Big_Nose", "Black_Hair", "Blond_Hair", "Brown_Hair", "Bushy_Eyebrows", "Goatee",
    "Gray_Hair", "Mustache", "No_Beard", "Wavy_Hair", "Young",
)  # fmt: skip


@dataclass(frozen=True)
class Bias:
    """Ties a label to a group among the training faces.

    With probability `strength` a training face's label is set by its group alone: present for the favored levels,
    absent for the others; otherwise it is drawn as always. So with base rate p the label's rate is
    strength + (1 - strength) p among the favored and (1 - strength) p among the others: 0 leaves them independent, 1
    ties them fully. The group itself, and the validation and test splits, are never touched.

    Labels: a name of `ATTRIBUTES`, `forged`, or `emotion=NAME`. A label of the person (hair, beard, nose, ...) is set
    for all their images at once.
    `favored` defaults to the first half of the group's levels (the five lightest tones; the young).

    Raises InputError for an unknown label, group or level, a strength outside 0..1, and a label that age itself decides
    (Young, Bald, hair colors) tied to age_group.
    """

    label: str = "Smiling"
    group: str = "skin_tone"
    strength: float = 0.5
    favored: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        labels = (*ATTRIBUTES, "forged", *(f"emotion={emotion}" for emotion in EMOTIONS))
        if self.label not in labels:
            raise InputError(f"bias label {self.label!r} is unknown: give one of {', '.join(labels)}")
        if self.group not in GROUPS:
            raise InputError(f"bias group {self.group!r} is unknown: give skin_tone or age_group")
        if not 0.0 <= self.strength <= 1.0:
            raise InputError(f"bias strength {self.strength} must lie between 0 (independent) and 1 (fully tied)")
        strange = [level for level in self.favored or () if level not in GROUPS[self.group]]
        if strange:
            raise InputError(
                f"bias favors {strange[0]!r}, which {self.group} does not have: "
                f"give some of {', '.join(GROUPS[self.group])}"
            )
        if self.group == "age_group" and self.label in _BOUND_TO_AGE:
            raise InputError(
                f"bias cannot tie {self.label} to age_group, since age already decides it: tie it to skin_tone"
            )

    @property
    def levels(self) -> tuple[str, ...]:
        """The group's levels for which the label is made present."""
        every = GROUPS[self.group]
        return self.favored if self.favored is not None else every[: len(every) // 2]

    @property
    def of_a_person(self) -> bool:
        """Whether the label belongs to the person and not to the image."""
        return self.label in _OF_A_PERSON


IMAGES_PER_SOURCE = 4
_SPLITS = ("train", "val", "test")
_GOLDEN = 0.6180339887498949
_ATTEMPTS = 400
_EXPRESSED = ("Smiling", "Mouth_Slightly_Open")


def describe_face(
    index: int, *, seed: int = 0, bias: Bias | None = None, splits: tuple[float, float, float] = (0.7, 0.1, 0.2)
) -> tuple[FaceDescription, dict[str, object]]:
    """The description and table row of face number `index` of the collection that `seed` names.

    It depends on these arguments alone, not on how many faces are rendered, so a larger collection begins with the
    smaller.
    """
    number, frame = divmod(index, IMAGES_PER_SOURCE)
    split = _split_of(number, seed, splits)
    identity, order, wanted = _person(number, seed, bias if split == "train" else None)
    emotion = EMOTIONS[order[frame % len(EMOTIONS)]]
    face, emotion = _image(index, emotion, identity, seed, bias if split == "train" else None, wanted)
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


def _stream(seed: int, *path: int) -> np.random.Generator:
    return np.random.default_rng([seed, *path])


def _split_of(number: int, seed: int, splits: tuple[float, float, float]) -> str:
    # The golden-ratio sequence spreads evenly at every length, so that small collections keep the shares too.
    place = (number * _GOLDEN + _stream(seed, 0).random()) % 1.0
    return _SPLITS[int(np.searchsorted(np.cumsum(splits)[:2], place, side="right"))]


def _person(number: int, seed: int, bias: Bias | None) -> tuple[Identity, np.ndarray, int | None]:
    block, place = divmod(number, len(SKIN_TONES))
    tone = SKIN_TONES[_stream(seed, 1, block).permutation(len(SKIN_TONES))[place]]
    first = _stream(seed, 2, number)
    order = first.permutation(len(EMOTIONS))
    age_group = draw_age_group(first)
    wanted = None
    if bias is not None and bias.of_a_person:
        wanted = _wanted(bias, {"skin_tone": tone, "age_group": age_group}, _stream(seed, 3, number))
    for attempt in range(_ATTEMPTS):
        identity = draw_identity(tone, age_group, _stream(seed, 4, number, attempt))
        if bias is None or wanted is None or attributes_of(FaceDescription(identity))[bias.label] == wanted:
            return identity, order, wanted
    raise InputError(
        f"no person of {tone}, {age_group} with {bias.label if bias else ''}={wanted} was drawn: "
        "give the bias another label or group"
    )


def _image(
    index: int, emotion: str, identity: Identity, seed: int, bias: Bias | None, wanted: int | None
) -> tuple[FaceDescription, str]:
    # What a person has, a hat can still hide: `wanted` then holds for the image too.
    if bias is not None and not bias.of_a_person:
        levels = {"skin_tone": identity.skin_tone, "age_group": identity.age_group}
        wanted = _wanted(bias, levels, _stream(seed, 5, index))
    for attempt in range(_ATTEMPTS):
        rng = _stream(seed, 6, index, attempt)
        if attempt and bias is not None and (bias.label in _EXPRESSED or bias.label.startswith("emotion=")):
            emotion = EMOTIONS[int(rng.integers(len(EMOTIONS)))]
        face = draw_image(identity, emotion, rng)
        if bias is None or wanted is None or _has(face, emotion, bias.label) == wanted:
            return face, emotion
    raise InputError(
        f"no image with {bias.label if bias else ''}={wanted} was drawn: give the bias another label or group"
    )


def _wanted(bias: Bias, levels: dict[str, str], rng: np.random.Generator) -> int | None:
    if rng.random() >= bias.strength:
        return None
    return int(levels[bias.group] in bias.levels)


def _has(face: FaceDescription, emotion: str, label: str) -> int:
    if label.startswith("emotion="):
        return int(emotion == label.removeprefix("emotion="))
    if label == "forged":
        return int(face.forgery is not None)
    return attributes_of(face)[label]
