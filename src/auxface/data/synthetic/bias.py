"""A dial that ties a label to a group in the training split, so that a model can learn the wrong thing on purpose."""

from dataclasses import dataclass

from auxface.data.synthetic.vocabulary import AGE_GROUPS, ATTRIBUTES, EMOTIONS, SKIN_TONES
from auxface.errors import InputError

GROUPS: dict[str, tuple[str, ...]] = {"skin_tone": SKIN_TONES, "age_group": AGE_GROUPS}
_BOUND_TO_AGE = ("Young", "Gray_Hair", "Bald", "Black_Hair", "Blond_Hair", "Brown_Hair")
_OF_A_PERSON = (
    "Bald", "Bangs", "Big_Lips", "Big_Nose", "Black_Hair", "Blond_Hair", "Brown_Hair", "Bushy_Eyebrows", "Goatee",
    "Gray_Hair", "Mustache", "No_Beard", "Wavy_Hair", "Young",
)  # fmt: skip


@dataclass(frozen=True)
class Bias:
    """Ties a label to a group among the training faces.

    With probability `strength` a training face's label is set by its group alone: present for the favoured levels,
    absent for the others; otherwise it is drawn as always. So with base rate p the label's rate is
    strength + (1 - strength) p among the favoured and (1 - strength) p among the others: 0 leaves them independent, 1
    ties them fully. The group itself, and the validation and test splits, are never touched.

    Labels: a name of `ATTRIBUTES`, `forged`, or `emotion=NAME`. A label of the person (hair, beard, nose, ...) is set
    for all their pictures at once.
    `favoured` defaults to the first half of the group's levels (the five lightest tones; the young).

    Raises InputError for an unknown label, group or level, a strength outside 0..1, and a label that age itself decides
    (Young, Bald, hair colours) tied to age_group.
    """

    label: str = "Smiling"
    group: str = "skin_tone"
    strength: float = 0.5
    favoured: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        labels = (*ATTRIBUTES, "forged", *(f"emotion={emotion}" for emotion in EMOTIONS))
        if self.label not in labels:
            raise InputError(f"bias label {self.label!r} is unknown: give one of {', '.join(labels)}")
        if self.group not in GROUPS:
            raise InputError(f"bias group {self.group!r} is unknown: give skin_tone or age_group")
        if not 0.0 <= self.strength <= 1.0:
            raise InputError(f"bias strength {self.strength} must lie between 0 (independent) and 1 (fully tied)")
        strange = [level for level in self.favoured or () if level not in GROUPS[self.group]]
        if strange:
            raise InputError(
                f"bias favours {strange[0]!r}, which {self.group} does not have: "
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
        return self.favoured if self.favoured is not None else every[: len(every) // 2]

    @property
    def of_a_person(self) -> bool:
        """Whether the label belongs to the person and not to the picture."""
        return self.label in _OF_A_PERSON
