"""``auxface serve``: a model as an HTTP API and a page."""

import os
import socket
import sys
from collections.abc import Callable
from dataclasses import replace

from auxface.errors import InputError
from auxface.serve.settings import ENVIRONMENT, Settings
from auxface.verbs.train import check_device

_SILENCE = 120


def serve(
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
    from auxface.serve.log import log_to_standard_error

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
