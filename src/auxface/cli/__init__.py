"""The ``auxface`` command: one verb per module, no logic."""

from auxface.cli.app import main

__all__ = ["main"]
