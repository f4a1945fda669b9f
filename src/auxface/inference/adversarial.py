"""Adversarial attacks: the smallest changes of pixels that raise a model's loss the most.

FGSM (Goodfellow, Shlens and Szegedy, 2015) and PGD (Madry et al., 2018), with bounds in steps of 1/255.

    attacked = attack(model, images, labels, seeds, name="pgd", bound=2)
"""

import torch
from torch import Tensor

from auxface.data.random import uniforms
from auxface.model.joint import JointModel
from auxface.objectives.classification import sample_losses

ATTACKS = ("fgsm", "pgd")
BOUNDS = (1, 2, 4)
"""Largest change of any pixel, in steps of 1/255."""
_PGD_STEPS = 10
_STREAM = 0x61747461


def attack(
    model: JointModel, images: Tensor, labels: dict[str, Tensor], seeds: Tensor, *, name: str, bound: int
) -> Tensor:
    """Return images attacked through the sum of the losses of all tasks, rounded to whole pixel values.

    ``fgsm`` takes one step along the sign of the gradient. ``pgd`` takes ten steps of a quarter of the bound from a
    random start, each projected back into the bound.

    Args:
        model: In evaluation mode; the gradients of its parameters are not changed.
        images: uint8 [B, 3, S, S].
        labels: Labels per task, as objectives take them. An image without a label for a task is attacked through its
            other tasks.
        seeds: int64 [B], seeds of the random start.
        name: One of :data:`ATTACKS`.
        bound: Largest change of any pixel, in steps of 1/255.

    Returns:
        uint8 [B, 3, S, S].
    """
    # Scoring runs in inference mode, whose tensors have no gradients.
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
    """Return whether attacks apply: the input is an image (not a video clip) and the loss is differentiable in it.

    A model that classifies texture maps is not differentiable in the image, since texture codes are integers.
    """
    return model.primary.texture is None and model.recipe.encoder.num_frames is None


def _gradient(model: JointModel, images: Tensor, labels: dict[str, Tensor]) -> Tensor:
    """Return the gradient of the summed losses in the images, float32 [B, 3, S, S] in 0..255."""
    pixels = images.detach().requires_grad_(True)
    logits = model.logits(pixels / 255)
    total = pixels.new_zeros(())
    for task in model.tasks:
        losses, counts = sample_losses(task, logits[task.name], labels[task.name])
        total = total + (losses * counts).sum()
    return torch.autograd.grad(total, pixels)[0]
