"""Batches in an order, with views and masks, that depend on (seed, epoch, picture) alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from auxface.data.clip_views import as_channels, as_samples, frames_of
from auxface.data.further_views import make_further_views
from auxface.data.mixing import Mixed, mix
from auxface.data.pseudo_forgeries import blend_batch
from auxface.data.random import sample_seeds
from auxface.data.views import make_views
from auxface.memory import keep_freed_memory
from auxface.objectives import Batch
from auxface.recipe import SelfBlend
from auxface.training.group_dro import GroupShares

_SHARDS_AT_ONCE = 16


@dataclass(frozen=True)
class Feed:
    """The usable pictures or clips of the training split, in memory or memory-mapped.

    Attributes:
        pictures: uint8 [N, 3, S, S], or clips [N, T, 3, S, S], whose frames share all that is random.
        labels: tensors of length N per task.
        seed: of the run.
        batch_size: pictures per step, over all processes.
        augment: name of the view preset.
        size: side of the views in pixels.
        self_blend: makes forgeries of the pictures, which are then all real faces; or None.
        mixup: alpha of mixup; 0: off.
        cutmix: alpha of CutMix; 0: off.
        further: names of the further views that the objectives ask for.
        keys: a name per picture, for messages about it; without them its number.
        chances: float64 [N], how often each picture is drawn, with replacement; None: each once an epoch.
        weights: float32 [N], how much each picture counts for the primary objective; None: all alike.
        shares: weighs the pictures of a step by what their groups' losses were so far (group DRO); None: not.
        shards: int64 [N], the shard of each picture, where they are read from shards: an epoch then goes through a few
            shards at a time, in a new order, and their pictures are mixed. None: all pictures are mixed.
    """

    pictures: np.ndarray
    labels: dict[str, Tensor]
    seed: int
    batch_size: int
    augment: str
    size: int
    self_blend: SelfBlend | None = None
    mixup: float = 0.0
    cutmix: float = 0.0
    further: tuple[str, ...] = ()
    keys: Sequence[str] = ()
    chances: Tensor | None = None
    weights: Tensor | None = None
    shares: GroupShares | None = None
    shards: Tensor | None = None

    def __post_init__(self) -> None:
        keep_freed_memory()

    def weights_of(self, indices: Tensor, step: Tensor) -> Tensor | None:
        """How much each picture of a part counts, float32 [n], of a step with these pictures; None: all alike."""
        if self.shares is not None:
            return self.shares.weights(indices, step)
        return None if self.weights is None else self.weights[indices]

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one pass over the pictures; a last smaller batch counts."""
        return -(-len(self.pictures) // self.batch_size)

    def order(self, epoch: int) -> Tensor:
        """A new order of the pictures for every epoch, int64 [N]: a permutation, or draws by ``chances``."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        if self.chances is not None:
            drawn = torch.rand(len(self.pictures), generator=generator, dtype=torch.float64)
            upto = self.chances.double().cumsum(0)
            return torch.searchsorted(upto, drawn * upto[-1]).clamp(max=len(self.pictures) - 1)
        if self.shards is not None:
            turns = torch.randperm(int(self.shards.max()) + 1, generator=generator)
            mixed = torch.rand(len(self.pictures), generator=generator, dtype=torch.float64)
            return (turns[self.shards] // _SHARDS_AT_ONCE + mixed).argsort(stable=True)
        return torch.randperm(len(self.pictures), generator=generator)

    def indices(self, epoch: int) -> Iterator[Tensor]:
        """The picture numbers of each step of an epoch."""
        yield from self.order(epoch).split(self.batch_size)

    def keys_of(self, indices: Tensor) -> list[str]:
        """The names of the pictures with these numbers."""
        return [str(self.keys[number]) if len(self.keys) else str(number) for number in indices.tolist()]

    def batch(self, indices: Tensor, epoch: int, device: torch.device) -> Batch:
        """Load, augment and label the pictures with these numbers."""
        pictures = torch.from_numpy(np.ascontiguousarray(self.pictures[indices.numpy()])).to(device, non_blocking=True)
        drawn = sample_seeds(self.seed, epoch, indices)
        seeds = drawn.to(device)
        labels = {name: values[indices].to(device, non_blocking=True) for name, values in self.labels.items()}
        if self.self_blend is not None:
            pictures, labels = blend_batch(pictures, labels, seeds, self.self_blend)
        frames, each = frames_of(pictures, seeds)
        views = make_views(frames, each, self.augment, size=self.size)
        primary = as_samples(views.primary, pictures)
        further = make_further_views(self.further, frames, each, self.size)
        further = {name: as_samples(view, pictures) for name, view in further.items()}
        clean = as_samples(views.clean, pictures)
        batch = Batch(primary, clean, labels, seeds, indices.to(device), further, self._mixed(primary, drawn))
        if self.weights is not None:
            batch.weights = self.weights[indices].to(device)
        return batch

    def _mixed(self, primary: Tensor, drawn: Tensor) -> Mixed | None:
        mixed = mix(as_channels(primary), drawn, mixup_alpha=self.mixup, cutmix_alpha=self.cutmix)
        return None if mixed is None else replace(mixed, primary=mixed.primary.view_as(primary))
