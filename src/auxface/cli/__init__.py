"""The ``auxface`` command: one module per command, which parses, calls one public function and prints."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        # Here, so that Ctrl-C during the imports ends with one line too.
        from auxface.cli.app import main as run

        run()
    except KeyboardInterrupt:
        print("auxface: interrupted", file=sys.stderr)
        sys.exit(130)
