"""Reading shards: in an order that follows from (seed, epoch), shared out over processes and their workers.

Shards for a ``torch.utils.data.DataLoader``.
"""

import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from auxface.data.images.decode import MAX_BYTES, UnreadableImage, fit_square, read_image
from auxface.data.shards.writing import INDEX, VERSION
from auxface.errors import InputError


@dataclass(frozen=True)
class Sample:
    """One image out of a shard.

    Attributes:
        row: its row in the manifest that the shards were made of; the seed of its views.
        image: uint8 [3, S, S] RGB.
        about: the manifest's row: split, key, labels and groups.
    """

    row: int
    image: np.ndarray
    about: dict[str, Any]


def count_samples(folder: Path, split: str) -> int:
    """Images of a split.

    Raises:
        InputError: not a folder of shards, or no such split in it.
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
    """The images of a split that are one reader's share, one shard in memory at a time.

    Shards come in a random order and so do the images of each. The shares of all readers together are the split,
    each image once; where there are fewer shards than readers, readers share shards.

    Args:
        folder: of ``auxface data shard``.
        split: train, val or test.
        size: side of the images; see :func:`auxface.data.images.decode.fit_square`.
        seed: of the order; None: the order in which they were written.
        epoch: each has another order.
        reader: number of this reader, of all workers of all processes.
        readers: how many there are.

    Raises:
        InputError: not a folder of shards, no such split, or a shard that is damaged.
    """
    shards = _shards(folder, split)
    if not 0 <= reader < readers:
        raise ValueError(f"reader {reader} must be from 0 to {readers - 1}")
    order = np.arange(len(shards))
    if seed is not None:
        order = np.random.default_rng([seed, epoch]).permutation(order)
    shared = len(shards) < readers
    mine = order if shared else order[reader::readers]
    before = 0
    for number in mine:
        samples = _samples(Path(folder) / shards[number]["file"], shards[number]["samples"])
        places = np.arange(len(samples))
        if seed is not None:
            places = np.random.default_rng([seed, epoch, int(number)]).permutation(places)
        if shared:
            # Counted on over all shards, so that shares differ by one image at most.
            places, before = places[(reader - before) % readers :: readers], before + len(places)
        for place in places:
            row, data, about = samples[place]
            try:
                image = fit_square(read_image(data), size).transpose(2, 0, 1)
            except UnreadableImage as error:
                raise InputError(f"{folder}/{shards[number]['file']}: image {row} is damaged ({error})") from None
            yield Sample(row, np.ascontiguousarray(image), about)


def _shards(folder: Path, split: str) -> list[dict[str, Any]]:
    index = Path(folder) / INDEX
    if not index.is_file():
        raise InputError(f"{folder}: {INDEX} is missing; make shards with 'auxface data shard' (run again if stopped)")
    try:
        about = json.loads(index.read_text(encoding="utf-8"))
        if about["version"] != VERSION:
            raise InputError(f"{index}: version {about['version']}; this auxface reads {VERSION}")
        splits = about["splits"]
        shards = [{"file": str(one["file"]), "samples": int(one["samples"])} for one in splits.get(split, [])]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{index}: not the index of a folder of shards") from None
    if not shards:
        raise InputError(f"{folder}: there are no shards of split '{split}' (it has: {', '.join(splits) or 'none'})")
    for shard in shards:
        if Path(shard["file"]).name != shard["file"]:
            raise InputError(f"{index}: '{shard['file']}' is not the name of a shard in its folder")
    return shards


def _samples(path: Path, expected: int) -> list[tuple[int, bytes, dict[str, Any]]]:
    """Row number, image's bytes and row of every sample of a shard, in the order of the file."""
    images: dict[int, bytes] = {}
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
                if suffix == "json":
                    rows[int(stem)] = json.loads(data)
                else:
                    images[int(stem)] = data
    except (tarfile.TarError, OSError, ValueError, RecursionError):
        raise InputError(f"{path}: not a readable shard; delete it and run 'auxface data shard' again") from None
    if len(images) != expected or images.keys() != rows.keys():
        raise InputError(f"{path}: it has {len(images)} images, its index says {expected}; it was cut short")
    return [(row, data, rows[row]) for row, data in images.items()]


class ShardDataset(IterableDataset[Sample]):
    """The samples of a split, shared out over the processes of ``torchrun`` and the workers of each loader.

    Call :meth:`set_epoch` before every epoch. Give the loader a ``collate_fn``, such as ``list``. Shares may differ in
    length by a shard, so processes that step together should stop at the same number of batches.

    Args:
        folder: of ``auxface data shard``.
        split: train, val or test.
        size: side of the images.
        seed: of the order; None: as written.

    Raises:
        InputError: not a folder of shards, or no such split.
    """

    def __init__(self, folder: Path, split: str, *, size: int, seed: int | None = 0) -> None:
        self.folder, self.split, self.size, self.seed = folder, split, size, seed
        self.samples = count_samples(folder, split)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
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
