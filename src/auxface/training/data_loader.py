"""Batches in an order, with views and masks, that depend on (seed, epoch, image) alone.

Memory of the C library: large pieces that were freed are kept for the next batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from auxface.data.augment.mixup import Mixed, mix
from auxface.data.augment.presets import make_views
from auxface.data.augment.self_blending import blend_batch
from auxface.data.augment.views import make_further_views
from auxface.data.random import sample_seeds
from auxface.data.video.clip_batches import flatten_frames, frames_to_channels, unflatten_frames
from auxface.objectives import Batch
from auxface.recipe import SelfBlend
from auxface.training.sampling import GroupShares

# The largest piece that glibc lets its limit follow to, less its own bookkeeping.
_LARGEST = 2**25 - 2**16


def keep_freed_memory() -> None:
    """Make glibc reuse freed memory up to 64 MiB in place of giving it back to the system.

    It gives back every large piece at first and takes pages anew for every batch, which costs more than making the
    batch; its limit rises to the size of the largest piece that was ever freed. Elsewhere this changes nothing.
    """
    torch.empty(_LARGEST, dtype=torch.uint8)


_SHARDS_AT_ONCE = 16


@dataclass(frozen=True)
class Feed:
    """The usable images or clips of the training split, in memory or memory-mapped.

    Attributes:
        images: uint8 [N, 3, S, S], or clips [N, T, 3, S, S], whose frames share all that is random.
        labels: tensors of length N per task.
        seed: of the run.
        batch_size: images per step, over all processes.
        augment: name of the view preset.
        size: side of the views in pixels.
        self_blend: makes forgeries of the images, which are then all real faces; or None.
        mixup: alpha of mixup; 0: off.
        cutmix: alpha of CutMix; 0: off.
        further: names of the further views that the objectives ask for.
        keys: a name per image, for messages about it; without them its number.
        chances: float64 [N], how often each image is drawn, with replacement; None: each once an epoch.
        weights: float32 [N], how much each image counts for the primary objective; None: all alike.
        shares: weighs the images of a step by what their groups' losses were so far (group DRO); None: not.
        shards: int64 [N], the shard of each image, where they are read from shards: an epoch then goes through a few
            shards at a time, in a new order, and their images are mixed. None: all images are mixed.
    """

    images: np.ndarray
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
        """How much each image of a part counts, float32 [n], of a step with these images; None: all alike."""
        if self.shares is not None:
            return self.shares.weights(indices, step)
        return None if self.weights is None else self.weights[indices]

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one pass over the images; a last smaller batch counts."""
        return -(-len(self.images) // self.batch_size)

    def order(self, epoch: int) -> Tensor:
        """A new order of the images for every epoch, int64 [N]: a permutation, or draws by ``chances``."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        if self.chances is not None:
            drawn = torch.rand(len(self.images), generator=generator, dtype=torch.float64)
            upto = self.chances.double().cumsum(0)
            return torch.searchsorted(upto, drawn * upto[-1]).clamp(max=len(self.images) - 1)
        if self.shards is not None:
            turns = torch.randperm(int(self.shards.max()) + 1, generator=generator)
            mixed = torch.rand(len(self.images), generator=generator, dtype=torch.float64)
            return (turns[self.shards] // _SHARDS_AT_ONCE + mixed).argsort(stable=True)
        return torch.randperm(len(self.images), generator=generator)

    def indices(self, epoch: int) -> Iterator[Tensor]:
        """The image numbers of each step of an epoch."""
        yield from self.order(epoch).split(self.batch_size)

    def keys_of(self, indices: Tensor) -> list[str]:
        """The names of the images with these numbers."""
        return [str(self.keys[number]) if len(self.keys) else str(number) for number in indices.tolist()]

    def batch(self, indices: Tensor, epoch: int, device: torch.device) -> Batch:
        """Load, augment and label the images with these numbers."""
        images = torch.from_numpy(np.ascontiguousarray(self.images[indices.numpy()])).to(device, non_blocking=True)
        drawn = sample_seeds(self.seed, epoch, indices)
        seeds = drawn.to(device)
        labels = {name: values[indices].to(device, non_blocking=True) for name, values in self.labels.items()}
        if self.self_blend is not None:
            images, labels = blend_batch(images, labels, seeds, self.self_blend)
        frames, each = flatten_frames(images, seeds)
        views = make_views(frames, each, self.augment, size=self.size)
        primary = unflatten_frames(views.primary, images)
        further = make_further_views(self.further, frames, each, self.size)
        further = {name: unflatten_frames(view, images) for name, view in further.items()}
        clean = unflatten_frames(views.clean, images)
        batch = Batch(primary, clean, labels, seeds, indices.to(device), further, self._mixed(primary, drawn))
        if self.weights is not None:
            batch.weights = self.weights[indices].to(device)
        return batch

    def _mixed(self, primary: Tensor, drawn: Tensor) -> Mixed | None:
        mixed = mix(frames_to_channels(primary), drawn, mixup_alpha=self.mixup, cutmix_alpha=self.cutmix)
        return None if mixed is None else replace(mixed, primary=mixed.primary.view_as(primary))
