"""Which frames of a video become pictures."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from auxface.errors import InputError

Choice = Literal["uniform", "first", "clips"]


@dataclass(frozen=True)
class FrameSettings:
    """Which frames are taken.

    Attributes:
        choice: ``uniform``: ``count`` frames spread evenly; ``first``: the first ``count`` frames that show a face;
            ``clips``: ``count`` clips spread evenly, each of ``length`` frames ``stride`` apart, stored as one picture
            with the frames below each other.
        count: frames, or clips, of each video.
        length: frames of a clip.
        stride: distance between two frames of a clip.
    """

    choice: Choice = "uniform"
    count: int = 32
    length: int = 16
    stride: int = 4

    def __post_init__(self) -> None:
        if self.choice not in get_args(Choice):
            raise InputError(f"frames: choice '{self.choice}' must be {', '.join(get_args(Choice))}")
        for name, most in (("count", 100_000), ("length", 256), ("stride", 1000)):
            if not 1 <= getattr(self, name) <= most:
                raise InputError(f"frames: {name} {getattr(self, name)} must be from 1 to {most}")

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, for a manifest's header."""
        return asdict(self)
