"""Settings of face detection and cropping, which are stored in the manifest and in the model."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from auxface.errors import InputError

Cut = Literal["crop", "align"]
DetectorName = Literal["yunet", "haar"]
Which = Literal["largest", "central", "mask", "all"]


@dataclass(frozen=True)
class FaceSettings:
    """How faces are detected and cropped.

    Attributes:
        cut: ``crop``: an upright square around the bounding box. ``align``: the image is rotated and scaled so that
            eyes, nose and mouth corners fall on fixed points; this needs a detector with landmarks.
        detector: ``yunet`` or ``haar``.
        which: which face is kept if an image has several: ``mask`` (the face that the forgery mask covers most; the
            largest where there is no mask), ``largest``, ``central`` or ``all``.
        size: side of the crops in pixels, 16 to 2048.
        margin: context around the face, 0 to 4. The side of the square is (1 + margin) times the longer side of the
            bounding box; for ``align``, (1 + margin) times the standard frame of 112 pixels.
        least: smallest face in pixels; a face whose longer side is shorter is ignored.

    Raises:
        InputError: a value outside its range, or ``align`` with a detector that gives no landmarks.
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
            raise InputError(
                "faces: 'align' needs landmarks, which the haar detector does not give; use 'crop', or detector yunet"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain JSON, for the header of a manifest or a model."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "FaceSettings":
        """Read the settings from a header; other keys, such as the clip length, are ignored.

        Raises:
            InputError: a value outside its range.
        """
        return cls(**{field.name: raw[field.name] for field in fields(cls) if field.name in raw})
