"""Pictures changed by someone who knows the model: the smallest steps of pixels that raise its loss the most."""

import torch
from torch import Tensor

from auxface.data.random import uniforms
from auxface.model.joint import JointModel
from auxface.objectives.task_losses import row_losses

ATTACKS = ("fgsm", "pgd")
BOUNDS = (1, 2, 4)
"""Largest change of any pixel, in steps of 255."""
_STEPS = 10
_STREAM = 0x61747461


def attack(
    model: JointModel, pictures: Tensor, labels: dict[str, Tensor], seeds: Tensor, *, name: str, bound: int
) -> Tensor:
    """Pictures attacked through the sum of the losses of all tasks, as they would be stored, in whole numbers.

    ``fgsm``: one step of the sign of the gradient (Goodfellow, Shlens and Szegedy, 2015). ``pgd``: ten steps of a
    quarter of the bound from a random start, each put back into the bound (Madry et al., 2018).

    Args:
        model: in evaluation mode; no gradient of a parameter is changed.
        pictures: uint8 [B, 3, S, S].
        labels: per task, as objectives take them; a row without a label is attacked for its other tasks alone.
        seeds: int64 [B], of the random start.
        name: one of :data:`ATTACKS`.
        bound: largest change of any pixel, in steps of 255.

    Returns:
        uint8 [B, 3, S, S].
    """
    # Scoring runs in inference mode, whose tensors can have no gradient.
    with torch.inference_mode(False), torch.enable_grad():
        start = pictures.clone().float()
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
    """Whether the loss has a gradient in a picture; a texture map of whole codes has none, a clip is no picture."""
    return model.primary.texture is None and model.recipe.encoder.num_frames is None


def _gradient(model: JointModel, pictures: Tensor, labels: dict[str, Tensor]) -> Tensor:
    seen = pictures.detach().requires_grad_(True)
    logits = model.logits(seen / 255)
    total = seen.new_zeros(())
    for task in model.tasks:
        each, counts = row_losses(task, logits[task.name], labels[task.name])
        total = total + (each * counts).sum()
    return torch.autograd.grad(total, seen)[0]
