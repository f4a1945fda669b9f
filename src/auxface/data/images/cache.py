"""A cache of decoded images: a memory-mapped uint8 array per manifest, which later runs open in milliseconds.

The cache key covers every path with its size and modification time, the image size and the decoder's version, so
changed files are decoded again. Deleting the folder does not change any result. An interrupted run resumes at its last
saved row: rows are decoded in order, and the number of finished rows is saved after the images themselves. A corrupt
cache is detected by its checksums (see ``checksums``) and decoded again, with a warning.

Example::

    images = load_images(read_manifest(Path("faces.parquet")), size=112).array  # uint8 [N, 3, 112, 112]
"""

import hashlib
import json
import os
import shutil
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from auxface.atomic import atomic_file
from auxface.data.images.checksums import is_intact, write_checksums
from auxface.data.images.decode import DECODE_VERSION, UnreadableImage, fit_square, in_order, read_image, shorter_side
from auxface.data.manifest import Manifest
from auxface.errors import InputError

Progress = Callable[[int, int], None]
SAVE_EVERY = 512
_REPORT_EVERY = 64
# Limits for training images: multiple of the input size, number of sampled files, and total bytes.
_DETAIL, _SAMPLED, _MOST_BYTES = 4, 512, 4 * 2**30
_ARRAY, _REJECTED, _STATE = "images.npy", "rejected.csv", "done.json"


@dataclass(frozen=True)
class LoadedImages:
    """The readable images of a manifest.

    Attributes:
        array: readable RGB images in the manifest's order, uint8 [U, 3, S, S], memory-mapped and read-only.
        usable: whether the image of each manifest row could be read, bool [N].
        rejected: table with the columns path (as in the manifest) and reason, and one row per unreadable image.
    """

    array: np.ndarray
    usable: np.ndarray
    rejected: pd.DataFrame


