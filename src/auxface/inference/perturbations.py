"""Perturbations for evaluation: common corruptions, codecs, occlusion and adversarial attacks.

A perturbation modifies a batch of images before the model scores it.

Example::

    names = perturbation_names(["common", "h264"])
    for perturbation in perturbations(names, seeds, severities=(1, 3, 5)):
        changed = perturbation.apply(images, 0)

The adversarial attacks are FGSM (Goodfellow, Shlens and Szegedy, 2015) and PGD (Madry et al., 2018). Their bounds are
in steps of 1/255.

Example::

    attacked = attack(model, images, labels, seeds, name="pgd", bound=2)
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
from auxface.objectives.classification import sample_losses
from auxface.plugins import nearest

ATTACKS = ("fgsm", "pgd")
BOUNDS = (1, 2, 4)
"""Bounds of the attacks: maximum change of any pixel value, in steps of 1/255."""
_PGD_STEPS = 10
_STREAM = 0x61747461
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
"""Sets of perturbations, by name."""


def attack(
    model: JointModel, images: Tensor, labels: dict[str, Tensor], seeds: Tensor, *, name: str, bound: int
) -> Tensor:
    """Return adversarial images: pixels are changed within a bound to increase the summed loss of all tasks.

    ``fgsm`` takes one step along the sign of the gradient. ``pgd`` takes ten steps of a quarter of the bound from a
    random start, each followed by a projection onto the bound. The results are rounded to integer pixel values.

    Args:
        model: joint model in evaluation mode; the gradients of its parameters are not modified.
        images: face crops, uint8 [B, 3, S, S].
        labels: labels of each task, in the form that objectives expect. An image without a label for a task is attacked
            through its other tasks.
        seeds: seed of the random start of each image, int64 [B].
        name: name of the attack, one of :data:`ATTACKS`.
        bound: maximum change of any pixel value, in steps of 1/255.

    Returns:
        The adversarial images, uint8 [B, 3, S, S].
    """
    # Scoring runs in inference mode, in which tensors have no gradients.
    with torch.inference_mode(False), torch.enable_grad():
        start = images.clone().float()
        labels = {task: values.clone().to(start.device) for task, values in labels.items()}
        if name == "fgsm":
            moved = start + bound * _gradient(model, start, labels).sign()
        else:
            drawn = uniforms(seeds.clone().to(start.device), start[0].numel(), stream=_STREAM).view_as(start)
            moved = (start + (2 * drawn - 1) * bound).clamp(0, 255)
            for _ in range(_PGD_STEPS):
                moved = moved + 2.5 * bound / _PGD_STEPS * _gradient(model, moved, labels).sign()
                moved = (start + (moved - start).clamp(-bound, bound)).clamp(0, 255)
        return moved.round().clamp(0, 255).to(torch.uint8)


def can_be_attacked(model: JointModel) -> bool:
    """Return whether attacks apply, that is, the input is an image and the loss is differentiable with respect to it.

    Video models are not attacked. A model that classifies texture maps is not differentiable with respect to the image,
    since texture codes are integers.
    """
    return model.primary.texture is None and model.recipe.encoder.num_frames is None


def _gradient(model: JointModel, images: Tensor, labels: dict[str, Tensor]) -> Tensor:
    """Return the gradient of the summed losses with respect to images in 0..255, float32 [B, 3, S, S]."""
    pixels = images.detach().requires_grad_(True)
    logits = model.logits(pixels / 255)
    total = pixels.new_zeros(())
    for task in model.tasks:
        losses, counts = sample_losses(task, logits[task.name], labels[task.name])
        total = total + (losses * counts).sum()
    return torch.autograd.grad(total, pixels)[0]


@dataclass(frozen=True)
class Perturbation:
    """One perturbation at one strength.

    Attributes:
        name: name of the perturbation, such as ``gaussian_noise``.
        severity: severity from 1 to 5, or the usual name of the strength: ``c23`` and ``c40`` for H.264, ``1/255`` for
            an attack.
        apply: function that takes a batch, uint8 [B, 3, S, S] or [B, T, 3, S, S], and the index of its first sample,
            and returns the perturbed batch. All frames of a clip are perturbed with the same seed.
    """

    name: str
    severity: int | str
    apply: Callable[[Tensor, int], Tensor]


def perturbation_names(names: Sequence[str]) -> tuple[str, ...]:
    """Expand sets of perturbations and return unique names in order; ``none`` adds no name.

    Raises:
        InputError: a name is unknown.
    """
    known = (*corruptions(), H264, *ATTACKS)
    found: list[str] = []
    for name in names:
        if name == "none":
            continue
        if name not in known and name not in SETS:
            hint = nearest(name, [*known, *SETS])
            raise InputError(
                f"corruption '{name}' is unknown{hint}; expected none, {', '.join(SETS)}, or one of: {', '.join(known)}"
            )
        found += SETS.get(name, (name,))
    return tuple(dict.fromkeys(found))


def perturbations(
    names: Sequence[str],
    seeds: Tensor,
    *,
    severities: Sequence[int] = SEVERITIES,
    model: JointModel | None = None,
    labels: dict[str, Tensor] | None = None,
) -> Iterator[Perturbation]:
    """Yield each named perturbation at each strength.

    Args:
        names: names of perturbations, as returned by :func:`perturbation_names`.
        seeds: seed of each image, int64 [N].
        severities: severities for corruptions that have severities; codecs and attacks have their own strengths.
        model: model to attack. Attacks are skipped if it is None or cannot be attacked; see
            :func:`~auxface.inference.perturbations.can_be_attacked`.
        labels: labels of all N images, by task; required with ``model``.
    """
    for name in names:
        if name in ATTACKS:
            if model is not None and labels is not None and can_be_attacked(model):
                for bound in BOUNDS:
                    yield Perturbation(name, f"{bound}/255", _attack(name, bound, seeds, model, labels))
        elif name == H264:
            for factor in RATE_FACTORS:
                yield Perturbation(name, f"c{factor}", _compress(factor))
        else:
            for severity in severities:
                yield Perturbation(name, severity, _corrupt(name, severity, seeds))


def _corrupt(name: str, severity: int, seeds: Tensor) -> Callable[[Tensor, int], Tensor]:
    def apply(batch: Tensor, start: int) -> Tensor:
        batch_seeds = seeds[start : start + len(batch)].to(batch.device)
        frames = batch.reshape(-1, *batch.shape[-3:])
        frame_seeds = batch_seeds.repeat_interleave(len(frames) // max(len(batch), 1))
        return corrupt(frames, name, severity, frame_seeds).view_as(batch)

    return apply


def _compress(factor: int) -> Callable[[Tensor, int], Tensor]:
    return lambda batch, start: compress_h264(batch.reshape(-1, *batch.shape[-3:]), factor).view_as(batch)


def _attack(
    name: str, bound: int, seeds: Tensor, model: JointModel, labels: dict[str, Tensor]
) -> Callable[[Tensor, int], Tensor]:
    def apply(batch: Tensor, start: int) -> Tensor:
        rows = slice(start, start + len(batch))
        batch_labels = {task: values[rows] for task, values in labels.items()}
        return attack(model, batch, batch_labels, seeds[rows], name=name, bound=bound)

    return apply
