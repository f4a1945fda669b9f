"""Logits, embeddings and pooled features of many images; all are computed in fp32, even for models trained in bf16."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from auxface.data.augment.presets import make_views
from auxface.model.joint import JointModel

_BATCH = 128
_LARGEST = 64
_PIXELS = 8 * 224**2


def suitable_batch(device: str, size: int) -> int:
    """Return the batch size at which scoring has the highest throughput on a type of device.

    On a CPU, a batch with more pixels than 8 images of 224 x 224 does not fit into the caches, but the batch must
    contain at least one image per core. Other devices need large batches.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``.
        size: side length of the model's input in pixels.
    """
    if device != "cpu":
        return _LARGEST
    return min(_LARGEST, max(_PIXELS // size**2, os.cpu_count() or 1))


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Compute in fp32 inside a ``with`` block, so that a score does not depend on the other images in the batch.

    Autocast is disabled. TF32 in GPU convolutions, which torch enables by default, is also disabled; call
    ``torch.set_float32_matmul_precision("high")`` to keep TF32.
    """
    with torch.autocast(device.type, enabled=False):
        if device.type != "cuda" or _lower_precision_is_set():
            yield
            return
        now = torch.backends.cudnn
        with now.flags(enabled=now.enabled, benchmark=now.benchmark, deterministic=now.deterministic, allow_tf32=False):
            yield


def _lower_precision_is_set() -> bool:
    try:
        return torch.get_float32_matmul_precision() != "highest"
    # Torch raises an error here if the precision was set through one of the newer settings.
    except RuntimeError:
        return True


def score_images(
    model: JointModel,
    images: np.ndarray,
    *,
    batch_size: int = _BATCH,
    transform: Callable[[torch.Tensor, int], torch.Tensor] | None = None,
    advance: Callable[[int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Return the logits of each task, float32 [N, outputs], computed in fp32 in evaluation mode.

    The logits do not depend on the batch size, except for rounding in fp32; see :func:`full_precision`.

    Args:
        model: the model, on its device; its training mode is restored afterwards.
        images: uint8 [N, 3, S, S] at the model's input size, or clips [N, T, 3, S, S].
        batch_size: number of images, or of frames of clips, per batch; a batch contains at least one clip.
        transform: callable that takes a uint8 batch and the index of its first image, and returns the batch to be
            scored.
        advance: callable that receives the number of images that were scored since the last call.
    """
    return model_outputs(model, model.logits, images, batch_size=batch_size, transform=transform, advance=advance)


def embed_images(
    model: JointModel,
    images: np.ndarray,
    *,
    batch_size: int = _BATCH,
    advance: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Return a unit-norm embedding of each image, float32 [N, E], computed in fp32 in evaluation mode.

    For metric learning, this is the learned embedding; for any other model, it is the vector of normalized pooled
    features. The arguments are the same as for :func:`score_images`.
    """

    def normalized(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"embedding": torch.nn.functional.normalize(model.embed(batch).float(), dim=1)}

    return model_outputs(model, normalized, images, batch_size=batch_size, advance=advance)["embedding"]


@torch.inference_mode()
def model_outputs(
    model: JointModel,
    function: Callable[[torch.Tensor], dict[str, torch.Tensor]],
    images: np.ndarray,
    *,
    batch_size: int = _BATCH,
    transform: Callable[[torch.Tensor, int], torch.Tensor] | None = None,
    advance: Callable[[int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Apply a function of the model to many images; return its outputs by name, float32 [N, ...], computed in fp32.

    Args:
        model: the model, on its device; its training mode is restored afterwards.
        function: callable that takes images, float [B, 3, S, S] in [0, 1], for example ``model.logits``.
        images: as for :func:`score_images`.
        batch_size: as for :func:`score_images`.
        transform: as for :func:`score_images`.
        advance: as for :func:`score_images`.
    """
    device = next(model.parameters()).device
    was_training = model.training
    # The mode is set only if necessary, because visiting all modules takes as long as scoring a small image.
    if was_training:
        model.eval()
    collected: dict[str, list[np.ndarray]] = {}
    step, count = _samples(images, batch_size), len(images)
    if not count:
        # One blank image is scored to determine the names and widths of the outputs.
        images, advance = np.zeros((1, *images.shape[1:]), np.uint8), None
    for start in range(0, len(images), step):
        batch = torch.from_numpy(np.array(images[start : start + step])).to(device)
        if transform is not None:
            batch = transform(batch, start)
        with full_precision(device):
            found = function(batch.float().div_(255))
        for name, values in found.items():
            collected.setdefault(name, []).append(values.float().cpu().numpy())
        if advance is not None:
            advance(len(batch))
    if was_training:
        model.train()
    return {name: np.concatenate(parts)[:count] for name, parts in collected.items()}


@torch.inference_mode()
def pooled_features(model: JointModel, images: np.ndarray) -> torch.Tensor:
    """Return the pooled features (the input of the heads) of every image, float32 [N, D], on the CPU.

    Args:
        model: the model; its training mode is restored afterwards.
        images: uint8 [N, 3, S, S], which are resized to the model's input size if necessary; or clips [N, T, 3, S, S]
            at the model's input size.
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
    # The result is cloned, because tensors created in inference mode cannot be used in autograd.
    return torch.cat(parts).clone()


def _samples(images: np.ndarray, frames: int) -> int:
    return frames if images.ndim == 4 else max(1, frames // images.shape[1])