def load_images(
    manifest: Manifest,
    *,
    size: int,
    crop: float = 1.0,
    folder: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> LoadedImages:
    """Decode all images of a manifest to squares, or open the array decoded by an earlier call.

    Args:
        manifest: manifest whose rows are read in order.
        size: side of the squares in pixels; see :func:`auxface.data.images.decode.fit_square`.
        crop: side of the central square that is kept, as a fraction of the shorter side.
        folder: cache folder; defaults to ``AUXFACE_CACHE`` if set, otherwise to ``auxface`` in the user's cache folder.
        workers: number of threads; defaults to one per processor core.
        progress: function called with (images done, images in total).

    Raises:
        InputError: the cache cannot be written or has too little space.
    """
    folder = folder or cache_folder()
    paths = manifest.paths()
    settings = f"usable {DECODE_VERSION} {size}" if crop == 1 else f"usable {DECODE_VERSION} {size} {crop:g}"
    place = folder / "images" / cache_key(paths, settings)
    needed = len(paths) * size * size * 3
    made = make_once(place, needed, lambda partial: _decode_all(paths, size, crop, partial, workers, progress))
    if not made and progress is not None:
        progress(len(paths), len(paths))
    reasons = pd.read_csv(place / _REJECTED, dtype={"row": int, "reason": str})
    array = np.load(place / _ARRAY, mmap_mode="r", allow_pickle=False)
    usable = np.ones(len(paths), bool)
    usable[reasons["row"].to_numpy()] = False
    rejected = pd.DataFrame(
        {"path": manifest.table["path"].iloc[reasons["row"]].to_numpy(), "reason": reasons["reason"].to_numpy()}
    )
    return LoadedImages(array[: len(array) - len(reasons)], usable, rejected)


def training_side(paths: list[Path], size: int) -> int:
    """Return the side in pixels at which training images are decoded, so that crops keep the detail of the files.

    This side is the native size, but at most 4 times ``size``. On UTKFace and CelebA, crops from an intermediate size
    of 1.4 times ``size`` have 11-20% less fine detail (mean absolute Laplacian) than the same crops cut from the files;
    with 4 times ``size``, the difference is below 5%. If the array would take more than 4 GiB, the side is reduced,
    down to 1.4 times ``size``. The native size is the 90th percentile of the shorter sides of 512 files.

    Args:
        paths: paths of the image files.
        size: input size of the encoder in pixels.
    """
    step = max(1, len(paths) // _SAMPLED)
    sides = [side for side in map(shorter_side, paths[::step]) if side is not None]
    if not sides:
        return size
    native = int(np.percentile(sides, 90, method="nearest"))
    affordable = int((_MOST_BYTES / (3 * len(paths))) ** 0.5)
    least = -(-14 * size // 10)
    return min(native, max(least, min(_DETAIL * size, affordable)))


def _decode_all(
    paths: list[Path],
    size: int,
    crop: float,
    folder: Path,
    workers: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Write the squares of all readable images, and a list of the unreadable images, to a folder.

    The folder is empty or was left by an interrupted run with the same arguments.
    """
    shape = (len(paths), 3, size, size)
    resumed = _resume(folder, shape)
    if resumed is None:
        array = np.lib.format.open_memmap(folder / _ARRAY, mode="w+", dtype=np.uint8, shape=shape)
        resumed = array, 0, [], 0
    array, done, rejected, checksum = resumed
    report = progress or (lambda *_: None)
    report(done, len(paths))

    def decode(path: Path) -> np.ndarray | str:
        try:
            return np.ascontiguousarray(fit_square(read_image(path), size, crop).transpose(2, 0, 1))
        except UnreadableImage as error:
            return str(error)

    # Unreadable images occupy no row of the array, so the readable images can be used without a copy.
    place = saved = done - len(rejected)
    for row, found in enumerate(in_order(decode, paths[done:], workers=workers), done):
        if isinstance(found, str):
            rejected.append((row, found))
        else:
            array[place] = found
            place += 1
        if (row + 1) % SAVE_EVERY == 0:
            array.flush()
            saved, checksum = place, zlib.crc32(array[saved:place].data, checksum)
            with atomic_file(folder / _STATE) as temporary:
                temporary.write_text(json.dumps({"rows": row + 1, "rejected": rejected, "checksum": checksum}))
        if (row + 1) % _REPORT_EVERY == 0 or row + 1 == len(paths):
            report(row + 1, len(paths))
    array.flush()
    pd.DataFrame(rejected, columns=["row", "reason"]).to_csv(folder / _REJECTED, index=False)
    (folder / _STATE).unlink(missing_ok=True)


def _resume(folder: Path, shape: tuple[int, ...]) -> tuple[np.memmap, int, list[tuple[int, str]], int] | None:
    """Return the array, the number of finished rows, the rejected rows and the checksum; None if no row is finished."""
    try:
        saved = json.loads((folder / _STATE).read_text())
        rejected = [(int(row), str(reason)) for row, reason in saved["rejected"]]
        done, checksum = int(saved["rows"]), int(saved["checksum"])
        array = np.lib.format.open_memmap(folder / _ARRAY, mode="r+")
        finished = array[: done - len(rejected)]
        if array.shape == shape and array.dtype == np.uint8 and zlib.crc32(finished.data) == checksum:
            return array, done, rejected, checksum
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        pass
    warn_damaged(folder)
    return None


def warn_damaged(folder: Path) -> None:
    """Warn that a corrupt folder of the cache, complete or left by an interrupted run, is created again."""
    warnings.warn(f"{folder}: the cached images are corrupt (wrong checksum); they are decoded again", stacklevel=2)


def cache_folder() -> Path:
    """Return the cache folder: ``AUXFACE_CACHE`` if set, otherwise ``auxface`` in the user's cache folder."""
    named = os.environ.get("AUXFACE_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "auxface"


def cache_key(paths: list[Path], settings: str) -> str:
    """Return a name that changes with the settings and with any file's path, size or modification time."""
    digest = hashlib.sha256(f"{settings} {len(paths)}".encode())
    for path in paths:
        try:
            status = path.stat()
            state = f"{status.st_size} {status.st_mtime_ns}"
        except (OSError, ValueError):
            state = "missing"
        digest.update(f"\0{os.path.abspath(path)}\0{state}".encode(errors="surrogateescape"))
    return digest.hexdigest()[:40]


def make_once(place: Path, needed: int, make: Callable[[Path], None]) -> bool:
    """Create a folder of the cache atomically, unless it exists and is intact; return whether it was created.

    One process creates the folder while the others wait.

    Args:
        place: folder to create, named by :func:`cache_key`.
        needed: disk space in bytes that the folder may need.
        make: function that fills the given folder, which is empty or was left by an interrupted run.

    Raises:
        InputError: the folder cannot be written or has too little space.
    """
    if is_intact(place):
        return False
    partial = place.with_name(f".{place.name}.partial")
    if not partial.is_dir() and not place.is_dir():
        _check_free_space(place.parent, needed)
    try:
        with _exclusive_lock(place.with_name(f".{place.name}.lock")):
            if is_intact(place):
                return False
            if place.is_dir():
                warn_damaged(place)
                shutil.rmtree(place)
            partial.mkdir(exist_ok=True)
            make(partial)
            write_checksums(partial)
            partial.replace(place)
            return True
    except OSError as error:
        raise InputError(
            f"{place.parent.parent}: the cache of decoded images cannot be written ({error.strerror}); set "
            "AUXFACE_CACHE to a writable folder"
        ) from None


def _check_free_space(parent: Path, needed: int) -> None:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(parent).free
    except OSError as error:
        raise InputError(
            f"{parent}: the folder cannot be created ({error.strerror}); set AUXFACE_CACHE to another folder"
        ) from None
    if free < needed + 2**26:
        raise InputError(
            f"{parent}: the decoded images need {needed / 2**30:.1f} GiB, but {free / 2**30:.1f} GiB are free; set "
            "AUXFACE_CACHE to a folder with enough space"
        )


@contextmanager
def _exclusive_lock(lock: Path) -> Iterator[None]:
    """Wait until no other process holds the lock; the system releases the lock of a killed process."""
    try:
        import fcntl
    except ImportError:
        # There is no lock on Windows. Two concurrent runs would decode the same images, and the later one would fail.
        yield
        return
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
