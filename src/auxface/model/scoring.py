"""A model over many images: logits, nothing else, in fp32 whatever the model was trained in."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from auxface.data.augment.presets import make_views
from auxface.model.joint import JointModel

_BATCH = 128
_MANY = 64
_PIXELS = 8 * 224**2


def suitable_batch(device: str, size: int) -> int:
    """How many images at a time answer fastest.

    Args:
        device: ``cpu``, where a batch of more pixels than those of 8 images of 224 leaves the caches (but every core
            should have an image); or another, which needs many images to be busy at all.
        size: side of the model's input in pixels.
    """
    if device != "cpu":
        return _MANY
    return min(_MANY, max(_PIXELS // size**2, os.cpu_count() or 1))


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Compute in fp32 inside the block, so that a score does not depend on the other images of its batch.

    Autocast is off, and so is TF32 in the convolutions of a GPU, which torch turns on by itself. Who wants speed
    instead calls ``torch.set_float32_matmul_precision("high")``; then TF32 stays.
    """
    with torch.autocast(device.type, enabled=False):
        if device.type != "cuda" or _less_is_asked():
            yield
            return
        now = torch.backends.cudnn
        with now.flags(enabled=now.enabled, benchmark=now.benchmark, deterministic=now.deterministic, allow_tf32=False):
            yield


def _less_is_asked() -> bool:
    try:
        return torch.get_float32_matmul_precision() != "highest"
    # Torch does not read by this name what was set by one of its newer names.
    except RuntimeError:
        return True


@torch.inference_mode()
def score_images(
    model: JointModel,
    images: np.ndarray,
    *,
    batch_size: int = _BATCH,
    transform: Callable[[torch.Tensor, int], torch.Tensor] | None = None,
    advance: Callable[[int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Logits per task, float32 [N, outputs], computed in fp32 on the model's own device, in evaluation mode.

    Batches of any size give the same logits but for rounding in fp32 (see :func:`full_precision`).

    Args:
        model: the model; its training mode is restored afterwards.
        images: uint8 [N, 3, S, S] at the model's input size, or clips [N, T, 3, S, S].
        batch_size: images, or frames of clips, at a time; a clip at least.
        transform: changes a uint8 batch before it is scored; also gets the number of its first image.
        advance: told how many images were done.
    """
    device = next(model.parameters()).device
    was_training = model.training
    # Only where it changes something: a walk through all modules costs as much as a small image.
    if was_training:
        model.eval()
    collected: dict[str, list[np.ndarray]] = {task.name: [] for task in model.tasks}
    step = _samples(images, batch_size)
    for start in range(0, len(images), step):
        batch = torch.from_numpy(np.array(images[start : start + step])).to(device)
        if transform is not None:
            batch = transform(batch, start)
        with full_precision(device):
            found = model.logits(batch.float().div_(255))
        for name, logits in found.items():
            collected[name].append(logits.float().cpu().numpy())
        if advance is not None:
            advance(len(batch))
    if was_training:
        model.train()
    return {
        task.name: np.concatenate(collected[task.name]) if collected[task.name] else np.zeros((0, task.outputs))
        for task in model.tasks
    }


@torch.inference_mode()
def pooled_features(model: JointModel, images: np.ndarray) -> torch.Tensor:
    """What the heads would read of every image, float32 [N, D] on the CPU; the training mode is restored afterwards.

    Args:
        model: the model.
        images: uint8 [N, 3, S, S], resized to the model's input size where they have another; or clips
            [N, T, 3, S, S] at that size.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    parts = []
    size = model.recipe.encoder.image_size
    step = _samples(images, _BATCH)
    for start in range(0, len(images), step):
        batch = torch.from_numpy(np.array(images[start : start + step])).to(device)
        if batch.shape[-1] != size:
            batch = make_views(batch, torch.zeros(len(batch), dtype=torch.int64), "none", size=size).clean
        with full_precision(device):
            parts.append(model.pooled(batch.float() / 255).float().cpu())
    model.train(was_training)
    # Cloned, since what is made in inference mode cannot be used outside of it in every way.
    return torch.cat(parts).clone()


def _samples(images: np.ndarray, frames: int) -> int:
    return frames if images.ndim == 4 else max(1, frames // images.shape[1])
