"""Weights shared out among the processes (FSDP; Zhao et al., 2023), by torch's own ``fully_shard``.

Each process keeps a part of every weight, gradient and moment, and fetches the others of a block while the block runs.
``accelerate launch`` asks for it through the environment. Accelerate itself shards on accelerators alone; done here,
over the processes that Accelerate has brought together, it is the same on every device.

What leaves a run is whole: checkpoints, the best weights and the model are as one process would have them, so that a
run may go on with any number of processes, with shared weights or without.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as distributed
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from auxface.errors import InputError
from auxface.model import JointModel
from auxface.training.blocks import transformer_blocks

_ASKED = "ACCELERATE_USE_FSDP"
_REFUSED = {
    "FSDP_OFFLOAD_PARAMS": "fsdp_offload_params: true, which keeps weights off the GPUs; set it to false",
    "FSDP_ACTIVATION_CHECKPOINTING": "fsdp_activation_checkpointing: true; the recipe has it as "
    "train.checkpoint_activations, so set the former to false",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism_config; take it out, every process has a part of the weights",
}


def sharding_is_asked() -> bool:
    """Whether the launcher asks for weights that are shared out."""
    return _is_true(_ASKED)


def check_sharding(precision: str) -> None:
    """Refuse what the launcher may ask for together with shared weights and does not get.

    Args:
        precision: ``no``, ``bf16`` or ``fp16``.

    Raises:
        InputError: FSDP's first version, a setting that would be without effect, or fp16.
    """
    if not sharding_is_asked():
        return
    version = os.environ.get("FSDP_VERSION", "2")
    if version != "2":
        raise InputError(f"the accelerate configuration asks for FSDP of version {version}; set fsdp_version: 2")
    for name, what in _REFUSED.items():
        if _is_true(name):
            raise InputError(f"the accelerate configuration asks for {what}")
    if precision == "fp16":
        raise InputError("train.precision=fp16 does not go with FSDP; use bf16 or fp32")


@contextmanager
def unseen_by_accelerate() -> Iterator[None]:
    """Inside, Accelerate is not told that weights are to be shared out."""
    asked = os.environ.pop(_ASKED, None)
    try:
        yield
    finally:
        if asked is not None:
            os.environ[_ASKED] = asked


def is_shared_out(accelerator: Accelerator) -> bool:
    """Whether this run's weights are shared out; a single process has nobody to share with."""
    return sharding_is_asked() and accelerator.num_processes > 1


def share_out(model: nn.Module, accelerator: Accelerator) -> None:
    """Leave this process its part of every parameter: of each transformer block apart, and of all others together.

    The names of weights stay. Optimisers are made afterwards, of the parts.
    """
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    freed = os.environ.get("FSDP_RESHARD_AFTER_FORWARD", "true").lower() != "false"
    for block in transformer_blocks(model):
        if not isinstance(block, nn.ModuleList | nn.ModuleDict):
            fully_shard(block, mesh=mesh, reshard_after_forward=freed)
    fully_shard(model, mesh=mesh, reshard_after_forward=freed)


def prepare(
    accelerator: Accelerator, model: nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Model and optimiser as a step uses them; a model that is shared out sends its own gradients."""
    if isinstance(model, FSDPModule):
        return model, accelerator.prepare(optimiser)
    return accelerator.prepare(model, optimiser)


def gathered(tensor: Tensor) -> Tensor:
    """A tensor of which every process holds a part, whole on its device; one that is whole as it is."""
    return tensor.full_tensor().detach() if isinstance(tensor, DTensor) else tensor


def whole(tensors: dict[str, Tensor], *, keep: bool = True) -> dict[str, Tensor]:
    """Many tensors as :func:`gathered` gives them, one after the other, in the machine's memory.

    All processes call it together, with the same names in the same order.

    Args:
        tensors: by name.
        keep: on a process that has no use for what was gathered False, for an empty result and no memory.

    Returns:
        By name; tensors that were whole are the same as before.
    """
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        each = gathered(value)
        if keep:
            found[name] = each if each is value else each.cpu()
    return found


def whole_weights(model: nn.Module, *, keep: bool = True) -> dict[str, Tensor]:
    """A model's weights and buffers, whole (see :func:`whole`).

    Where weights are shared out, buffers are the first process's; else both are the model's own tensors, not copies.
    """
    state = model.state_dict()
    if isinstance(model, FSDPModule):
        for name, value in state.items():
            if not isinstance(value, DTensor):
                state[name] = value.detach().clone(memory_format=torch.contiguous_format)
                distributed.broadcast(state[name], src=0)
    return whole(state, keep=keep)


def load_whole(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Put whole weights into a model, shared out or not.

    Raises:
        RuntimeError: names or shapes differ.
    """
    own = model.state_dict()
    model.load_state_dict({name: laid_out(value, own.get(name)) for name, value in weights.items()})


def laid_out(value: Tensor, as_in: Tensor | None) -> Tensor:
    """A whole tensor laid out as another of its shape is: this process's part of it, where that one is shared out."""
    if not isinstance(as_in, DTensor) or value.shape != as_in.shape:
        return value
    there = value.to(as_in.device)
    # Every process has read the whole from the disk; nothing needs to be sent.
    return distribute_tensor(there, as_in.device_mesh, as_in.placements, src_data_rank=None)


def own_part(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor; shares its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


@contextmanager
def whole_model(model: JointModel, twin: JointModel | None) -> Iterator[JointModel]:
    """The model with whole weights on its device, to look at pictures with: itself, or where it is shared out, a twin.

    All processes enter together; inside, each may call the model as often as it likes.

    Args:
        model: the model.
        twin: its copy from before it was shared out, kept in the machine's memory; None: it is not shared out.
    """
    if twin is None:
        yield model
        return
    device = next(model.parameters()).device
    twin.load_state_dict(whole_weights(model))
    twin.to(device).train(model.training)
    try:
        yield twin
    finally:
        twin.to("cpu")


def _is_true(name: str) -> bool:
    return os.environ.get(name, "false").lower() == "true"
