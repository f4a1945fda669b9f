"""Decoding many pictures into one array on the disk; a run that was stopped goes on where it was.

Rows come in order, so what is done is a number: it is written down every few hundred pictures, after the pictures
themselves are on the disk.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from auxface.atomic import atomic_file
from auxface.data.decode import UnreadablePicture, fit_square, read_picture
from auxface.data.parallel import in_order

Progress = Callable[[int, int], None]
KEPT_EVERY = 512
_TOLD_EVERY = 64
_ARRAY, _REJECTED, _DONE = "pictures.npy", "rejected.csv", "done.json"


def decode_pictures(
    paths: list[Path], size: int, folder: Path, workers: int | None = None, progress: Progress | None = None
) -> None:
    """Fill a folder with the squares of all pictures that can be read, and a list of the others.

    Args:
        paths: of the pictures.
        size: side of the squares; see :func:`auxface.data.decode.fit_square`.
        folder: empty, or as a stopped run with the same arguments left it.
        workers: threads; default one per core.
        progress: called with (pictures done, pictures in all).
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
            return np.ascontiguousarray(fit_square(read_picture(path), size).transpose(2, 0, 1))
        except UnreadablePicture as error:
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
    """What :func:`decode_pictures` made: uint8 [U, 3, S, S], memory-mapped, and row and reason of the others."""
    array = np.load(folder / _ARRAY, mmap_mode="r", allow_pickle=False)
    rejected = pd.read_csv(folder / _REJECTED, dtype={"row": int, "reason": str})
    return array[: len(array) - len(rejected)], rejected


def _where(state: Path) -> tuple[int, list[tuple[int, str]]]:
    try:
        said = json.loads(state.read_text())
        return int(said["rows"]), [(int(row), str(reason)) for row, reason in said["rejected"]]
    except (OSError, ValueError, KeyError, TypeError):
        return 0, []
