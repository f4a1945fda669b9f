"""The command ``auxface doctor``."""

import json

import typer

from auxface.cli.options import Json


def command(as_json: Json = False) -> None:
    """Print versions, machine, accelerator and optional parts."""
    from auxface.doctor import doctor

    found = doctor()
    if as_json:
        typer.echo(json.dumps(found))
        return
    for name, value in found.items():
        shown = ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else value
        typer.echo(f"{name}: {shown}")
