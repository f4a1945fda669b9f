"""Self-blended images (Shiohara and Yamasaki, 2022), for training a forgery detector on real faces only.

A copy of a real face is changed slightly in color and sharpness, shifted by one or two pixels, and blended back into
the image with a soft mask. This leaves the traces common to face swaps: a seam, and two regions with different
image statistics. The paper derives the mask from the convex hull of 68 landmarks. Here, the mask is a randomly deformed
ellipse around the center of the image, because face crops have a fixed geometry.

Training images are blended again in every epoch, and validation images only once. Weights, thresholds and calibration
are therefore chosen without any real forgery. The test split is not changed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as functional
from torch import Tensor

from auxface.data.augment.geometry import resize, warp
from auxface.data.augment.photometric import blur, jitter, sharpen
from auxface.data.manifest import Label, Manifest
from auxface.data.random import sample_seeds, uniforms
from auxface.errors import InputError
from auxface.recipe import SelfBlend

_BLEND_RATIOS = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)
_STREAM = 7
_WAVES = 5
_CHUNK = 256


@dataclass(frozen=True)
class Blended:
    """A batch in which some images are blended with themselves.

    Attributes:
        images: RGB images, uint8 [B, 3, S, S].
        forged: whether each image is blended, bool [B].
        masks: weight of the inner face at each pixel, float32 [B, 1, S, S] in 0..1; 0 for real images.
    """

    images: Tensor
    forged: Tensor
    masks: Tensor


def self_blend(images: Tensor, seeds: Tensor, *, fraction: float = 0.5) -> Blended:
    """Blend a fraction of real face images with themselves, leaving the others unchanged.

    Call this function before making the views, so that both views and all texture targets contain the forgery.

    Args:
        images: RGB images of real faces, all cropped with the same settings, uint8 [B, 3, S, S].
        seeds: seeds of the images, int64 [B]; a row depends only on its own seed.
        fraction: probability that an image is blended.
    """
    chance = uniforms(seeds, 20 + 2 * _WAVES, stream=_STREAM)
    forged = chance[:, 0] < fraction
    rows = forged.nonzero()[:, 0]
    result, masks = images.clone(), torch.zeros_like(images[:, :1], dtype=torch.float32)
    if len(rows):
        blended, mask = _blend(images[rows].float() / 255, chance[rows, 1:])
        result[rows] = (blended * 255).round().clamp(0, 255).to(torch.uint8)
        masks[rows] = mask
    return Blended(result, forged, masks)


def _blend(images: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
    size = images.shape[-1]
    changed = _change(images, chance[:, :6])
    # Either the inner or the outer face is changed.
    swap = (chance[:, 6] < 0.5)[:, None, None, None]
    inner, outer = torch.where(swap, images, changed), torch.where(swap, changed, images)

    masks = _masks(chance[:, 7:10], chance[:, 19:], size)
    scale = 0.95 + 0.1 * chance[:, 10]
    zero = torch.zeros_like(scale)
    across, down = 0.03 * (2 * chance[:, 11] - 1), 0.015 * (2 * chance[:, 12] - 1)
    maps = torch.stack([scale, zero, 2 * across, zero, scale, 2 * down, zero, zero, zero + 1], 1).view(-1, 3, 3)
    inner = warp(inner, maps, 0.5)
    masks = warp(masks, maps, 0.0)

    masks = blur(masks, size * (0.01 + 0.05 * chance[:, 13]))
    # The mask reaches its maximum inside the face, never at the border of the image.
    masks = masks / masks.amax((2, 3), keepdim=True).clamp(min=1e-6)
    ratios = torch.tensor(_BLEND_RATIOS, device=masks.device)[(chance[:, 14] * len(_BLEND_RATIOS)).long()]
    masks = masks * ratios[:, None, None, None]
    return masks * inner + (1 - masks) * outer, masks


def _change(images: Tensor, chance: Tensor) -> Tensor:
    """Change colors and sharpen or soften images, as a different camera or codec would."""
    size = images.shape[-1]
    changed = jitter(images, 0.8 + 0.4 * chance[:, :3])
    shift = 0.08 * (2 * chance[:, 3:6] - 1)
    changed = (changed + shift[:, :, None, None]).clamp(0, 1)
    coarse = resize(resize(changed, max(1, size // 2)), size)
    sharp = sharpen(changed, torch.full((len(changed),), 1.6, device=changed.device))
    return torch.where((chance[:, 0] < chance[:, 1])[:, None, None, None], sharp, coarse)


def _masks(chance: Tensor, waves: Tensor, size: int) -> Tensor:
    """Return randomly deformed ellipses with soft borders, float32 [B, 1, S, S]."""
    at = (torch.arange(size, device=chance.device) + 0.5) / size * 2 - 1
    y, x = at[None, :, None], at[None, None, :]
    wide = (0.42 + 0.2 * chance[:, 0])[:, None, None]
    # Some masks cover only the lower face, as in lip-sync forgeries.
    high = (0.38 + 0.37 * chance[:, 1])[:, None, None]
    middle = (0.1 + 0.3 * (chance[:, 2] - 0.3))[:, None, None]
    angle = torch.atan2((y - middle) / high, x / wide)
    reach = torch.ones_like(angle)
    for wave in range(_WAVES):
        size_of, phase = waves[:, 2 * wave], waves[:, 2 * wave + 1] * 2 * math.pi
        bend = 0.16 / (wave + 1) * (2 * size_of - 1)
        reach = reach + bend[:, None, None] * torch.cos((wave + 2) * angle + phase[:, None, None])
    distance = ((x / wide) ** 2 + ((y - middle) / high) ** 2).sqrt()
    return functional.relu(torch.tanh((reach - distance) * 8))[:, None]


def real_faces(manifest: Manifest, options: SelfBlend) -> Manifest:
    """Return the manifest for training, without forgeries outside the test split, and with the label if it is missing.

    If the manifest does not have the label, all rows are assumed to be real. Outside the test split, rows without a
    value for the label are also removed.

    Args:
        manifest: manifest of real and possibly forged faces.
        options: ``train.self_blend`` section of the recipe.

    Raises:
        InputError: the label is not binary, or the training or validation split has no real faces.
    """
    name = options.label
    if name not in manifest.labels:
        if name in manifest.table:
            raise InputError(
                f"train.self_blend: column '{name}' of the manifest is not a label; set train.self_blend.label to "
                "another name"
            )
        real = manifest.table.assign(**{name: pd.array([0] * len(manifest.table), dtype="Int64")})
        return replace(manifest, table=real, labels={**manifest.labels, name: Label("binary", ("real", "fake"))})
    if manifest.labels[name].kind != "binary":
        raise InputError(
            f"train.self_blend: label '{name}' has kind {manifest.labels[name].kind}; expected a binary label"
        )
    table = manifest.table
    kept = (table["split"] == "test") | (table[name] == 0).fillna(False).astype(bool)
    for split in ("train", "val"):
        if (table["split"] == split).any() and not (kept & (table["split"] == split)).any():
            raise InputError(
                f"train.self_blend: split '{split}' has no real face ({name} 0) to blend; add real faces to this split"
            )
    return replace(manifest, table=table[kept].reset_index(drop=True))


def blend_batch(
    images: Tensor, labels: Mapping[str, Tensor], seeds: Tensor, options: SelfBlend
) -> tuple[Tensor, dict[str, Tensor]]:
    """Blend a fraction of real images with themselves and return them with updated labels.

    Args:
        images: RGB images of real faces, uint8 [B, 3, S, S].
        labels: labels by task; the entry ``options.label``, float [B], is replaced.
        seeds: seeds of the images, int64 [B]; a row depends only on its own seed.
        options: ``train.self_blend`` section of the recipe.
    """
    blended = self_blend(images, seeds, fraction=options.fraction)
    return blended.images, {**labels, options.label: blended.forged.float()}


def blend_validation(
    images: np.ndarray, labels: Mapping[str, Tensor], seed: int, options: SelfBlend
) -> tuple[np.ndarray, dict[str, Tensor]]:
    """Blend a fraction of the validation images with themselves and return them with updated labels.

    Args:
        images: RGB images of real faces, uint8 [N, 3, S, S].
        labels: labels of length N by task; the entry ``options.label`` is replaced.
        seed: seed of the run; equal seeds give equal images.
        options: ``train.self_blend`` section of the recipe.
    """
    seeds = sample_seeds(seed, -1, torch.arange(len(images)))
    result = np.empty(images.shape, np.uint8)
    forged = torch.zeros(len(images))
    for start in range(0, len(images), _CHUNK):
        rows = slice(start, start + _CHUNK)
        blended = self_blend(torch.from_numpy(np.array(images[rows])), seeds[rows], fraction=options.fraction)
        result[rows], forged[rows] = blended.images.numpy(), blended.forged.float()
    return result, {**labels, options.label: forged}
