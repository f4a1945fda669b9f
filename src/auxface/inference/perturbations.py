"""What images can meet before a model sees them, by name: common corruptions, codecs, occlusion, attacks.

Images changed by someone who knows the model: the smallest steps of pixels that raise its loss the most.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from auxface.data.corruptions import SEVERITIES, corrupt, corruptions
from auxface.data.random import uniforms
from auxface.data.video.h264 import RATE_FACTORS, compress_h264
from auxface.errors import InputError
from auxface.evaluation.robustness import COMMON_CORRUPTIONS
from auxface.model.joint import JointModel
from auxface.objectives.classification import row_losses
from auxface.plugins import nearest

ATTACKS = ("fgsm", "pgd")
BOUNDS = (1, 2, 4)
"""Largest change of any pixel, in steps of 255."""
_STEPS = 10
_STREAM = 0x61747461


def attack(
    model: JointModel, images: Tensor, labels: dict[str, Tensor], seeds: Tensor, *, name: str, bound: int
) -> Tensor:
    """Images attacked through the sum of the losses of all tasks, as they would be stored, in whole numbers.

    ``fgsm``: one step of the sign of the gradient (Goodfellow, Shlens and Szegedy, 2015). ``pgd``: ten steps of a
    quarter of the bound from a random start, each put back into the bound (Madry et al., 2018).

    Args:
        model: in evaluation mode; no gradient of a parameter is changed.
        images: uint8 [B, 3, S, S].
        labels: per task, as objectives take them; a row without a label is attacked for its other tasks alone.
        seeds: int64 [B], of the random start.
        name: one of :data:`ATTACKS`.
        bound: largest change of any pixel, in steps of 255.

    Returns:
        uint8 [B, 3, S, S].
    """
    # Scoring runs in inference mode, whose tensors can have no gradient.
    with torch.inference_mode(False), torch.enable_grad():
        start = images.clone().float()
        labels = {task: values.clone().to(start.device) for task, values in labels.items()}
        if name == "fgsm":
            moved = start + bound * _gradient(model, start, labels).sign()
        else:
            drawn = uniforms(seeds.clone().to(start.device), start[0].numel(), stream=_STREAM).view_as(start)
            moved = (start + (2 * drawn - 1) * bound).clamp(0, 255)
            for _ in range(_STEPS):
                moved = moved + 2.5 * bound / _STEPS * _gradient(model, moved, labels).sign()
                moved = (start + (moved - start).clamp(-bound, bound)).clamp(0, 255)
        return moved.round().clamp(0, 255).to(torch.uint8)


def can_be_attacked(model: JointModel) -> bool:
    """Whether the loss has a gradient in an image; a texture map of whole codes has none, a clip is no image."""
    return model.primary.texture is None and model.recipe.encoder.num_frames is None


def _gradient(model: JointModel, images: Tensor, labels: dict[str, Tensor]) -> Tensor:
    seen = images.detach().requires_grad_(True)
    logits = model.logits(seen / 255)
    total = seen.new_zeros(())
    for task in model.tasks:
        each, counts = row_losses(task, logits[task.name], labels[task.name])
        total = total + (each * counts).sum()
    return torch.autograd.grad(total, seen)[0]


H264 = "h264"
CODECS = ("jpeg_quality", "resize", H264)
OCCLUSIONS = ("occlusion_eyes", "occlusion_mouth", "occlusion_random")
SETS = {
    "common": COMMON_CORRUPTIONS,
    "codecs": CODECS,
    "occlusion": OCCLUSIONS,
    "attacks": ATTACKS,
    "all": (*COMMON_CORRUPTIONS, *CODECS, *OCCLUSIONS, *ATTACKS),
}
"""Names that stand for several."""


@dataclass(frozen=True)
class Damage:
    """One kind at one strength.

    Attributes:
        name: of the kind.
        severity: 1 to 5, or what the field calls it: ``c23`` and ``c40`` of H.264, ``1/255`` of an attack.
        change: a uint8 batch [B, 3, S, S], or of clips [B, T, 3, S, S], and the number of its first to the damaged one.
            All frames of a clip are damaged with one seed, as by one lens in one weather.
    """

    name: str
    severity: int | str
    change: Callable[[Tensor, int], Tensor]


def damage_names(wanted: Sequence[str]) -> tuple[str, ...]:
    """Names with sets spelled out, in order, each once; ``none`` adds nothing.

    Raises:
        InputError: a name that is unknown.
    """
    known = (*corruptions(), H264, *ATTACKS)
    found: list[str] = []
    for name in wanted:
        if name == "none":
            continue
        if name not in known and name not in SETS:
            hint = nearest(name, [*known, *SETS])
            raise InputError(
                f"corruption '{name}' is unknown{hint}; give none, {', '.join(SETS)}, or one of: {', '.join(known)}"
            )
        found += SETS.get(name, (name,))
    return tuple(dict.fromkeys(found))


def damages(
    names: Sequence[str],
    seeds: Tensor,
    *,
    severities: Sequence[int] = SEVERITIES,
    model: JointModel | None = None,
    labels: dict[str, Tensor] | None = None,
) -> Iterator[Damage]:
    """Every kind at every strength.

    Args:
        names: as :func:`damage_names` gives them.
        seeds: int64 [N], one per image.
        severities: of those that are numbered; codecs and attacks have strengths of their own.
        model: whom attacks are aimed at; None, or one that :func:`can_be_attacked` denies: attacks are left out.
        labels: per task, of all N images; needed with a model.
    """
    for name in names:
        if name in ATTACKS:
            if model is not None and labels is not None and can_be_attacked(model):
                for bound in BOUNDS:
                    yield Damage(name, f"{bound}/255", _attacked(name, bound, seeds, model, labels))
        elif name == H264:
            for factor in RATE_FACTORS:
                yield Damage(name, f"c{factor}", _compressed(factor))
        else:
            for severity in severities:
                yield Damage(name, severity, _corrupted(name, severity, seeds))


def _corrupted(name: str, severity: int, seeds: Tensor) -> Callable[[Tensor, int], Tensor]:
    def change(batch: Tensor, start: int) -> Tensor:
        own = seeds[start : start + len(batch)].to(batch.device)
        frames = batch.reshape(-1, *batch.shape[-3:])
        own = own.repeat_interleave(len(frames) // max(len(batch), 1))
        return corrupt(frames, name, severity, own).view_as(batch)

    return change


def _compressed(factor: int) -> Callable[[Tensor, int], Tensor]:
    return lambda batch, start: compress_h264(batch.reshape(-1, *batch.shape[-3:]), factor).view_as(batch)


def _attacked(
    name: str, bound: int, seeds: Tensor, model: JointModel, labels: dict[str, Tensor]
) -> Callable[[Tensor, int], Tensor]:
    def change(batch: Tensor, start: int) -> Tensor:
        rows = slice(start, start + len(batch))
        own = {task: values[rows] for task, values in labels.items()}
        return attack(model, batch, own, seeds[rows], name=name, bound=bound)

    return change
