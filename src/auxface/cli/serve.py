"""The command ``auxface serve``."""

from pathlib import Path
from typing import Annotated

import typer

from auxface.cli.options import Device
from auxface.cli.predict import DetectorFlag, FacesFlag, WeightsFlag
from auxface.serve.settings import Settings


def command(
    model: Annotated[str, typer.Argument(help="A model directory, an exported .onnx file, or a Hub name.")],
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; 127.0.0.1: only this machine; 0.0.0.0: all interfaces.")
    ] = Settings.host,
    port: Annotated[int, typer.Option("--port", help="Port to listen on; 0: any free port.", min=0, max=65535)] = 8000,
    workers: Annotated[
        int, typer.Option("--workers", help="Number of processes; each loads the model.", min=1, max=64)
    ] = 1,
    token: Annotated[
        str | None, typer.Option("--token", envvar="AUXFACE_TOKEN", help="Bearer token that clients must send.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Audit of the model: a report.html, or its folder.")
    ] = None,
    max_megabytes: Annotated[
        float, typer.Option("--max-megabytes", help="Maximum size of an upload in MiB.", min=0.01)
    ] = Settings.max_bytes / 2**20,
    max_megapixels: Annotated[
        float, typer.Option("--max-megapixels", help="Maximum size of an image in megapixels.", min=0.01)
    ] = Settings.max_pixels / 1e6,
    max_frames: Annotated[
        int, typer.Option("--max-frames", help="Maximum number of frames to score per video.", min=1)
    ] = Settings.max_frames,
    max_seconds: Annotated[
        float, typer.Option("--max-seconds", help="Time limit per request in seconds.", min=0.1)
    ] = Settings.max_seconds,
    queue: Annotated[
        int, typer.Option("--queue", help="Maximum number of unfinished requests per process.", min=1)
    ] = Settings.queue,
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch",
            help="Maximum number of faces per batch across requests. The default depends on the device.",
            min=1,
        ),
    ] = None,
    faces: FacesFlag = "auto",
    detector: DetectorFlag = None,
    weights: WeightsFlag = None,
    device: Device = "auto",
) -> None:
    """Serve a model: an HTTP API and a web page."""
    from auxface.serve.server import serve_model

    settings = Settings(
        model=model,
        host=host,
        token=token,
        report=None if report is None else str(report),
        max_bytes=round(max_megabytes * 2**20),
        max_pixels=round(max_megapixels * 1e6),
        max_frames=max_frames,
        max_seconds=max_seconds,
        queue=queue,
        batch=batch,
        faces=faces,
        detector=detector,
        weights=None if weights is None else str(weights),
        device=device,
    )
    serve_model(
        settings, port=port, workers=workers, ready=lambda address: typer.echo(f"auxface: serving at {address}")
    )
