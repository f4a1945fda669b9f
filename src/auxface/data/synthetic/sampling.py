"""Face number i of a collection: who, in which split, with which labels; each face its own random stream."""

import numpy as np

from auxface.data.synthetic.bias import Bias
from auxface.data.synthetic.description import FaceDescription, Identity
from auxface.data.synthetic.labels import attributes_of
from auxface.data.synthetic.population import draw_age_group, draw_identity, draw_picture
from auxface.data.synthetic.vocabulary import EMOTIONS, SKIN_TONES
from auxface.errors import InputError

PICTURES_PER_SOURCE = 4
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
    number, frame = divmod(index, PICTURES_PER_SOURCE)
    split = _split_of(number, seed, splits)
    identity, order, wanted = _person(number, seed, bias if split == "train" else None)
    emotion = EMOTIONS[order[frame % len(EMOTIONS)]]
    face, emotion = _picture(index, emotion, identity, seed, bias if split == "train" else None, wanted)
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


def _picture(
    index: int, emotion: str, identity: Identity, seed: int, bias: Bias | None, wanted: int | None
) -> tuple[FaceDescription, str]:
    # What a person has, a hat can still hide: `wanted` then holds for the picture too.
    if bias is not None and not bias.of_a_person:
        levels = {"skin_tone": identity.skin_tone, "age_group": identity.age_group}
        wanted = _wanted(bias, levels, _stream(seed, 5, index))
    for attempt in range(_ATTEMPTS):
        rng = _stream(seed, 6, index, attempt)
        if attempt and bias is not None and (bias.label in _EXPRESSED or bias.label.startswith("emotion=")):
            emotion = EMOTIONS[int(rng.integers(len(EMOTIONS)))]
        face = draw_picture(identity, emotion, rng)
        if bias is None or wanted is None or _has(face, emotion, bias.label) == wanted:
            return face, emotion
    raise InputError(
        f"no picture with {bias.label if bias else ''}={wanted} was drawn: give the bias another label or group"
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
