"""What a joint model makes of each patch that it cannot see, and how wrong that is: its reconstruction surprise.

Figures of what the auxiliary task does: image, what was hidden, the target, what the decoder makes of it.
"""

import io
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from auxface.encoders import Mask, VideoEncoder
from auxface.encoders.masking import hidden_count
from auxface.model.joint import JointModel
from auxface.objectives import Batch, Reconstruction
from auxface.objectives.reconstruction.reconstruction import Rebuilt
from auxface.objectives.reconstruction.targets import target_maps, unpatchify
from auxface.recipe import Target

_HIDDEN_GRAY = 0.82
_TITLE = 18


@torch.inference_mode()
def rebuilt_figure(model: JointModel, images: np.ndarray, seeds: Sequence[int]) -> bytes | None:
    """A PNG with a row per image and, per target, what was wanted and what was rebuilt.

    The rebuilt map is the raw decoder output for every patch, hidden and visible alike; nothing of the true map is
    pasted into it.

    Args:
        model: a joint model.
        images: uint8 [N, 3, S, S] at the model's input size, or clips [N, T, 3, S, S], of which a frame near the
            middle is shown.
        seeds: one per image; they decide what is hidden.

    Returns:
        None for a model without a reconstruction.
    """
    if "reconstruction" not in model.auxiliaries:
        return None
    auxiliary = model.auxiliaries["reconstruction"]
    assert isinstance(auxiliary, Reconstruction)
    device = next(model.parameters()).device
    clean = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    batch = Batch(clean.float() / 255, clean, {}, torch.tensor(list(seeds), dtype=torch.int64, device=device))
    results = auxiliary.rebuild(model.encoder, batch)
    hidden = results[0].mask.boolean()
    if isinstance(model.encoder, VideoEncoder):
        part = clean.shape[1] // model.encoder.tubelet // 2
        clean = clean[:, part * model.encoder.tubelet]
        hidden = hidden.unflatten(1, (model.encoder.grid[0], -1))[:, part]
        results = [_of_frame(result, model.encoder, part) for result in results]
    columns: list[tuple[str, Tensor]] = [("image", clean.float() / 255)]
    columns.append(("what the encoder saw", _masked(model, clean, hidden)))
    for result in results:
        name = result.target.name.replace("_", " ")
        columns.append((f"{name}: target", as_image(model, result.target, result.wanted)))
        columns.append((f"{name}: rebuilt", as_image(model, result.target, result.predicted)))
    return _draw(columns)


