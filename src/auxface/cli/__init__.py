"""The ``auxface`` command: one module per command, which parses, calls one public function and prints."""

from auxface.cli.app import main

__all__ = ["main"]
