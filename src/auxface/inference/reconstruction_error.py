"""Reconstructions of hidden patches by a joint model, and the reconstruction errors of all patches.

Each patch is hidden by one or more of at least eight masks, so its reconstruction depends only on other patches.

Example::

    for result in reconstruction_errors(model, images):
        result.target.name, result.error, result.unit
"""

import io
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from auxface.encoders import Mask, VideoEncoder
from auxface.encoders.masking import hidden_count
from auxface.model.joint import JointModel
from auxface.objectives import Batch, Reconstruction
from auxface.objectives.reconstruction.masked_autoencoder import Reconstructed
from auxface.objectives.reconstruction.targets import target_maps, unpatchify
from auxface.recipe import Target

_MIN_MASKS = 8
_HIDDEN_GRAY = 0.82
_TITLE_WIDTH = 18


@dataclass(frozen=True)
class ReconstructionError:
    """One reconstruction target of B faces, its reconstruction from the visible patches, and the error of each patch.

    Attributes:
        target: reconstruction target of the model.
        target_image: target as an image in [0, 1], float [B, 3, S, S].
        reconstruction: reconstruction as an image in [0, 1], float [B, 3, S, S], where each patch was reconstructed
            while hidden and averaged over the masks that hide it.
        error: error of each patch in ``unit``, averaged in the same way, float [B, rows, columns].
        unit: unit of the error.
    """

    target: Target
    target_image: Tensor
    reconstruction: Tensor
    error: Tensor
    unit: str


@torch.no_grad()
def reconstruction_errors(model: JointModel, images: Tensor, *, seed: int = 0) -> list[ReconstructionError]:
    """Measure the reconstruction error of each patch while it is hidden, over several masks that cover all patches.

    Args:
        model: joint model in evaluation mode.
        images: face crops, uint8 [B, 3, S, S].
        seed: seed of the masks.

    Returns:
        One result per target; empty for a model without reconstruction.
    """
    if "reconstruction" not in model.auxiliaries:
        return []
    auxiliary = model.auxiliaries["reconstruction"]
    assert isinstance(auxiliary, Reconstruction)
    sums: dict[str, list[Tensor]] = {}
    last: dict[str, Reconstructed] = {}
    for mask in covering_masks(auxiliary.patches, auxiliary.options.mask_ratio, seed):
        device = images.device
        expanded = Mask(*(part.to(device).expand(len(images), -1) for part in (mask.visible, mask.hidden)))
        seeds = torch.zeros(len(images), dtype=torch.int64, device=device)
        batch = Batch(primary=images.float() / 255, clean=images, labels={}, seeds=seeds)
        for result in auxiliary.reconstruct(model.encoder, batch, expanded):
            hidden = result.mask.boolean().unsqueeze(-1)
            error = _patch_errors(result.spec, result.target, result.prediction, model).unsqueeze(-1)
            parts = (torch.where(hidden, result.prediction, 0), torch.where(hidden, error, 0), hidden.float())
            totals = sums.setdefault(result.spec.key, [torch.zeros_like(part) for part in parts])
            for total, part in zip(totals, parts, strict=True):
                total += part
            last[result.spec.key] = result
    made = []
    for name, (predicted, error, count) in sums.items():
        target = last[name].spec
        made.append(
            ReconstructionError(
                target,
                patches_to_image(model, target, last[name].target),
                patches_to_image(model, target, predicted / count.clamp(min=1)),
                (error / count.clamp(min=1)).view(len(images), *model.encoder.grid),
                _unit(target, auxiliary.options.normalize_target),
            )
        )
    return made


def covering_masks(patches: int, mask_ratio: float, seed: int) -> list[Mask]:
    """Return at least eight masks that together hide every patch, each with the recipe's fraction of hidden patches.

    A window moves in equal steps over a random permutation of the patches, so that all patches are hidden about equally
    often.

    Args:
        patches: number of patches.
        mask_ratio: fraction of patches that each mask hides.
        seed: seed of the permutation.

    Returns:
        The masks, with one row each.
    """
    hidden = hidden_count(patches, mask_ratio)
    count = max(_MIN_MASKS, math.ceil(patches / hidden))
    order = torch.randperm(patches, generator=torch.Generator().manual_seed(seed))
    masks = []
    for number in range(count):
        rolled = order.roll(-round(number * patches / count))
        masks.append(Mask(rolled[hidden:].sort().values.unsqueeze(0), rolled[:hidden].sort().values.unsqueeze(0)))
    return masks


