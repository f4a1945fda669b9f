"""The images of shards as if they were an array: each is read and decoded when it is asked for, nothing is kept.

A tar file is not compressed, so an image is a stretch of bytes at a known place. Any number of processes may each read
theirs from the same shards, whose number need not fit that of the processes.
"""

import os
import tarfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from auxface.data.images.decode import MAX_BYTES, UnreadableImage, fit_square, read_image
from auxface.data.manifest import Manifest
from auxface.errors import InputError

SUFFIX = ".tar"


def is_sharded(manifest: Manifest) -> bool:
    """Whether a manifest is that of a folder of shards, whose paths are ``SHARD.tar/NAME``."""
    return Path(str(manifest.table["path"].iat[0])).parent.suffix == SUFFIX


@dataclass(frozen=True, eq=False)
class ShardImages:
    """Images in shards, to be indexed as a uint8 array [N, 3, S, S] is.

    Whole numbers and arrays of them give arrays; a slice gives the same kind of thing again, which ``np.asarray``
    decodes.

    Attributes:
        files: the shards.
        shards: int64 [N], the shard of each image.
        starts: int64 [N], its first byte in there.
        lengths: int64 [N], its bytes.
        size: side of the images.
    """

    files: tuple[Path, ...]
    shards: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    size: int

    def __len__(self) -> int:
        return len(self.shards)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As of the array."""
        return len(self), 3, self.size, self.size

    @property
    def ndim(self) -> int:
        """As of the array."""
        return 4

    @property
    def dtype(self) -> np.dtype[Any]:
        """As of the array."""
        return np.dtype(np.uint8)

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, slice):
            return ShardImages(self.files, self.shards[rows], self.starts[rows], self.lengths[rows], self.size)
        chosen = np.arange(len(self))[rows]
        if chosen.ndim == 0:
            return self._read(int(chosen))
        result = np.empty((len(chosen), *self.shape[1:]), np.uint8)
        for place, image in enumerate(self._pool.map(self._read, chosen.tolist())):
            result[place] = image
        return result

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[np.arange(len(self))].astype(dtype or np.uint8, copy=False)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(os.cpu_count() or 1)

    def _read(self, row: int) -> np.ndarray:
        file = self.files[self.shards[row]]
        try:
            with file.open("rb", buffering=0) as opened:
                opened.seek(int(self.starts[row]))
                data = opened.read(int(self.lengths[row]))
            return np.ascontiguousarray(fit_square(read_image(data), self.size).transpose(2, 0, 1))
        except (OSError, UnreadableImage) as error:
            raise InputError(
                f"{file}: the image at byte {self.starts[row]} cannot be read ({error}); write the shard again with "
                "'auxface data shard'"
            ) from None


def shard_images(manifest: Manifest, size: int, progress: Callable[[int, int], None] | None = None) -> ShardImages:
    """Find every image of a manifest in its shards.

    Args:
        manifest: of shards, see :func:`is_sharded`.
        size: side of the images; see :func:`auxface.data.images.decode.fit_square`.
        progress: called with (shards looked through, shards in all).

    Raises:
        InputError: a shard is missing or damaged, or has no such image.
    """
    paths = pd.Series(manifest.table["path"].to_numpy())
    split = paths.str.rpartition("/")
    names = list(split[0].unique())
    shards = split[0].map({name: number for number, name in enumerate(names)}).to_numpy(dtype=np.int64, copy=True)
    places = np.zeros((len(paths), 2), np.int64)
    for number, name in enumerate(names):
        rows = np.flatnonzero(shards == number)
        places[rows] = _places(manifest.root / name, split[2].iloc[rows].tolist())
        if progress is not None:
            progress(number + 1, len(names))
    return ShardImages(tuple(manifest.root / name for name in names), shards, places[:, 0], places[:, 1], size)


def _places(file: Path, wanted: Sequence[str]) -> list[tuple[int, int]]:
    if file.name.startswith(".") or not file.is_file():
        raise InputError(f"{file}: no such shard; write it again with 'auxface data shard'")
    try:
        with tarfile.open(file, "r:") as tar:
            found = {one.name: (one.offset_data, one.size) for one in tar if one.isfile() and one.size <= MAX_BYTES}
        return [found[name] for name in wanted]
    except KeyError as error:
        raise InputError(f"{file}: it has no image {error}, which its manifest names; it was cut short") from None
    except (tarfile.TarError, OSError, ValueError):
        raise InputError(f"{file}: not a readable shard; delete it and run 'auxface data shard' again") from None
