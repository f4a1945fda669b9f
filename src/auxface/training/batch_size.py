"""``train.batch_size=auto``: the largest batch that fits, found without ever running out of memory.

What a step keeps for its gradients grows in proportion to the batch; it is counted on small batches and reckoned up.
"""

import psutil
import torch

from auxface.model import JointModel
from auxface.objectives import Batch
from auxface.training.machine import resolve_precision

_LARGEST = 256
_PROBE = 4
_SHARE = 0.5


def fitting_batch_size(model: JointModel, device: str, *, most: int, room: float | None = None) -> int:
    """The largest power of two up to 256 whose step fits into half the free memory, and at most an eighth of the data.

    Half, since views, targets and short-lived results come on top of what gradients need.

    Args:
        model: the model, on the CPU.
        device: where it will be trained: ``cpu``, ``cuda`` or ``mps``.
        most: pictures there are to learn from.
        room: free bytes; None: asked of the device.
    """
    options = model.recipe.train
    weights = sum(p.numel() * 4 for p in model.parameters() if p.requires_grad)
    # Gradients and two moments beside the weights, an average and the best weights where they are kept.
    fixed = weights * (4 + 2)
    room = free_memory(device) if room is None else room
    bf16 = resolve_precision(options, device) != "no"
    each = bytes_per_picture(model, bf16=bf16)
    limit = min(max((room * _SHARE - fixed) / each, 1) * options.accumulate, _LARGEST, max(most // 8, 1))
    return 2 ** int(limit).bit_length() // 2


def free_memory(device: str) -> float:
    """Bytes that are free on a device."""
    return torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available


def bytes_per_picture(model: JointModel, *, bf16: bool) -> float:
    """What a joint step keeps until its gradients are made, per picture, in bytes."""
    seen: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    state = {name: value.clone() for name, value in model.state_dict().items() if value.numel() < 2**20}
    clean = torch.zeros(_PROBE, *model.recipe.encoder.sample_shape, dtype=torch.uint8)
    primary = clean.float() / 255
    seeds = torch.arange(_PROBE)
    labels = {
        task.name: torch.zeros(_PROBE, dtype=torch.int64)
        if task.kind == "class"
        else torch.zeros((_PROBE, len(task.classes)) if task.kind == "multilabel" else (_PROBE,))
        for task in model.tasks
    }
    further = dict.fromkeys(model.views, primary)
    batch = Batch(primary, clean, labels, seeds, seeds, further)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    with (
        torch.random.fork_rng(devices=[]),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept),
        torch.autocast("cpu", torch.bfloat16, enabled=bf16),
    ):
        loss, _ = model(batch)
    del loss
    model.load_state_dict(state, strict=False)
    return sum(size for place, size in seen.items() if place not in weights) / _PROBE
