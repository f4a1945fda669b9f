"""Reading of shards in an order that depends only on (seed, epoch), partitioned over processes and their workers.

Example::

    for sample in read_shards(Path("shards"), "train", size=112, epoch=3):
        ...  # sample.image is uint8 [3, 112, 112]
    loader = DataLoader(ShardDataset(Path("shards"), "train", size=112), 64, num_workers=2, collate_fn=list)
"""

import json
import os
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from auxface.data.images.decode import MAX_BYTES, UnreadableImage, fit_square, read_image
from auxface.data.shards.sharded_images import CHECKSUM, JSON_CHECKSUM
from auxface.data.shards.writing import INDEX, VERSION
from auxface.errors import InputError


@dataclass(frozen=True)
class Sample:
    """One image of a shard.

    Attributes:
        row: index of the image's row, counted from 0, in the manifest from which the shards were written; can serve as
            the seed of its views.
        image: RGB image, uint8 [3, S, S].
        values: values of the manifest row: split, key, labels and groups.
    """

    row: int
    image: np.ndarray
    values: dict[str, Any]


class ShardDataset(IterableDataset[Sample]):
    """The samples of a split, partitioned over the processes of ``torchrun`` and the workers of each loader.

    Call :meth:`set_epoch` before every epoch. Pass the loader a ``collate_fn``, such as ``list``. Partitions may differ
    in size by one shard, so processes that train together should stop after the same number of batches.

    Args:
        folder: folder written by ``auxface data shard``.
        split: split to read: train, val or test.
        size: side of the images in pixels.
        seed: seed of the order, or None for the order in which the images were written.

    Raises:
        InputError: the folder is not a folder of shards, or the split does not exist.
    """

    def __init__(self, folder: Path, split: str, *, size: int, seed: int | None = 0) -> None:
        self.folder, self.split, self.size, self.seed = folder, split, size, seed
        self.samples = count_samples(folder, split)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which determines the order of the next pass."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Sample]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        return read_shards(
            self.folder,
            self.split,
            size=self.size,
            seed=self.seed,
            epoch=self.epoch,
            reader=rank * workers + worker,
            readers=world * workers,
        )


def count_samples(folder: Path, split: str) -> int:
    """Return the number of images in a split.

    Raises:
        InputError: the folder is not a folder of shards, or the split does not exist.
    """
    return sum(shard["samples"] for shard in _shards(folder, split))


def read_shards(
    folder: Path,
    split: str,
    *,
    size: int,
    seed: int | None = 0,
    epoch: int = 0,
    reader: int = 0,
    readers: int = 1,
) -> Iterator[Sample]:
    """Yield the samples in one reader's partition of a split, with one shard in memory at a time.

    The order of the shards and the order of the images in each shard are random. Together, the partitions of all
    readers contain each image of the split exactly once. If there are fewer shards than readers, the images of every
    shard are partitioned.

    Args:
        folder: folder written by ``auxface data shard``.
        split: split to read: train, val or test.
        size: side of the images in pixels; see :func:`auxface.data.images.decode.fit_square`.
        seed: seed of the order, or None for the order in which the images were written.
        epoch: number of the epoch; each epoch has a different order.
        reader: index of this reader among all workers of all processes.
        readers: number of readers.

    Raises:
        InputError: the folder is not a folder of shards, the split does not exist, or a shard is corrupt.
        ValueError: ``reader`` is not in 0 .. ``readers`` - 1.
    """
    shards = _shards(folder, split)
    if not 0 <= reader < readers:
        raise ValueError(f"reader {reader} must be between 0 and {readers - 1}")
    order = np.arange(len(shards))
    if seed is not None:
        order = np.random.default_rng([seed, epoch]).permutation(order)
    divided = len(shards) < readers
    mine = order if divided else order[reader::readers]
    before = 0
    for number in mine:
        samples = _samples(Path(folder) / shards[number]["file"], shards[number]["samples"])
        places = np.arange(len(samples))
        if seed is not None:
            places = np.random.default_rng([seed, epoch, int(number)]).permutation(places)
        if divided:
            # Images are counted across all shards, so that partitions differ by at most one image.
            places, before = places[(reader - before) % readers :: readers], before + len(places)
        for place in places:
            row, data, values = samples[place]
            try:
                image = fit_square(read_image(data), size).transpose(2, 0, 1)
            except UnreadableImage as error:
                raise InputError(f"{folder}/{shards[number]['file']}: image {row:09d} is corrupt ({error})") from None
            yield Sample(row, np.ascontiguousarray(image), values)


def _shards(folder: Path, split: str) -> list[dict[str, Any]]:
    index = Path(folder) / INDEX
    if not index.is_file():
        raise InputError(
            f"{folder}: {INDEX} is missing; write the shards with 'auxface data shard' (run it again if it was "
            "interrupted)"
        )
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            raise InputError(
                f"{index}: version {content['version']}; expected version {VERSION}; "
                "write the shards again with 'auxface data shard --overwrite'"
            )
        splits = content["splits"]
        shards = [{"file": str(one["file"]), "samples": int(one["samples"])} for one in splits.get(split, [])]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{index}: not a valid index of shards") from None
    if not shards:
        raise InputError(f"{folder}: no shards of split '{split}' (splits: {', '.join(splits) or 'none'})")
    for shard in shards:
        if Path(shard["file"]).name != shard["file"]:
            raise InputError(f"{index}: '{shard['file']}' is not the name of a shard in its folder")
    return shards


def _samples(path: Path, expected: int) -> list[tuple[int, bytes, dict[str, Any]]]:
    """Return the row index, image bytes and row values of every sample in a shard, in the order of the file."""
    images: dict[int, bytes] = {}
    checksums: Mapping[str, str] = {}
    rows: dict[int, dict[str, Any]] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                stem, _, suffix = member.name.partition(".")
                if not member.isfile() or member.size > MAX_BYTES:
                    raise ValueError
                stream = tar.extractfile(member)
                assert stream is not None
                data = stream.read()
                checksums = checksums if suffix == "json" else member.pax_headers
                if zlib.crc32(data) != int(checksums[JSON_CHECKSUM if suffix == "json" else CHECKSUM]):
                    raise InputError(
                        f"{path}: {member.name} is corrupt (wrong checksum); delete the shard and run 'auxface data "
                        "shard' again"
                    )
                if suffix == "json":
                    rows[int(stem)] = json.loads(data)
                else:
                    images[int(stem)] = data
    except InputError:
        raise
    except (tarfile.TarError, OSError, ValueError, KeyError, RecursionError):
        raise InputError(f"{path}: not a readable shard; delete it and run 'auxface data shard' again") from None
    if len(images) != expected or images.keys() != rows.keys():
        raise InputError(
            f"{path}: the shard has {len(images)} images, but the index lists {expected}; delete the truncated shard "
            "and run 'auxface data shard' again"
        )
    return [(row, data, rows[row]) for row, data in images.items()]