def as_image(model: JointModel, target: Target, patches: Tensor) -> Tensor:
    """Target patches [B, N, values] to something to look at, float in [0, 1], [B, 3, H, W].

    RGB is put back to its scale. Bits become the expected code over the largest code, histograms the expected code of
    the patch; of a descriptor with several maps the first is shown.
    """
    encoder = model.encoder
    grid = (encoder.grid[-2], encoder.grid[-1])
    if target.name == "rgb":
        maps = unpatchify(patches, grid, encoder.patch_size) * encoder.std + encoder.mean
        return maps.clamp(0, 1)
    count = target_maps(target)
    if target.encoding == "histogram":
        bins = patches[..., : patches.shape[-1] // count]
        expected = (bins * torch.linspace(0, 1, bins.shape[-1], device=bins.device)).sum(dim=-1)
        side = encoder.patch_size
        maps = expected.view(-1, 1, *grid).repeat_interleave(side, 2).repeat_interleave(side, 3)
    else:
        maps = unpatchify(patches, grid, encoder.patch_size)
        maps = maps[:, : maps.shape[1] // count]
        if target.encoding == "bits":
            weights = 2.0 ** torch.arange(maps.shape[1], device=maps.device)
            maps = (maps * (weights / weights.sum()).view(1, -1, 1, 1)).sum(dim=1, keepdim=True)
    return maps[:, :1].clamp(0, 1).expand(-1, 3, -1, -1)


def _of_frame(result: Rebuilt, encoder: VideoEncoder, part: int) -> Rebuilt:
    """The first frame of one time slice of a clip, as of an image."""
    wanted, predicted = (
        values.unflatten(1, (encoder.grid[0], -1))[:, part].unflatten(-1, (encoder.tubelet, -1))[..., 0, :]
        for values in (result.wanted, result.predicted)
    )
    return replace(result, wanted=wanted, predicted=predicted)


def _masked(model: JointModel, clean: Tensor, hidden: Tensor) -> Tensor:
    side = model.encoder.patch_size
    hidden = hidden.view(-1, 1, *model.encoder.grid[-2:])
    hidden = hidden.repeat_interleave(side, 2).repeat_interleave(side, 3)
    return torch.where(hidden, torch.tensor(_HIDDEN_GRAY, device=clean.device), clean.float() / 255)


def _draw(columns: list[tuple[str, Tensor]]) -> bytes:
    rows = len(columns[0][1])
    with matplotlib.rc_context({"font.size": 8, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(1.25 * len(columns), 1.25 * rows + 0.6), dpi=110)
        axes = figure.subplots(rows, len(columns), squeeze=False)
        for place, (name, images) in enumerate(columns):
            axes[0][place].set_title("\n".join(textwrap.wrap(name, _TITLE)))
            for row in range(rows):
                axes[row][place].imshow(images[row].permute(1, 2, 0).cpu().numpy(), interpolation="nearest")
                axes[row][place].axis("off")
        figure.subplots_adjust(
            left=0.005, right=0.995, bottom=0.005, top=1 - 0.6 / (1.25 * rows + 0.6), wspace=0.04, hspace=0.04
        )
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


_LEAST_MASKS = 8


@dataclass(frozen=True)
class Surprise:
    """One target of B faces, wanted and rebuilt from what was visible, and the error of each patch.

    Attributes:
        target: what was rebuilt.
        wanted: float [B, 3, S, S] in [0, 1], to look at.
        rebuilt: likewise; every patch as rebuilt while it was hidden, averaged over the masks that hid it.
        error: float [B, rows, columns], averaged likewise; in ``unit``.
        unit: what the error is counted in.
    """

    target: Target
    wanted: Tensor
    rebuilt: Tensor
    error: Tensor
    unit: str


@torch.no_grad()
def reconstruction_surprise(model: JointModel, images: Tensor, *, seed: int = 0) -> list[Surprise]:
    """Hide every patch at least once, under several masks, and measure what the decoder makes of it.

    Args:
        model: in evaluation mode.
        images: uint8 [B, 3, S, S].
        seed: of the masks.

    Returns:
        One per target; empty for a model without a reconstruction.
    """
    if "reconstruction" not in model.auxiliaries:
        return []
    auxiliary = model.auxiliaries["reconstruction"]
    assert isinstance(auxiliary, Reconstruction)
    masks = covering_masks(auxiliary.patches, auxiliary.options.mask_ratio, seed)
    sums: dict[str, list[Tensor]] = {}
    last = {}
    for mask in masks:
        device = images.device
        whole = Mask(*(part.to(device).expand(len(images), -1) for part in (mask.visible, mask.hidden)))
        seeds = torch.zeros(len(images), dtype=torch.int64, device=device)
        batch = Batch(images.float() / 255, images, {}, seeds)
        for result in auxiliary.rebuild(model.encoder, batch, whole):
            hidden = result.mask.boolean().unsqueeze(-1)
            error = _error(result.target, result.wanted, result.predicted, model).unsqueeze(-1)
            parts = (torch.where(hidden, result.predicted, 0), torch.where(hidden, error, 0), hidden.float())
            have = sums.setdefault(result.target.name, [torch.zeros_like(part) for part in parts])
            for total, part in zip(have, parts, strict=True):
                total += part
            last[result.target.name] = result
    made = []
    for name, (predicted, error, count) in sums.items():
        target = last[name].target
        made.append(
            Surprise(
                target,
                as_image(model, target, last[name].wanted),
                as_image(model, target, predicted / count.clamp(min=1)),
                (error / count.clamp(min=1)).view(len(images), *model.encoder.grid),
                _unit(target, auxiliary.options.normalize_target),
            )
        )
    return made


def covering_masks(patches: int, mask_ratio: float, seed: int) -> list[Mask]:
    """At least eight masks of one row each, all hiding the recipe's share, that together hide every patch.

    Each random order of the patches is passed through by a window of what is hidden, evenly, so that all patches are
    hidden about as often.
    """
    hidden = hidden_count(patches, mask_ratio)
    count = max(_LEAST_MASKS, math.ceil(patches / hidden))
    order = torch.randperm(patches, generator=torch.Generator().manual_seed(seed))
    made = []
    for number in range(count):
        start = round(number * patches / count)
        turned = order.roll(-start)
        made.append(Mask(turned[hidden:].sort().values.unsqueeze(0), turned[:hidden].sort().values.unsqueeze(0)))
    return made


def _error(target: Target, wanted: Tensor, predicted: Tensor, model: JointModel) -> Tensor:
    """[B, N]: bits for codes, root mean square otherwise."""
    if target.encoding == "bits":
        predicted = predicted.clamp(1e-6, 1 - 1e-6)
        return -(wanted * predicted.log2() + (1 - wanted) * (1 - predicted).log2()).mean(dim=-1)
    if target.encoding == "histogram":
        ratio = (wanted.clamp(min=1e-9) / predicted.clamp(min=1e-9)).log2()
        return (wanted * ratio).sum(dim=-1) / target_maps(target)
    difference = predicted - wanted
    if target.name == "rgb":
        scale = 255 * model.encoder.std.flatten().to(difference.device)
        difference = difference * scale.repeat(difference.shape[-1] // 3)
    return difference.square().mean(dim=-1).sqrt()


def _unit(target: Target, normalized: bool) -> str:
    if target.encoding == "bits":
        return "bits per bit of code (1: a coin's toss)"
    if target.encoding == "histogram":
        return "bits between histograms"
    if target.name == "rgb" and not normalized:
        return "gray levels of 255, root mean square"
    return "root mean square error"
