"""Speed and memory of a step: attention kernel, compilation, activation checkpointing, automatic batch size.

``train.batch_size=auto`` estimates the largest batch that fits into memory, without trial and error. The memory for the
activations that a step keeps for its backward pass is proportional to the batch size. It is measured on four images
with torch's saved-tensor hooks, and extrapolated.

Example::

    batch_size = fitting_batch_size(model, "cuda", image_count=20_000)
    configure_blocks(model, recipe.train, torch.device("cuda"), "bf16")
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from auxface.device import free_memory
from auxface.model import JointModel
from auxface.objectives import Batch
from auxface.recipe import Train
from auxface.training.data_loader import make_sample_view
from auxface.training.distributed import resolve_precision
from auxface.training.fsdp import transformer_blocks

_LARGEST_BATCH = 256
_COUNTED_IMAGES = 4
# The rest of the memory is left for views, targets and temporary results that the backward pass does not need.
_USABLE_FRACTION = 0.5


def configure_blocks(model: nn.Module, options: Train, device: torch.device, precision: str) -> None:
    """Set the memory format of the weights, and the attention kernel, compilation and checkpointing of each block.

    The names of weights do not change.

    Args:
        model: model on its device; modified in place.
        options: the recipe's ``train`` section.
        device: device on which the model is trained.
        precision: Accelerate's name for the precision: ``no``, ``bf16`` or ``fp16``.
    """
    if options.channels_last is True:
        model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    # In bf16 on a CPU, torch's fused attention falls back to a slow path; see docs/performance.md.
    is_slow_fused = device.type == "cpu" and precision == "bf16"
    plain = options.attention == "plain" or (options.attention == "auto" and is_slow_fused)
    for module in model.modules():
        if isinstance(getattr(module, "fused_attn", None), bool):
            module.fused_attn = not plain  # pyright: ignore[reportArgumentType]
    for block in transformer_blocks(model):
        if options.checkpoint_activations:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
        if options.compile:
            block.compile()


@contextmanager
def torch_threads(count: int | Literal["auto"]) -> Iterator[None]:
    """Set the number of torch threads, at most one per core, inside a ``with`` block; ``auto`` changes nothing."""
    before = torch.get_num_threads()
    if count != "auto":
        torch.set_num_threads(max(1, min(count, os.cpu_count() or count)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fitting_batch_size(
    model: JointModel, device: str, *, image_count: int, available_bytes: float | None = None
) -> int:
    """Return the largest batch size that fits into half of the free memory.

    Args:
        model: model on the CPU.
        device: device on which the model will be trained: ``cpu``, ``cuda`` or ``mps``.
        image_count: number of training images; the batch size is at most an eighth of this number.
        available_bytes: free memory in bytes; None to query the device.

    Returns:
        A power of two from 1 to 256.
    """
    options = model.recipe.train
    weight_bytes = sum(p.numel() * 4 for p in model.parameters() if p.requires_grad)
    # Weights, gradients and AdamW's two moments, plus the moving average and the best weights, if any.
    fixed_bytes = weight_bytes * (4 + 2)
    available = free_memory(device) if available_bytes is None else available_bytes
    per_image = activation_bytes(model, bf16=resolve_precision(options, device) != "no")
    in_memory = max((available * _USABLE_FRACTION - fixed_bytes) / per_image, 1) * options.accumulate
    limit = min(in_memory, _LARGEST_BATCH, max(image_count // 8, 1))
    return 2 ** int(limit).bit_length() // 2


def activation_bytes(model: JointModel, *, bf16: bool) -> float:
    """Return the number of bytes per image that a joint step keeps for its backward pass."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    state = {name: value.clone() for name, value in model.state_dict().items() if value.numel() < 2**20}
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    with (
        torch.random.fork_rng(devices=[]),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=bf16),
    ):
        loss = model(_blank_batch(model)).loss
    del loss
    # The running statistics are restored, because the step has changed them.
    model.load_state_dict(state, strict=False)
    return sum(size for pointer, size in kept.items() if pointer not in weights) / _COUNTED_IMAGES


def _blank_batch(model: JointModel) -> Batch:
    clean = torch.zeros(_COUNTED_IMAGES, *model.recipe.encoder.sample_shape, dtype=torch.uint8)
    primary = clean.float() / 255
    seeds = torch.arange(_COUNTED_IMAGES)
    labels = {
        task.name: torch.zeros(_COUNTED_IMAGES, dtype=torch.int64)
        if task.kind == "class"
        else torch.zeros((_COUNTED_IMAGES, len(task.classes)) if task.kind == "multilabel" else (_COUNTED_IMAGES,))
        for task in model.primary.tasks
    }
    size = model.recipe.encoder.image_size
    views = {request: make_sample_view(request, clean, seeds, size) for request in model.views}
    return Batch(primary=primary, clean=clean, labels=labels, seeds=seeds, indices=seeds, views=views)
