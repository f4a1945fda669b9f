"""What a server is told, in a form that its worker processes can be handed."""

import json
from dataclasses import asdict, dataclass
from typing import Literal

ENVIRONMENT = "AUXFACE_SERVE"


@dataclass(frozen=True)
class Settings:
    """A server's model and bounds.

    Attributes:
        model: a model directory, an exported ``.onnx`` file, or a hub name.
        host: address to listen on.
        token: what clients must send as ``Authorization: Bearer``; None: nothing.
        report: the model's audit, ``report.html`` or the folder with it.
        max_bytes: of an upload.
        max_pixels: of a picture, or of a frame.
        max_frames: of a video that are looked at.
        max_seconds: for one answer, reading the upload included.
        queue: requests that may be in hand in one process; more are refused.
        batch: faces of different requests that are scored together; None: as many as suit the device.
        faces: see :class:`auxface.inference.predictor.Predictor`, as for the next two.
        detector: likewise.
        weights: likewise.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        threads: of the model in one process; 0: as many as cores.
        samples: synthetic faces that the page offers.
    """

    model: str
    host: str = "127.0.0.1"
    token: str | None = None
    report: str | None = None
    max_bytes: int = 32 * 2**20
    max_pixels: int = 50_000_000
    max_frames: int = 300
    max_seconds: float = 30.0
    queue: int = 64
    batch: int | None = None
    faces: Literal["auto", "crop", "whole"] = "auto"
    detector: Literal["yunet", "haar"] | None = None
    weights: str | None = None
    device: str = "auto"
    threads: int = 0
    samples: int = 6

    def to_text(self) -> str:
        """As JSON, for an environment variable."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "Settings":
        """Back from JSON."""
        return cls(**json.loads(text))

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in ("127.0.0.1", "::1", "localhost")
