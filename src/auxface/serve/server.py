"""What a server is told, in a form that its worker processes can be handed.

What a server says while it runs: one JSON object per line on standard error, for machines that collect them.

``auxface serve``: a model as an HTTP API and a page.
"""

import json
import logging
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Literal

from auxface.device import check_device
from auxface.errors import InputError

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
        max_pixels: of an image, or of a frame.
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


def log_to_standard_error() -> None:
    """Let ``auxface.serve`` speak in this process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logger = logging.getLogger("auxface.serve")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(
            {
                "time": self.formatTime(record),
                "level": record.levelname.lower(),
                "process": record.process,
                "said": record.getMessage(),
            }
        )


_SILENCE = 120


def serve_model(
    settings: Settings, *, port: int = 8000, workers: int = 1, ready: Callable[[str], None] = lambda address: None
) -> None:
    """Serve until stopped.

    Args:
        settings: model and bounds.
        port: 0: any free one.
        workers: processes, each with the model in memory, a share of the cores, and bounds of its own.
        ready: told the address once the model is loaded and the port is held.

    Raises:
        InputError: FastAPI or uvicorn is not installed, the model cannot be loaded, the address cannot be had.
    """
    try:
        import fastapi  # noqa: F401  # pyright: ignore[reportUnusedImport]
        import uvicorn
    except ImportError:
        raise InputError("serving needs FastAPI and uvicorn; pip install 'auxface[serve]'") from None
    from auxface.serve.app import create_app, load_predictor, report_file
    from auxface.serve.server import log_to_standard_error

    check_device(settings.device)
    if settings.report is not None and report_file(settings) is None:
        raise InputError(f"{settings.report}: no report.html there; make one with 'auxface evaluate'")
    log_to_standard_error()
    # Loaded here even for several workers, so that a broken model is one sentence and not a crash in each of them.
    predictor = load_predictor(settings)
    if not settings.is_local and settings.token is None:
        print(
            f"note: everyone who reaches {settings.host} can use this server; --token asks them for a word",
            file=sys.stderr,
        )
    held = _hold(settings.host, port)
    name = f"[{settings.host}]" if ":" in settings.host else settings.host
    ready(f"http://{name}:{held.getsockname()[1]}")
    options = {"log_config": None, "access_log": False, "server_header": False, "timeout_keep_alive": 20}
    if workers == 1:
        config = uvicorn.Config(create_app(predictor, settings), **options)
        uvicorn.Server(config).run(sockets=[held])
        return
    from uvicorn.supervisors import Multiprocess

    # The workers load their own; this process only watches them.
    del predictor
    # Side by side, so that each has its share of the cores.
    each = replace(settings, threads=max(1, (os.cpu_count() or 1) // workers))
    os.environ[ENVIRONMENT] = each.to_text()
    config = uvicorn.Config(
        "auxface.serve.app:worker_app",
        factory=True,
        workers=workers,
        # A worker that loads its libraries is silent for longer than uvicorn's 5 s, after which it would be replaced.
        timeout_worker_healthcheck=_SILENCE,
        **options,
    )
    Multiprocess(config, sockets=[held]).run()


def _hold(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    held = socket.socket(family, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((host, port))
        held.listen(256)
    except OSError as error:
        held.close()
        raise InputError(f"cannot listen on {host}:{port} ({error.strerror}); name another --port or --host") from None
    held.set_inheritable(True)
    return held
