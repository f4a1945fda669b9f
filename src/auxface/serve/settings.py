"""Settings of a server, which can be passed to its worker processes as JSON, and the setup of its log.

Example::

    settings = Settings("runs/x", max_seconds=10)
    Settings.from_json(settings.to_json()) == settings
"""

import json
import logging
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from auxface.errors import InputError

ENVIRONMENT = "AUXFACE_SERVE"
"""Environment variable from which worker processes read the settings."""
LOGGER = "auxface.serve"


@dataclass(frozen=True)
class Settings:
    """The model and the limits of a server.

    Attributes:
        model: model directory, exported ``.onnx`` file, or name on the Hugging Face Hub.
        host: address on which the server listens.
        token: token that clients must send as ``Authorization: Bearer TOKEN``; None if no token is required.
        report: path of an audit of the model, either ``report.html`` or the folder that contains this file.
        max_bytes: maximum size of an upload in bytes.
        max_pixels: maximum number of pixels in an image or a video frame.
        max_frames: maximum number of frames of a video that are scored.
        max_seconds: maximum time in seconds for one request, including the upload.
        queue: maximum number of unfinished requests per process; further requests are rejected.
        batch: maximum number of faces from different requests that are scored together; None selects a maximum that
            depends on the device.
        faces: see :class:`auxface.Predictor`.
        detector: see :class:`auxface.Predictor`.
        weights: see :class:`auxface.Predictor`.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        threads: number of model threads per process; 0 for one per core.
        samples: number of synthetic sample faces on the page.

    Raises:
        InputError: the token is empty.
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

    def __post_init__(self) -> None:
        """Check the token."""
        # An empty token, such as that of an unset variable in a script, would protect nothing.
        if self.token is not None and not self.token.strip():
            raise InputError("--token (or AUXFACE_TOKEN) is empty; give a token, or omit the option and the variable")

    def to_json(self) -> str:
        """Return the settings as JSON, for an environment variable."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        """Create the settings from the result of :meth:`to_json`."""
        return cls(**json.loads(text))

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in ("127.0.0.1", "::1", "localhost")

    @property
    def report_page(self) -> Path | None:
        """The path of the audit's ``report.html``; None if no report was given."""
        if self.report is None:
            return None
        path = Path(self.report)
        path = path / "report.html" if path.is_dir() else path
        return path if path.is_file() else None


def log_to_standard_error() -> None:
    """Write the server's log to standard error, one JSON object per line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    logger = logging.getLogger(LOGGER)
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(
            {
                "time": self.formatTime(record),
                "level": record.levelname.lower(),
                "process": record.process,
                "message": record.getMessage(),
            }
        )
