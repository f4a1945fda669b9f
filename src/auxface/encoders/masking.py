"""Which patches are hidden, as indexes, so that nothing has to ask the device for a count.

Every strategy gives each patch a rank and hides those that come first, so that the count is exact, an image's mask
depends on its own seed (and, where texture guides it, its own pixels) alone, and no strategy waits for the device.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from auxface.data.random import uniforms

_STREAM = 101
_RECTANGLES = 24


@dataclass(frozen=True)
class Mask:
    """Hidden and visible patches of each image; every image hides the same number.

    Attributes:
        visible: int64 [B, V], patch numbers in ascending order, row-major over the grid.
        hidden: int64 [B, M], likewise; V + M = N.
    """

    visible: Tensor
    hidden: Tensor

    def boolean(self) -> Tensor:
        """The mask as bool [B, N], true where hidden."""
        count = self.visible.shape[1] + self.hidden.shape[1]
        empty = torch.zeros(len(self.hidden), count, dtype=torch.bool, device=self.hidden.device)
        return empty.scatter(1, self.hidden, True)


def hidden_count(patches: int, mask_ratio: float) -> int:
    """round(mask_ratio * patches), kept between 1 and patches - 1."""
    return min(max(round(mask_ratio * patches), 1), patches - 1)


def random_mask(seeds: Tensor, patches: int, mask_ratio: float) -> Mask:
    """Hide patches uniformly at random (He et al., 2022), each image by its own seed.

    Args:
        seeds: int64 [B]; an image's mask depends on its seed alone, not on its neighbors in the batch.
        patches: N, the patches of one image.
        mask_ratio: share hidden, in (0, 1).
    """
    return _hide_first(uniforms(seeds, patches, stream=_STREAM), mask_ratio)


def block_mask(seeds: Tensor, grid: tuple[int, int], mask_ratio: float) -> Mask:
    """Hide rectangles, one after the other, until the count is reached (after Bao et al., 2022).

    Sides are a fifth to a half of the grid, drawn apart. The last rectangle is filled from its top.

    Args:
        seeds: int64 [B], one per image.
        grid: patches down and across.
        mask_ratio: share hidden, in (0, 1).
    """
    rows, columns = grid
    chance = uniforms(seeds, 4 * _RECTANGLES + 1, stream=_STREAM)
    inside = []
    for axis, length in enumerate((rows, columns)):
        share, at = (chance[:, (2 * axis + part) * _RECTANGLES :][:, :_RECTANGLES, None] for part in (0, 1))
        side = ((0.2 + 0.3 * share) * length).round().clamp(min=1)
        start = (at * (length - side + 1)).floor()
        places = torch.arange(length, device=seeds.device)
        inside.append((places >= start) & (places < start + side))
    covered = inside[0][:, :, :, None] & inside[1][:, :, None, :]
    number = torch.arange(_RECTANGLES, device=seeds.device).view(1, -1, 1, 1)
    # What no rectangle covers comes last, row by row from a random row on, so that the count is always reached.
    first = torch.where(covered, number, _RECTANGLES).amin(dim=1).flatten(1)
    turned = (torch.arange(rows * columns, device=seeds.device) + (chance[:, -1:] * rows).floor() * columns) % (
        rows * columns
    )
    within = torch.where(first == _RECTANGLES, turned, torch.arange(rows * columns, device=seeds.device))
    return _hide_first(first + within / (rows * columns), mask_ratio)


def tube_mask(seeds: Tensor, frames: int, patches: int, mask_ratio: float) -> Mask:
    """Hide the same patches in every frame of a clip (Tong et al., 2022).

    Args:
        seeds: int64 [B], one per clip.
        frames: time slices of the token grid.
        patches: patches of one slice; round(mask_ratio * patches) of them are hidden in each.
        mask_ratio: share hidden, in (0, 1).
    """
    one = random_mask(seeds, patches, mask_ratio)
    start = torch.arange(frames, device=seeds.device).view(1, -1, 1) * patches
    return Mask(*((places.unsqueeze(1) + start).flatten(1) for places in (one.visible, one.hidden)))


def guided_mask(
    seeds: Tensor, images: Tensor, grid: tuple[int, int], mask_ratio: float, *, textured: bool = True
) -> Mask:
    """Hide rather the patches with much texture, or rather the flat ones (ours).

    A patch's texture is the standard deviation of gray within it; its rank among the N of its image, as a share, is
    added to a uniform random number, and the patches with the largest sums are hidden. The most textured patch is thus
    always ahead of the flattest, and those near in rank are left to chance.

    Args:
        seeds: int64 [B], one per image.
        images: [B, 3, H, W], 0..255, the clean view; H and W are multiples of the grid.
        grid: patches down and across.
        mask_ratio: share hidden, in (0, 1).
        textured: hide those with much texture; false: the flat ones.
    """
    gray = images.float().mean(dim=1)
    rows, columns = grid
    height, width = gray.shape[1] // rows, gray.shape[2] // columns
    patches = gray.view(len(gray), rows, height, columns, width).transpose(2, 3).flatten(3).flatten(1, 2)
    rank = patches.std(dim=-1).argsort(dim=1, stable=True).argsort(dim=1) / (rows * columns)
    preferred = rank if textured else 1 - rank
    return _hide_first(-(uniforms(seeds, rows * columns, stream=_STREAM) + preferred), mask_ratio)


def make_mask(
    strategy: str, seeds: Tensor, grid: tuple[int, ...], mask_ratio: float, images: Callable[[], Tensor]
) -> Mask:
    """The mask that a recipe asks for.

    Args:
        strategy: ``random``, ``block``, ``tube``, ``textured`` or ``flat``; ``tube`` for clips alone.
        seeds: int64 [B], one per image or clip.
        grid: patches down and across; for clips, time slices before them.
        mask_ratio: share hidden, in (0, 1).
        images: gives the clean view, asked only by strategies that look at it.
    """
    if strategy == "tube":
        return tube_mask(seeds, grid[0], grid[1] * grid[2], mask_ratio)
    if strategy == "block":
        return block_mask(seeds, (grid[0], grid[1]), mask_ratio)
    if strategy in ("textured", "flat"):
        return guided_mask(seeds, images(), (grid[0], grid[1]), mask_ratio, textured=strategy == "textured")
    patches = int(torch.Size(grid).numel())
    return random_mask(seeds, patches, mask_ratio)


def _hide_first(rank: Tensor, mask_ratio: float) -> Mask:
    """Hide the round(mask_ratio * N) patches of the lowest rank, [B, N]."""
    order = rank.argsort(dim=1)
    hidden = hidden_count(rank.shape[1], mask_ratio)
    return Mask(visible=order[:, hidden:].sort(dim=1).values, hidden=order[:, :hidden].sort(dim=1).values)
