"""Images of shards indexed like an array; each image is read and decoded on access and not kept in memory.

A tar file is not compressed, so an image is a byte range at a known offset. Any number of processes may read from
any number of shards.

Example::

    images = index_shards(read_manifest(Path("shards")), size=112)
    batch = images[[3, 1, 4]]  # uint8 [3, 3, 112, 112]
"""

import os
import tarfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from auxface.data.images.decode import MAX_BYTES, UnreadableImage, fit_square, read_image
from auxface.data.manifest import Manifest
from auxface.errors import InputError

SUFFIX = ".tar"
# Records in the PAX header of an image: the CRC-32 of the image and of the JSON file that follows it.
CHECKSUM, JSON_CHECKSUM = "AUXFACE.crc32", "AUXFACE.json.crc32"


def is_sharded(manifest: Manifest) -> bool:
    """Return whether a manifest belongs to a folder of shards, in which case its paths are ``SHARD.tar/NAME``."""
    return Path(str(manifest.table["path"].iat[0])).parent.suffix == SUFFIX


def refuse_shards(manifest: Manifest, path: Path) -> None:
    """Check that the images of a manifest are separate files.

    Raises:
        InputError: the images are in shards.
    """
    if is_sharded(manifest):
        raise InputError(
            f"{path}: the images of this manifest are in shards; use the manifest from which the shards were written"
        )


@dataclass(frozen=True, eq=False)
class ShardImages:
    """Images in shards, indexed like a uint8 array [N, 3, S, S].

    Indexing with integers or arrays of integers returns arrays. Slicing returns another ``ShardImages``, which
    ``np.asarray`` decodes.

    Attributes:
        files: paths of the shards.
        shards: index of each image's shard, int64 [N].
        starts: offset of each image's first byte, int64 [N].
        lengths: number of bytes of each image, int64 [N].
        checksums: CRC-32 of the bytes of each image, int64 [N].
        size: side S of the images in pixels.
        crop: side of the central square that is kept, as a fraction of the shorter side.
    """

    files: tuple[Path, ...]
    shards: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    checksums: np.ndarray
    size: int
    crop: float = 1.0

    def __len__(self) -> int:
        return len(self.shards)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of the array, (N, 3, S, S)."""
        return len(self), 3, self.size, self.size

    @property
    def ndim(self) -> int:
        """The number of axes, 4."""
        return 4

    @property
    def dtype(self) -> np.dtype[Any]:
        """The data type of the images, uint8."""
        return np.dtype(np.uint8)

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, slice):
            columns = ("shards", "starts", "lengths", "checksums")
            return replace(self, **{name: getattr(self, name)[rows] for name in columns})
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
            if zlib.crc32(data) != self.checksums[row]:
                raise UnreadableImage("wrong checksum")
            return np.ascontiguousarray(fit_square(read_image(data), self.size, self.crop).transpose(2, 0, 1))
        except (OSError, UnreadableImage) as error:
            raise InputError(
                f"{file}: the image at byte {self.starts[row]} cannot be read ({error}); delete the shard and run "
                "'auxface data shard' again"
            ) from None


def index_shards(
    manifest: Manifest, size: int, progress: Callable[[int, int], None] | None = None, *, crop: float = 1.0
) -> ShardImages:
    """Return the images of a manifest of shards without decoding them.

    Args:
        manifest: manifest of shards; see :func:`is_sharded`.
        size: side of the images in pixels; see :func:`auxface.data.images.decode.fit_square`.
        progress: function called with (shards indexed, shards in total).
        crop: side of the central square that is kept, as a fraction of the shorter side.

    Raises:
        InputError: a shard is missing or corrupt, or lacks an image of the manifest.
    """
    paths = pd.Series(manifest.table["path"].to_numpy())
    split = paths.str.rpartition("/")
    names = list(split[0].unique())
    shards = split[0].map({name: number for number, name in enumerate(names)}).to_numpy(dtype=np.int64, copy=True)
    places = np.zeros((len(paths), 3), np.int64)
    for number, name in enumerate(names):
        rows = np.flatnonzero(shards == number)
        places[rows] = _byte_ranges(manifest.root / name, split[2].iloc[rows].tolist())
        if progress is not None:
            progress(number + 1, len(names))
    return ShardImages(tuple(manifest.root / name for name in names), shards, *places.T, size=size, crop=crop)


def _byte_ranges(file: Path, names: Sequence[str]) -> list[tuple[int, int, int]]:
    """Return the offset, length and checksum of each image."""
    if file.name.startswith(".") or not file.is_file():
        raise InputError(f"{file}: no such shard; write it again with 'auxface data shard'")
    try:
        with tarfile.open(file, "r:") as tar:
            found = {one.name: one for one in tar if one.isfile() and one.size <= MAX_BYTES}
        members = [found[name] for name in names]
    except KeyError as error:
        raise InputError(f"{file}: image {error} of the manifest is missing; the shard is truncated") from None
    except (tarfile.TarError, OSError, ValueError):
        raise InputError(f"{file}: not a readable shard; delete it and run 'auxface data shard' again") from None
    try:
        return [(one.offset_data, one.size, int(one.pax_headers[CHECKSUM])) for one in members]
    except (KeyError, ValueError):
        raise InputError(
            f"{file}: the images have no checksums; write the shards again with 'auxface data shard --overwrite'"
        ) from None
