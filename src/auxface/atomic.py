"""Write files atomically by renaming a temporary file; for folders, see ``output_folder``.

Example::

    with atomic_file(Path("report.html")) as temporary:
        temporary.write_text(page)
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from auxface.errors import InputError


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``; the file is renamed to ``path`` if the block ends without an error.

    Parent folders are created. The temporary file has the suffix of ``path``, because many writers derive the file
    format from the suffix.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Check that the file ``path`` may be written, before any work is done.

    Args:
        path: path of the output file.
        overwrite: whether an existing file may be replaced.

    Raises:
        InputError: the file exists and ``overwrite`` is false, ``path`` is a folder, or it cannot be created.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder, but the output must be a file; choose another output")
    if path.exists() and not overwrite:
        raise InputError(f"{path} already exists; choose another output or add --overwrite")
    check_writable(path)


def check_writable(path: Path) -> None:
    """Check that an output file or folder can be created or, if it is an existing folder, that it can be written.

    Raises:
        InputError: the permissions or the file system do not allow it, or a parent is not a folder.
    """
    place = Path(os.path.abspath(path))
    folder = next(one for one in (place, *place.parents) if os.path.lexists(one) and (one != place or one.is_dir()))
    if not folder.is_dir():
        raise InputError(f"{path}: {folder} is a file, not a folder; choose another output")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{path}: no permission to write in {folder}; change it, or choose another output")