def _patch_errors(target: Target, expected: Tensor, predicted: Tensor, model: JointModel) -> Tensor:
    """Return the error of each patch, [B, N], in bits for codes and histograms, otherwise as the root mean square."""
    if target.encoding == "bits":
        predicted = predicted.clamp(1e-6, 1 - 1e-6)
        return -(expected * predicted.log2() + (1 - expected) * (1 - predicted).log2()).mean(dim=-1)
    if target.encoding == "histogram":
        ratio = (expected.clamp(min=1e-9) / predicted.clamp(min=1e-9)).log2()
        return (expected * ratio).sum(dim=-1) / target_maps(target)
    difference = predicted - expected
    if target.name == "rgb":
        scale = 255 * model.encoder.std.flatten().to(difference.device)
        difference = difference * scale.repeat(difference.shape[-1] // 3)
    return difference.square().mean(dim=-1).sqrt()


def _unit(target: Target, normalized: bool) -> str:
    if target.encoding == "bits":
        return "bits per bit of code (1: random guessing)"
    if target.encoding == "histogram":
        return "bits (KL divergence of histograms)"
    if target.name == "rgb" and not normalized:
        return "gray levels (0 to 255), root mean square"
    return "root mean square error"


@torch.inference_mode()
def reconstruction_figure(model: JointModel, images: np.ndarray, seeds: Sequence[int]) -> bytes | None:
    """Return a PNG image with one row per image: visible patches and, for each target, the target and reconstruction.

    The reconstruction is the raw decoder output for all patches, hidden or visible; no part of the target is copied
    into it.

    Args:
        model: a joint model.
        images: images at the model's input size, uint8 [N, 3, S, S], or video clips, uint8 [N, T, 3, S, S], of which a
            frame near the middle is shown.
        seeds: seed of each image, which determines the hidden patches.

    Returns:
        The PNG image; None for a model without reconstruction.
    """
    if "reconstruction" not in model.auxiliaries:
        return None
    auxiliary = model.auxiliaries["reconstruction"]
    assert isinstance(auxiliary, Reconstruction)
    device = next(model.parameters()).device
    clean = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    number = torch.tensor(list(seeds), dtype=torch.int64, device=device)
    batch = Batch(primary=clean.float() / 255, clean=clean, labels={}, seeds=number)
    results = auxiliary.reconstruct(model.encoder, batch)
    hidden = results[0].mask.boolean()
    if isinstance(model.encoder, VideoEncoder):
        part = clean.shape[1] // model.encoder.tubelet // 2
        clean = clean[:, part * model.encoder.tubelet]
        hidden = hidden.unflatten(1, (model.encoder.grid[0], -1))[:, part]
        results = [_one_frame(result, model.encoder, part) for result in results]
    columns: list[tuple[str, Tensor]] = [("image", clean.float() / 255)]
    columns.append(("visible patches", _masked_image(model, clean, hidden)))
    for result in results:
        name = result.spec.key.replace("_", " ")
        columns.append((f"{name}: target", patches_to_image(model, result.spec, result.target)))
        columns.append((f"{name}: reconstructed", patches_to_image(model, result.spec, result.prediction)))
    return _draw_grid(columns)


def patches_to_image(model: JointModel, target: Target, patches: Tensor) -> Tensor:
    """Convert target patches [B, N, values] to images in [0, 1], float [B, 3, H, W].

    RGB is denormalized. Bits are converted to the expected code divided by the largest code, and a histogram is
    converted to the expected code of its patch. For a descriptor with several maps, the first map is used.
    """
    encoder = model.encoder
    grid = (encoder.grid[-2], encoder.grid[-1])
    side = encoder.patch_size // target.scale
    if target.name == "rgb":
        maps = unpatchify(patches, grid, side) * encoder.std + encoder.mean
        return _enlarge(maps.clamp(0, 1), target.scale)
    count = target_maps(target)
    if target.encoding == "histogram":
        bins = patches[..., : patches.shape[-1] // count]
        expected = (bins * torch.linspace(0, 1, bins.shape[-1], device=bins.device)).sum(dim=-1)
        maps = _enlarge(expected.view(-1, 1, *grid), side)
    else:
        maps = unpatchify(patches, grid, side)
        maps = maps[:, : maps.shape[1] // count]
        if target.encoding == "bits":
            weights = 2.0 ** torch.arange(maps.shape[1], device=maps.device)
            maps = (maps * (weights / weights.sum()).view(1, -1, 1, 1)).sum(dim=1, keepdim=True)
    return _enlarge(maps[:, :1].clamp(0, 1), target.scale).expand(-1, 3, -1, -1)


def _enlarge(maps: Tensor, factor: int) -> Tensor:
    return maps.repeat_interleave(factor, 2).repeat_interleave(factor, 3)


def _one_frame(result: Reconstructed, encoder: VideoEncoder, part: int) -> Reconstructed:
    """Return the first frame of one temporal slice of a clip, in the form of a reconstructed image."""
    expected, predicted = (
        values.unflatten(1, (encoder.grid[0], -1))[:, part].unflatten(-1, (encoder.tubelet, -1))[..., 0, :]
        for values in (result.target, result.prediction)
    )
    return replace(result, target=expected, prediction=predicted)


def _masked_image(model: JointModel, clean: Tensor, hidden: Tensor) -> Tensor:
    side = model.encoder.patch_size
    hidden = hidden.view(-1, 1, *model.encoder.grid[-2:])
    hidden = hidden.repeat_interleave(side, 2).repeat_interleave(side, 3)
    return torch.where(hidden, torch.tensor(_HIDDEN_GRAY, device=clean.device), clean.float() / 255)


def _draw_grid(columns: list[tuple[str, Tensor]]) -> bytes:
    import matplotlib
    from matplotlib.figure import Figure

    rows = len(columns[0][1])
    with matplotlib.rc_context({"font.size": 8, "font.family": "DejaVu Sans", "text.parse_math": False}):
        figure = Figure(figsize=(1.25 * len(columns), 1.25 * rows + 0.6), dpi=110)
        axes = figure.subplots(rows, len(columns), squeeze=False)
        for column, (name, images) in enumerate(columns):
            axes[0][column].set_title("\n".join(textwrap.wrap(name, _TITLE_WIDTH)))
            for row in range(rows):
                axes[row][column].imshow(images[row].permute(1, 2, 0).cpu().numpy(), interpolation="nearest")
                axes[row][column].axis("off")
        figure.subplots_adjust(
            left=0.005, right=0.995, bottom=0.005, top=1 - 0.6 / (1.25 * rows + 0.6), wspace=0.04, hspace=0.04
        )
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return buffer.getvalue()
