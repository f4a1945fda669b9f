"""``python -m auxface`` is the ``auxface`` command."""

from auxface.cli import main

main()
