"""What a joint model makes of each patch that it cannot see, and how wrong that is: its reconstruction surprise."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from auxface.encoders import Mask
from auxface.encoders.masking import hidden_count
from auxface.inference.rebuilt import as_picture
from auxface.model.joint import JointModel
from auxface.objectives import Batch, Reconstruction
from auxface.objectives.targets import target_maps
from auxface.recipe import Target

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
def reconstruction_surprise(model: JointModel, pictures: Tensor, *, seed: int = 0) -> list[Surprise]:
    """Hide every patch at least once, under several masks, and measure what the decoder makes of it.

    Args:
        model: in evaluation mode.
        pictures: uint8 [B, 3, S, S].
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
        device = pictures.device
        whole = Mask(*(part.to(device).expand(len(pictures), -1) for part in (mask.visible, mask.hidden)))
        seeds = torch.zeros(len(pictures), dtype=torch.int64, device=device)
        batch = Batch(pictures.float() / 255, pictures, {}, seeds)
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
                as_picture(model, target, last[name].wanted),
                as_picture(model, target, predicted / count.clamp(min=1)),
                (error / count.clamp(min=1)).view(len(pictures), *model.encoder.grid),
                _unit(target, auxiliary.options.normalise_target),
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


def _unit(target: Target, normalised: bool) -> str:
    if target.encoding == "bits":
        return "bits per bit of code (1: a coin's toss)"
    if target.encoding == "histogram":
        return "bits between histograms"
    if target.name == "rgb" and not normalised:
        return "grey levels of 255, root mean square"
    return "root mean square error"
