"""The ``auxface`` command: one module per command, which parses options, calls a public function and prints."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its exit code."""
    try:
        # Caught here, so that Ctrl-C during the imports also prints only a single line.
        from auxface.cli.app import main as run

        run()
    except KeyboardInterrupt:
        print("auxface: interrupted", file=sys.stderr)
        sys.exit(130)
