"""How faces are found and cut: one small value that is stored in the manifest and in the model."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from auxface.errors import InputError

Cut = Literal["crop", "align"]
DetectorName = Literal["yunet", "haar"]
Which = Literal["largest", "central", "mask", "all"]


@dataclass(frozen=True)
class FaceSettings:
    """How faces are cut out.

    Attributes:
        cut: ``crop``: an upright square around the box; ``align``: turned and scaled so that eyes, nose and mouth
            corners fall on fixed points (needs a detector with landmarks).
        detector: ``yunet`` or ``haar``.
        which: of several faces the one that the forgery ``mask`` covers most (the largest where there is no mask), the
            ``largest``, the most ``central``, or ``all``.
        size: side of the cut images in pixels.
        margin: how much wider than the face the square is: its side is (1 + margin) times the longer side of the box;
            for ``align``, (1 + margin) times the standard 112-pixel frame.
        least: faces with a longer side of fewer pixels are passed over.
    """

    cut: Cut = "crop"
    detector: DetectorName = "yunet"
    which: Which = "mask"
    size: int = 224
    margin: float = 0.3
    least: int = 20

    def __post_init__(self) -> None:
        for name, allowed in (("cut", Cut), ("detector", DetectorName), ("which", Which)):
            if getattr(self, name) not in get_args(allowed):
                raise InputError(f"faces: {name} '{getattr(self, name)}' must be {' or '.join(get_args(allowed))}")
        if not 16 <= self.size <= 2048:
            raise InputError(f"faces: size {self.size} must be from 16 to 2048 pixels")
        if not 0 <= self.margin <= 4:
            raise InputError(f"faces: margin {self.margin} must be from 0 to 4")
        if self.least < 1:
            raise InputError(f"faces: least {self.least} must be at least 1 pixel")
        if self.cut == "align" and self.detector == "haar":
            raise InputError("faces: the haar detector gives no landmarks to align by; use cut crop, or detector yunet")

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, for a manifest's or a model's header."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "FaceSettings":
        """Back from JSON; other keys of a header (such as the clip's length) are passed over.

        Raises:
            InputError: a value that is not allowed.
        """
        return cls(**{field.name: raw[field.name] for field in fields(cls) if field.name in raw})
