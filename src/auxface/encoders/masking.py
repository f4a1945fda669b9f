"""Masking strategies, which choose the patches to hide in an image or clip.

Every strategy ranks the patches and hides the patches with the lowest ranks. Therefore, the number of hidden patches is
exact, a mask depends only on the seed of its image (and on the pixels for texture-guided strategies), and no strategy
synchronizes with the device. Masks are stored as indices, which also requires no synchronization.

Example:
    >>> mask = random_mask(torch.tensor([7]), patches=16, mask_ratio=0.75)
    >>> mask.visible.shape, mask.hidden.shape
    (torch.Size([1, 4]), torch.Size([1, 12]))
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from auxface.data.random import uniforms

# This stream separates the random numbers of masks from other random numbers that are drawn with the same seed.
_STREAM = 101
_RECTANGLES = 24


@dataclass(frozen=True)
class Mask:
    """Indices of the hidden and visible patches; every image of a batch has the same number of hidden patches.

    Attributes:
        visible: indices of visible patches, int64 [B, V], in ascending order; patches are numbered in row-major order.
        hidden: indices of hidden patches, int64 [B, M], in ascending order; V + M = N.
    """

    visible: Tensor
    hidden: Tensor

    def boolean(self) -> Tensor:
        """Return the mask as bool [B, N], true for hidden patches."""
        count = self.visible.shape[1] + self.hidden.shape[1]
        empty = torch.zeros(len(self.hidden), count, dtype=torch.bool, device=self.hidden.device)
        return empty.scatter(1, self.hidden, True)


def hidden_count(patches: int, mask_ratio: float) -> int:
    """Return the number of hidden patches: round(mask_ratio * patches), clipped to the range from 1 to patches - 1."""
    return min(max(round(mask_ratio * patches), 1), patches - 1)


def random_mask(seeds: Tensor, patches: int, mask_ratio: float) -> Mask:
    """Hide patches uniformly at random (He et al., 2022).

    Args:
        seeds: one seed per image, int64 [B]. A mask depends only on its own seed, not on the rest of the batch.
        patches: number of patches N per image.
        mask_ratio: fraction of hidden patches, in (0, 1).
    """
    return _hide_first(uniforms(seeds, patches, stream=_STREAM), mask_ratio)


def block_mask(seeds: Tensor, grid: tuple[int, int], mask_ratio: float) -> Mask:
    """Hide rectangles until the required number of patches is hidden (after Bao et al., 2022).

    The height and width of a rectangle are drawn independently, from one fifth to one half of the grid. The last
    rectangle is filled from the top until the required number of patches is hidden.

    Args:
        seeds: one seed per image, int64 [B].
        grid: number of rows and columns of patches.
        mask_ratio: fraction of hidden patches, in (0, 1).
    """
    rows, columns = grid
    draws = uniforms(seeds, 4 * _RECTANGLES + 1, stream=_STREAM)
    inside = []
    for axis, length in enumerate((rows, columns)):
        fraction, position = (draws[:, (2 * axis + part) * _RECTANGLES :][:, :_RECTANGLES, None] for part in (0, 1))
        side = ((0.2 + 0.3 * fraction) * length).round().clamp(min=1)
        start = (position * (length - side + 1)).floor()
        places = torch.arange(length, device=seeds.device)
        inside.append((places >= start) & (places < start + side))
    covered = inside[0][:, :, :, None] & inside[1][:, :, None, :]
    number = torch.arange(_RECTANGLES, device=seeds.device).view(1, -1, 1, 1)
    # Patches outside all rectangles come last, row by row from a random row, so that enough patches are always hidden.
    first = torch.where(covered, number, _RECTANGLES).amin(dim=1).flatten(1)
    shifted = (torch.arange(rows * columns, device=seeds.device) + (draws[:, -1:] * rows).floor() * columns) % (
        rows * columns
    )
    within = torch.where(first == _RECTANGLES, shifted, torch.arange(rows * columns, device=seeds.device))
    return _hide_first(first + within / (rows * columns), mask_ratio)


def tube_mask(seeds: Tensor, frames: int, patches: int, mask_ratio: float) -> Mask:
    """Hide the same patches in every frame of a clip (Tong et al., 2022).

    Args:
        seeds: one seed per clip, int64 [B].
        frames: number of time slices of the token grid.
        patches: number of patches per time slice, of which round(mask_ratio * patches) are hidden.
        mask_ratio: fraction of hidden patches, in (0, 1).
    """
    return _repeated(random_mask(seeds, patches, mask_ratio), frames, patches)


def _repeated(one: Mask, frames: int, patches: int) -> Mask:
    """Return the mask of a clip, in which the mask ``one`` is repeated in every time slice."""
    start = torch.arange(frames, device=one.hidden.device).view(1, -1, 1) * patches
    return Mask(*((patch.unsqueeze(1) + start).flatten(1) for patch in (one.visible, one.hidden)))


def guided_mask(
    seeds: Tensor, images: Tensor, grid: tuple[int, int], mask_ratio: float, *, textured: bool = True
) -> Mask:
    """Hide strongly textured patches, or flat patches, with a higher probability (our own strategy).

    The texture of a patch is the standard deviation of its gray values. The rank of a patch among the N patches of the
    image, divided by N, is added to a uniform random number, and the patches with the largest sums are hidden. The most
    textured patch is therefore always hidden before the flattest patch, whereas patches with similar ranks are hidden
    in random order.

    Args:
        seeds: one seed per image, int64 [B].
        images: clean view [B, 3, H, W] with values from 0 to 255; H and W must be multiples of the grid.
        grid: number of rows and columns of patches.
        mask_ratio: fraction of hidden patches, in (0, 1).
        textured: whether to prefer strongly textured patches; if false, flat patches are preferred.
    """
    gray = images.float().mean(dim=1)
    rows, columns = grid
    height, width = gray.shape[1] // rows, gray.shape[2] // columns
    patches = gray.view(len(gray), rows, height, columns, width).transpose(2, 3).flatten(3).flatten(1, 2)
    rank = patches.std(dim=-1).argsort(dim=1, stable=True).argsort(dim=1) / (rows * columns)
    preferred = rank if textured else 1 - rank
    return _hide_first(-(uniforms(seeds, rows * columns, stream=_STREAM) + preferred), mask_ratio)


PARTS = {
    "eyes": (0.2, 0.37, 0.8, 0.54),
    "nose": (0.38, 0.54, 0.62, 0.67),
    "mouth": (0.32, 0.67, 0.68, 0.84),
}
"""Left, top, right and bottom of facial parts, as fractions of a face that was aligned by ``prepare`` with the default
margin of 0.3. The rest of the image is the part "skin"."""


def part_of_patches(grid: tuple[int, int], to_source: Tensor) -> Tensor:
    """Return the facial part at the center of each patch, int64 [B, N]: an index into PARTS, or len(PARTS) for skin.

    Args:
        grid: number of rows and columns of patches.
        to_source: affine maps, float [B, 2, 3], from a position (x, y, 1) in the view to the corresponding position in
            the aligned face, both as fractions of width and height.
    """
    rows, columns = grid
    y, x = torch.meshgrid(torch.arange(rows) + 0.5, torch.arange(columns) + 0.5, indexing="ij")
    centers = torch.stack([x.flatten() / columns, y.flatten() / rows, torch.ones(rows * columns)])
    across, down = (to_source.float() @ centers.to(to_source.device)).unbind(1)
    part = torch.full(across.shape, len(PARTS), dtype=torch.int64, device=across.device)
    for number, (left, top, right, bottom) in enumerate(PARTS.values()):
        inside = (across >= left) & (across < right) & (down >= top) & (down < bottom)
        part = torch.where(inside, number, part)
    return part


def parts_mask(seeds: Tensor, grid: tuple[int, ...], mask_ratio: float, to_source: Tensor | None = None) -> Mask:
    """Hide entire facial parts of aligned faces (after MARLIN, Cai et al., 2023, with parts from a template).

    The parts eyes, nose, mouth and skin (the rest of the image) are hidden in random order. In the last part, patches
    are drawn at random until the required number of patches is hidden, so that all images have the same number of
    hidden patches. In a clip, the same patches are hidden in every frame.

    Args:
        seeds: one seed per image or clip, int64 [B].
        grid: number of rows and columns of patches, preceded by the number of time slices for clips.
        mask_ratio: fraction of hidden patches, in (0, 1).
        to_source: affine maps of :func:`part_of_patches`, or None if the view is the aligned face.
    """
    if to_source is None:
        to_source = torch.eye(2, 3, device=seeds.device).expand(len(seeds), -1, -1)
    part = part_of_patches((grid[-2], grid[-1]), to_source)
    draws = uniforms(seeds, len(PARTS) + 1 + part.shape[1], stream=_STREAM)
    turn = draws[:, : len(PARTS) + 1].argsort(dim=1).argsort(dim=1)
    one = _hide_first(turn.gather(1, part) + draws[:, len(PARTS) + 1 :], mask_ratio)
    return _repeated(one, grid[0], part.shape[1]) if len(grid) == 3 else one


def make_mask(
    strategy: str,
    seeds: Tensor,
    grid: tuple[int, ...],
    mask_ratio: float,
    images: Callable[[], Tensor],
    *,
    to_source: Tensor | None = None,
) -> Mask:
    """Return the masks of a batch for the masking strategy of a recipe.

    Args:
        strategy: ``random``, ``block``, ``tube``, ``textured``, ``flat`` or ``parts``; ``tube`` applies only to clips.
        seeds: one seed per image or clip, int64 [B].
        grid: number of rows and columns of patches, preceded by the number of time slices for clips.
        mask_ratio: fraction of hidden patches, in (0, 1).
        images: function that returns the clean view; it is called only for strategies that need this view.
        to_source: for ``parts``, affine maps of :func:`part_of_patches`, or None if the view is the aligned face.
    """
    if strategy == "parts":
        return parts_mask(seeds, grid, mask_ratio, to_source)
    if strategy == "tube":
        return tube_mask(seeds, grid[0], grid[1] * grid[2], mask_ratio)
    if strategy == "block":
        return block_mask(seeds, (grid[0], grid[1]), mask_ratio)
    if strategy in ("textured", "flat"):
        return guided_mask(seeds, images(), (grid[0], grid[1]), mask_ratio, textured=strategy == "textured")
    patches = int(torch.Size(grid).numel())
    return random_mask(seeds, patches, mask_ratio)


def _hide_first(rank: Tensor, mask_ratio: float) -> Mask:
    """Hide the round(mask_ratio * N) patches with the lowest ``rank`` [B, N]."""
    order = rank.argsort(dim=1)
    hidden = hidden_count(rank.shape[1], mask_ratio)
    return Mask(visible=order[:, hidden:].sort(dim=1).values, hidden=order[:, :hidden].sort(dim=1).values)
