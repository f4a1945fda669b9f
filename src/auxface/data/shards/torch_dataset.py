"""Shards for a ``torch.utils.data.DataLoader``."""

import os
from collections.abc import Iterator
from pathlib import Path

from torch.utils.data import IterableDataset, get_worker_info

from auxface.data.shards.reading import Sample, count_samples, read_shards


class ShardDataset(IterableDataset[Sample]):
    """The samples of a split, shared out over the processes of ``torchrun`` and the workers of each loader.

    Call :meth:`set_epoch` before every epoch. Give the loader a ``collate_fn``, such as ``list``. Shares may differ in
    length by a shard, so processes that step together should stop at the same number of batches.

    Args:
        folder: of ``auxface data shard``.
        split: train, val or test.
        size: side of the pictures.
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
