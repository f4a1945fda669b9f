"""Images decoded once: a memory-mapped uint8 array that every later run opens in milliseconds.

The key covers every path with its size and time of change, the side and the version of the decoder, so an array made
from other files is never found. Deleting the folder costs time and changes no result.

Decoding many images into one array on the disk; a run that was stopped goes on where it was.

Rows come in order, so what is done is a number: it is written down every few hundred images, after the images
themselves are on the disk.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from auxface.atomic import atomic_file
from auxface.data.images.decode import DECODE_VERSION, UnreadableImage, fit_square, read_image
from auxface.data.manifest import Manifest
from auxface.data.parallel import in_order
from auxface.errors import InputError

Progress = Callable[[int, int], None]
KEPT_EVERY = 512
_TOLD_EVERY = 64
_ARRAY, _REJECTED, _DONE = "images.npy", "rejected.csv", "done.json"


def decode_images(
    paths: list[Path], size: int, folder: Path, workers: int | None = None, progress: Progress | None = None
) -> None:
    """Fill a folder with the squares of all images that can be read, and a list of the others.

    Args:
        paths: of the images.
        size: side of the squares; see :func:`auxface.data.images.decode.fit_square`.
        folder: empty, or as a stopped run with the same arguments left it.
        workers: threads; default one per core.
        progress: called with (images done, images in all).
    """
    done, rejected = _where(folder / _DONE)
    if done:
        array = np.lib.format.open_memmap(folder / _ARRAY, mode="r+")
    else:
        shape = (len(paths), 3, size, size)
        array = np.lib.format.open_memmap(folder / _ARRAY, mode="w+", dtype=np.uint8, shape=shape)
    tell = progress or (lambda *_: None)
    tell(done, len(paths))

    def decode(path: Path) -> np.ndarray | str:
        try:
            return np.ascontiguousarray(fit_square(read_image(path), size).transpose(2, 0, 1))
        except UnreadableImage as error:
            return str(error)

    # What cannot be read takes no place, so that the rest needs no copy to be used.
    place = done - len(rejected)
    for row, found in enumerate(in_order(decode, paths[done:], workers=workers), done):
        if isinstance(found, str):
            rejected.append((row, found))
        else:
            array[place] = found
            place += 1
        if (row + 1) % KEPT_EVERY == 0:
            array.flush()
            with atomic_file(folder / _DONE) as beside:
                beside.write_text(json.dumps({"rows": row + 1, "rejected": rejected}))
        if (row + 1) % _TOLD_EVERY == 0 or row + 1 == len(paths):
            tell(row + 1, len(paths))
    array.flush()
    pd.DataFrame(rejected, columns=["row", "reason"]).to_csv(folder / _REJECTED, index=False)
    (folder / _DONE).unlink(missing_ok=True)


def open_decoded(folder: Path) -> tuple[np.ndarray, pd.DataFrame]:
    """What :func:`decode_images` made: uint8 [U, 3, S, S], memory-mapped, and row and reason of the others."""
    array = np.load(folder / _ARRAY, mmap_mode="r", allow_pickle=False)
    rejected = pd.read_csv(folder / _REJECTED, dtype={"row": int, "reason": str})
    return array[: len(array) - len(rejected)], rejected


def _where(state: Path) -> tuple[int, list[tuple[int, str]]]:
    try:
        said = json.loads(state.read_text())
        return int(said["rows"]), [(int(row), str(reason)) for row, reason in said["rejected"]]
    except (OSError, ValueError, KeyError, TypeError):
        return 0, []


@dataclass(frozen=True)
class Images:
    """The images of a manifest.

    Attributes:
        array: uint8 [U, 3, S, S] RGB, memory-mapped and read-only: the usable ones, in the manifest's order.
        usable: bool [N], which rows of the manifest those are.
        rejected: columns path (as the manifest has it) and reason, one row per image that is not usable.
    """

    array: np.ndarray
    usable: np.ndarray
    rejected: pd.DataFrame


def load_images(
    manifest: Manifest,
    *,
    size: int,
    folder: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Images:
    """Decode every image of a manifest to a square of ``size`` pixels, or open the array that was made before.

    Args:
        manifest: whose rows are read, in order.
        size: side of the squares; see :func:`auxface.data.images.decode.fit_square`.
        folder: where arrays are kept; default ``AUXFACE_CACHE``, else ``auxface`` in the user's cache folder.
        workers: threads; default one per core.
        progress: called with (images done, images in all).

    Raises:
        InputError: the folder cannot be written or has too little space.
    """
    folder = folder or default_folder()
    paths = manifest.paths()
    place = folder / "images" / key_of(paths, f"usable {DECODE_VERSION} {size}")
    if not place.is_dir():
        needed = len(paths) * size * size * 3
        keep(place, needed, lambda beside: decode_images(paths, size, beside, workers, progress))
    elif progress is not None:
        progress(len(paths), len(paths))
    array, reasons = open_decoded(place)
    usable = np.ones(len(paths), bool)
    usable[reasons["row"].to_numpy()] = False
    rejected = pd.DataFrame(
        {"path": manifest.table["path"].iloc[reasons["row"]].to_numpy(), "reason": reasons["reason"].to_numpy()}
    )
    return Images(array, usable, rejected)


def default_folder() -> Path:
    """Where decoded images are kept unless told otherwise."""
    named = os.environ.get("AUXFACE_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "auxface"


def keep(place: Path, needed: int, make: Callable[[Path], None]) -> None:
    """Make a folder of decoded images, whole or not at all; of several processes one makes it, the others wait.

    Args:
        place: the folder, named by :func:`key_of`.
        needed: bytes that it may take.
        make: fills a folder that is empty, or as a stopped run left it.

    Raises:
        InputError: the folder cannot be written or has too little space.
    """
    beside = place.with_name(f".{place.name}.partial")
    if not beside.is_dir():
        _check_room(place.parent, needed)
    try:
        with _alone(place.with_name(f".{place.name}.lock")):
            if not place.is_dir():
                beside.mkdir(exist_ok=True)
                make(beside)
                beside.replace(place)
    except OSError as error:
        raise InputError(
            f"{place.parent.parent}: cannot keep decoded images there ({error.strerror}); set AUXFACE_CACHE to a "
            "folder that can"
        ) from None


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait until no other process is in here; the system lets go of the lock of one that was killed."""
    try:
        import fcntl
    except ImportError:
        # Windows: two runs at once would do the same work twice, and the later one fail.
        yield
        return
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def key_of(paths: list[Path], settings: str) -> str:
    """A name for what is decoded of these files, as they are now, with these settings."""
    digest = hashlib.sha256(f"{settings} {len(paths)}".encode())
    for path in paths:
        try:
            about = path.stat()
            state = f"{about.st_size} {about.st_mtime_ns}"
        except (OSError, ValueError):
            state = "missing"
        digest.update(f"\0{os.path.abspath(path)}\0{state}".encode(errors="surrogateescape"))
    return digest.hexdigest()[:40]


def _check_room(parent: Path, needed: int) -> None:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(parent).free
    except OSError as error:
        raise InputError(f"{parent}: cannot be made ({error.strerror}); set AUXFACE_CACHE to another folder") from None
    if free < needed + 2**26:
        raise InputError(
            f"{parent}: decoded images need {needed / 2**30:.1f} GiB, {free / 2**30:.1f} are free; set AUXFACE_CACHE "
            "to a folder with room"
        )
