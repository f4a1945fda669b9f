"""The command ``auxface demo``."""

from pathlib import Path
from typing import Annotated

import typer

from auxface.cli.options import Device, Json, Overwrite


def command(
    out: Annotated[Path, typer.Option("--out", "-o", help="The output folder.")] = Path("runs/demo"),
    faces: Annotated[int, typer.Option("--faces", help="Number of synthetic faces.", min=200, max=100_000)] = 4000,
    epochs: Annotated[int, typer.Option("--epochs", help="Number of training epochs of each model.", min=1)] = 10,
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of the synthetic faces and of the training runs.", min=0)
    ] = 0,
    serve: Annotated[bool, typer.Option("--serve", help="Serve the best model afterwards and open its page.")] = False,
    port: Annotated[int, typer.Option("--port", help="Port for --serve; 0: any free port.", min=0, max=65535)] = 8000,
    device: Device = "auto",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Render faces, train three models on them and write a report; takes about five minutes on two processor cores.

    With --serve, a finished demo in the folder is served without training again.
    """
    from auxface.cli.audit import print_audit
    from auxface.demo import best_model, demo

    if not (serve and not overwrite and best_model(out) is not None):
        if serve:
            typer.echo(f"{out} contains no finished demo; training one", err=True)
        done = demo(out, faces=faces, epochs=epochs, seed=seed, device=device, overwrite=overwrite)
        print_audit(done.audit, done.page, as_json=as_json)
    best = best_model(out)
    assert best is not None
    typer.echo(f"best model on the validation split: {best}; to use it: auxface predict {best} IMAGE", err=as_json)
    if serve:
        _serve(best, out / "report", port, device)


def _serve(model: Path, report: Path, port: int, device: str) -> None:
    import webbrowser

    from auxface.serve.server import serve_model
    from auxface.serve.settings import Settings

    def ready(address: str) -> None:
        typer.echo(f"auxface: serving at {address}")
        # The server responds a moment later; until then, the browser's connection waits in the queue of the open port.
        webbrowser.open(address)

    serve_model(Settings(model=str(model), report=str(report), device=device), port=port, ready=ready)
