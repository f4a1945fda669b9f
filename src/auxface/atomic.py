"""Files that are whole or absent: written beside first, then renamed. Folders are in ``output_folder``."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from auxface.errors import InputError


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it takes the name ``path`` when the block ends without an error.

    Parent folders are made. The temporary file keeps the suffix of ``path``, since many writers choose a format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        umask = os.umask(0)
        os.umask(umask)
        beside.chmod(0o666 & ~umask)
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(path)
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Stop before any work when the file ``path`` exists and may not be replaced.

    Raises:
        InputError: the output exists and ``overwrite`` is false, or it is a folder.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder, and the output is a file; choose another output")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already; choose another output or add --overwrite")
