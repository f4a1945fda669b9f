"""Start a server: load the model, open the port, and run one or several processes.

Example::

    serve_model(Settings("runs/x"), port=8000, ready=print)
"""

import os
import socket
import sys
from collections.abc import Callable
from dataclasses import replace

from auxface.device import check_device
from auxface.errors import InputError
from auxface.serve.settings import ENVIRONMENT, Settings, log_to_standard_error

_WORKER_TIMEOUT = 120


def serve_model(
    settings: Settings, *, port: int = 8000, workers: int = 1, ready: Callable[[str], None] = lambda address: None
) -> None:
    """Serve a model until the process is stopped.

    Args:
        settings: settings with the model and the limits.
        port: port on which the server listens; 0 for any free port.
        workers: number of processes. Each process loads the model, uses an equal number of cores, and applies the
            limits independently.
        ready: callable that receives the server's URL when the model is loaded and the port is open.

    Raises:
        InputError: FastAPI or uvicorn is not installed, the model cannot be loaded, or the address is not available.

    Example:
        >>> import auxface
        >>> from auxface.serve.settings import Settings
        >>> auxface.serve_model(Settings(model="runs/a"), port=8000)  # doctest: +SKIP
    """
    try:
        import fastapi  # noqa: F401  # pyright: ignore[reportUnusedImport]
        import uvicorn
    except ImportError:
        raise InputError("serving requires FastAPI and uvicorn; pip install 'auxface[serve]'") from None
    from auxface.serve.app import create_app, load_predictor
    from auxface.serve.connections import HEADER_SECONDS, LimitedProtocol

    check_device(settings.device)
    if settings.report is not None and settings.report_page is None:
        raise InputError(f"{settings.report}: no report.html in this folder; write a report with 'auxface evaluate'")
    log_to_standard_error()
    # With several workers, the model is also loaded here, so that a corrupt model causes one message instead of several
    # crashes.
    predictor = load_predictor(settings)
    if not settings.is_local and settings.token is None:
        print(
            f"note: everyone who can reach {settings.host} can use this server; set --token to require a token",
            file=sys.stderr,
        )
    opened = _open_socket(settings.host, port)
    name = f"[{settings.host}]" if ":" in settings.host else settings.host
    ready(f"http://{name}:{opened.getsockname()[1]}")
    options = {
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_keep_alive": HEADER_SECONDS,
        "http": LimitedProtocol,
    }
    if workers == 1:
        config = uvicorn.Config(create_app(predictor, settings), **options)
        uvicorn.Server(config).run(sockets=[opened])
        return
    from uvicorn.supervisors import Multiprocess

    # Each worker loads its own model; this process only supervises them.
    del predictor
    worker_settings = replace(settings, threads=max(1, (os.cpu_count() or 1) // workers))
    os.environ[ENVIRONMENT] = worker_settings.to_json()
    config = uvicorn.Config(
        "auxface.serve.app:worker_app",
        factory=True,
        workers=workers,
        # Loading the libraries takes longer than uvicorn's default timeout of 5 s, after which uvicorn would replace
        # the worker.
        timeout_worker_healthcheck=_WORKER_TIMEOUT,
        **options,
    )
    Multiprocess(config, sockets=[opened]).run()


def _open_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((host, port))
        opened.listen(256)
    except OSError as error:
        opened.close()
        raise InputError(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another --port or --host"
        ) from None
    opened.set_inheritable(True)
    return opened
