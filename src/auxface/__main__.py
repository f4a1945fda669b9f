"""Run the ``auxface`` command with ``python -m auxface``."""

from auxface.cli import main

main()
