"""Batches in an order, with views and masks, that depend on (seed, epoch, picture) alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from auxface.data.random import sample_seeds
from auxface.data.views import make_views
from auxface.objectives import Batch


@dataclass(frozen=True)
class Feed:
    """The usable pictures of the training split, in memory or memory-mapped.

    Attributes:
        pictures: uint8 [N, 3, S, S].
        labels: tensors of length N per task.
        seed: of the run.
        batch_size: pictures per step, over all processes.
        augment: name of the view preset.
        size: side of the views in pixels.
    """

    pictures: np.ndarray
    labels: dict[str, Tensor]
    seed: int
    batch_size: int
    augment: str
    size: int

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one pass over the pictures; a last smaller batch counts."""
        return -(-len(self.pictures) // self.batch_size)

    def order(self, epoch: int) -> Tensor:
        """A new permutation of the pictures for every epoch, int64 [N]."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        return torch.randperm(len(self.pictures), generator=generator)

    def indices(self, epoch: int) -> Iterator[Tensor]:
        """The picture numbers of each step of an epoch."""
        yield from self.order(epoch).split(self.batch_size)

    def batch(self, indices: Tensor, epoch: int, device: torch.device) -> Batch:
        """Load, augment and label the pictures with these numbers."""
        pictures = torch.from_numpy(np.ascontiguousarray(self.pictures[indices.numpy()])).to(device, non_blocking=True)
        seeds = sample_seeds(self.seed, epoch, indices).to(device)
        views = make_views(pictures, seeds, self.augment, size=self.size)
        labels = {name: values[indices].to(device, non_blocking=True) for name, values in self.labels.items()}
        return Batch(views.primary, views.clean, labels, seeds, indices.to(device))
