"""Batches of the training split; their order, views and masks depend only on (seed, epoch, draw).

A draw is one use of an image in an epoch; draws are numbered by :func:`~auxface.training.sampling.number_draws`. If
every image is drawn once, the number of a draw is the position of its image in the training split.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from auxface.data.augment.geometry import fractional_map
from auxface.data.augment.mixup import Mixed, mix
from auxface.data.augment.presets import IMAGE_MEAN, IMAGE_STD, make_views
from auxface.data.augment.self_blending import blend_batch
from auxface.data.augment.views import View, ViewRequest, make_view, registry
from auxface.data.random import sample_seeds
from auxface.data.video.clips import flatten_frames, frames_to_channels, unflatten_frames
from auxface.objectives import Batch
from auxface.recipe import SelfBlend
from auxface.training.sampling import GroupDRO, LabeledMixture, number_draws

# Number of shards that are read in parallel.
_SHARDS_AT_ONCE = 16
# Largest block that raises glibc's mmap threshold: the limit of 32 MiB minus a margin for glibc's bookkeeping.
_LARGEST_BLOCK = 2**25 - 2**16


@dataclass(frozen=True, kw_only=True)
class DataLoader:
    """A loader of batches from the usable images or video clips of the training split, in memory or memory-mapped.

    Attributes:
        images: uint8 [N, 3, S, S], or video clips [N, T, 3, S, S]; the frames of a clip share all random choices.
        labels: one tensor of length N for each task.
        seed: seed of the run.
        batch_size: number of images per step over all processes.
        augment: augmentation preset of the primary view.
        size: side length of the views in pixels.
        mirror: whether views are flipped horizontally at random.
        standardization: channel means and standard deviations of the model, which determine the noise of random
            erasing.
        self_blend: options for making forgeries from the images, which must all be real faces; None to disable.
        mixup: alpha of mixup; 0 to disable.
        cutmix: alpha of CutMix; 0 to disable.
        views: views that the objectives request.
        keys: name of each image in messages; if empty, images are named by position.
        draw_weights: float64 [N], relative frequency at which each image is drawn, with replacement; None to draw every
            image once per epoch.
        loss_weights: float32 [N], weight of each image in the primary objective; None for equal weights.
        group_dro: weights of the groups by group DRO; None to disable group DRO.
        mixture: fixed numbers of labeled and unlabeled images in each step; None for no fixed numbers. A mixture cannot
            be combined with ``draw_weights``.
        shards: int64 [N], the shard from which each image is read. An epoch reads a few shards at a time, in random
            order, and shuffles the images of these shards. None to shuffle all images together.
    """

    images: np.ndarray
    labels: dict[str, Tensor]
    seed: int
    batch_size: int
    augment: str
    size: int
    mirror: bool = True
    standardization: tuple[tuple[float, ...], tuple[float, ...]] = (IMAGE_MEAN, IMAGE_STD)
    self_blend: SelfBlend | None = None
    mixup: float = 0.0
    cutmix: float = 0.0
    views: tuple[ViewRequest, ...] = ()
    keys: Sequence[str] = ()
    draw_weights: Tensor | None = None
    loss_weights: Tensor | None = None
    group_dro: GroupDRO | None = None
    mixture: LabeledMixture | None = None
    shards: Tensor | None = None

    def __post_init__(self) -> None:
        _keep_freed_memory()

    @property
    def steps_per_epoch(self) -> int:
        """Number of optimizer steps per epoch, including the step for a smaller last batch."""
        if self.mixture is not None:
            return self.mixture.steps_per_epoch(self.batch_size)
        return -(-len(self.images) // self.batch_size)

    def order(self, epoch: int) -> Tensor:
        """Return the positions of an epoch's images in the order in which they are drawn, int64.

        The result is a permutation of all images, N weighted draws or, with a mixture, full steps in which some images
        are drawn several times.
        """
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        if self.mixture is not None:
            return self.mixture.order(self.batch_size, lambda positions: self._one_pass(positions, generator))
        if self.draw_weights is not None:
            drawn = torch.rand(len(self.images), generator=generator, dtype=torch.float64)
            cumulative = self.draw_weights.double().cumsum(0)
            return torch.searchsorted(cumulative, drawn * cumulative[-1]).clamp(max=len(self.images) - 1)
        return self._one_pass(torch.arange(len(self.images)), generator)

    def _one_pass(self, positions: Tensor, generator: torch.Generator) -> Tensor:
        """Return positions in random order; with shards, the positions of a few shards at a time."""
        if self.shards is None:
            return positions[torch.randperm(len(positions), generator=generator)]
        turns = torch.randperm(int(self.shards.max()) + 1, generator=generator)
        mixed = torch.rand(len(positions), generator=generator, dtype=torch.float64)
        return positions[(turns[self.shards[positions]] // _SHARDS_AT_ONCE + mixed).argsort(stable=True)]

    def draws(self, epoch: int) -> Iterator[Tensor]:
        """Yield the draws of each step, int64 [n]."""
        yield from number_draws(self.order(epoch), len(self.images)).split(self.batch_size)

    def positions(self, draws: Tensor) -> Tensor:
        """Return the positions of the images of the given draws, int64 [n]."""
        return draws % len(self.images)

    def batch(self, draws: Tensor, epoch: int, device: torch.device) -> Batch:
        """Load, augment and label the images of the given draws."""
        indices = self.positions(draws)
        images = torch.from_numpy(np.ascontiguousarray(self.images[indices.numpy()])).to(device, non_blocking=True)
        host_seeds = sample_seeds(self.seed, epoch, draws)
        seeds = host_seeds.to(device)
        labels = {name: values[indices].to(device, non_blocking=True) for name, values in self.labels.items()}
        if self.self_blend is not None:
            images, labels = blend_batch(images, labels, seeds, self.self_blend)
        mean, std = self.standardization
        pair = make_views(images, seeds, self.augment, size=self.size, mirror=self.mirror, mean=mean, std=std)
        weights = self.loss_weights_of(indices)
        return Batch(
            primary=pair.primary,
            clean=pair.clean,
            labels=labels,
            seeds=seeds,
            indices=indices.to(device),
            views={view: make_sample_view(view, images, seeds, self.size, mirror=self.mirror) for view in self.views},
            mixed=self._mixed(pair.primary, host_seeds),
            weights=None if weights is None else weights.to(device),
            to_source=fractional_map(pair.affine, source=images.shape[-1], size=self.size),
        )

    def loss_weights_of(self, indices: Tensor) -> Tensor | None:
        """Return the weights of the images at the given positions in the primary objective, float32 [n], or None."""
        if self.group_dro is not None:
            return self.group_dro.weights(indices, indices)
        return None if self.loss_weights is None else self.loss_weights[indices]

    def keys_of(self, indices: Tensor) -> list[str]:
        """Return the names of the images at the given positions."""
        return [str(self.keys[number]) if len(self.keys) else str(number) for number in indices.tolist()]

    def _mixed(self, primary: Tensor, seeds: Tensor) -> Mixed | None:
        if not self.mixup and not self.cutmix:
            return None
        mixed = mix(frames_to_channels(primary), seeds, mixup_alpha=self.mixup, cutmix_alpha=self.cutmix)
        return None if mixed is None else replace(mixed, primary=mixed.primary.view_as(primary))


def make_sample_view(request: ViewRequest, samples: Tensor, seeds: Tensor, size: int, *, mirror: bool = True) -> View:
    """Make a requested view of images [B, 3, S, S] or video clips [B, T, 3, S, S]; a clip has one affine map.

    If ``mirror`` is false, views are not mirrored, even if mirroring was requested.
    """
    if not mirror and "mirror" in registry.get(request.name).options:
        request = replace(request, options=dict(request.options) | {"mirror": False})
    view = make_view(request, *flatten_frames(samples, seeds), size)
    return View(unflatten_frames(view.images, samples), view.affine[:: len(view.affine) // len(samples)], view.source)


def _keep_freed_memory() -> None:
    """Let glibc reuse freed memory up to 64 MiB instead of returning it to the system.

    By default, glibc returns every large block and maps new pages for every batch, which takes longer than computing
    the batch. The threshold for large blocks rises to the size of the largest block that was ever freed, so one block
    of the maximum size is allocated and freed here. Other C libraries are unaffected.
    """
    torch.empty(_LARGEST_BLOCK, dtype=torch.uint8)
