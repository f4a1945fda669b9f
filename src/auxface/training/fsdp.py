"""Sharded weights (FSDP; Zhao et al., 2023).

Each process stores a shard of every weight, gradient and optimizer moment, and gathers the weights of a transformer
block while the block runs. The launcher requests sharding through environment variables, as ``accelerate launch`` does
with ``distributed_type: FSDP``. Accelerate itself shards only on GPUs, so auxface shards the model over the processes
that Accelerate connects.

Checkpoints, best weights and the final model contain full tensors, so a run can be resumed with any number of
processes, with or without sharding.

Example::

    if uses_fsdp(accelerator):
        shard_model(model, accelerator)         # before the optimizer is made
    weights = full_state_dict(model)            # all processes call it together
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

import torch
import torch.distributed as distributed
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from auxface.errors import InputError
from auxface.model import JointModel
from auxface.objectives.resume_only import resume_only_modules

_REQUEST = "ACCELERATE_USE_FSDP"
_REFUSED = {
    "FSDP_OFFLOAD_PARAMS": "fsdp_offload_params: true (weights on the CPU), which auxface does not support; "
    "set it to false",
    "FSDP_ACTIVATION_CHECKPOINTING": "fsdp_activation_checkpointing: true; set it to false and set "
    "train.checkpoint_activations=true in the recipe",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism_config, which auxface does not support; remove it",
}


def fsdp_is_requested() -> bool:
    """Return whether the launcher requests sharded weights."""
    return _is_true(_REQUEST)


def uses_fsdp(accelerator: Accelerator) -> bool:
    """Return whether the launcher requests sharded weights and there are several processes."""
    return fsdp_is_requested() and accelerator.num_processes > 1


def check_fsdp_options(precision: str) -> None:
    """Check the launcher's settings for sharded weights.

    Args:
        precision: ``no``, ``bf16`` or ``fp16``, as Accelerate names it.

    Raises:
        InputError: the launcher requests FSDP version 1 or a setting that would have no effect, or the precision is
            fp16.
    """
    if not fsdp_is_requested():
        return
    version = os.environ.get("FSDP_VERSION", "2")
    if version != "2":
        raise InputError(f"the accelerate configuration requests FSDP version {version}; set fsdp_version: 2")
    for name, setting in _REFUSED.items():
        if _is_true(name):
            raise InputError(f"the accelerate configuration has {setting}")
    if precision == "fp16":
        raise InputError("train.precision=fp16 is not supported with FSDP; use bf16 or fp32")


def _is_true(name: str) -> bool:
    return os.environ.get(name, "false").lower() == "true"


@contextmanager
def fsdp_hidden_from_accelerate() -> Iterator[None]:
    """Hide the launcher's request inside a ``with`` block, so that Accelerate does not shard the model itself."""
    request = os.environ.pop(_REQUEST, None)
    try:
        yield
    finally:
        if request is not None:
            os.environ[_REQUEST] = request


def unsharded_copy(model: JointModel, accelerator: Accelerator) -> JointModel | None:
    """Return an unsharded copy of the model for :func:`full_model`; None if the run does not shard its weights.

    Gradient ratios are not measured with sharded weights, because the gradients exist only after the backward pass.

    Raises:
        InputError: the recipe uses the balance ``gradient``, which needs gradient ratios.
    """
    if not uses_fsdp(accelerator):
        return None
    if model.recipe.balance.kind == "gradient":
        raise InputError("balance gradient requires full weights on every process; with FSDP, use fixed or learned")
    model.gradient_meter = None
    return deepcopy(model)


def shard_model(model: nn.Module, accelerator: Accelerator) -> None:
    """Shard every parameter over the processes in place: each transformer block separately, all other modules together.

    Modules that are needed only to resume (:class:`auxface.objectives.ResumeOnly`) are sharded in the same way. The
    names of weights do not change. The optimizer must be created afterwards.
    """
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    reshard = os.environ.get("FSDP_RESHARD_AFTER_FORWARD", "true").lower() != "false"
    for block in transformer_blocks(model):
        if not isinstance(block, nn.ModuleList | nn.ModuleDict):
            fully_shard(block, mesh=mesh, reshard_after_forward=reshard)
    fully_shard(model, mesh=mesh, reshard_after_forward=reshard)
    for _, module in resume_only_modules(model):
        shard_model(module, accelerator)


def transformer_blocks(model: nn.Module) -> list[nn.Module]:
    """Return the repeated blocks of the encoder and decoder, or the stages of hierarchical encoders."""
    blocks: list[nn.Module] = []
    for name, module in model.named_modules():
        is_list = name.rpartition(".")[2] in ("blocks", "stages", "layers")
        is_inside = any(module is part for block in blocks for part in block.modules())
        if is_list and isinstance(module, nn.Sequential | nn.ModuleList) and not is_inside:
            blocks.extend(module)
    return blocks


def full_state_dict(model: nn.Module, *, keep: bool = True) -> dict[str, Tensor]:
    """Return the full weights and buffers of a model; see :func:`full_tensors`.

    For a sharded model, the buffers of the first process are returned. Tensors of an unsharded model are not copied.
    """
    state = model.state_dict()
    if isinstance(model, FSDPModule):
        for name, value in state.items():
            if not isinstance(value, DTensor):
                state[name] = value.detach().clone(memory_format=torch.contiguous_format)
                distributed.broadcast(state[name], src=0)
    return full_tensors(state, keep=keep)


def full_tensors(tensors: dict[str, Tensor], *, keep: bool = True) -> dict[str, Tensor]:
    """Gather sharded tensors one by one into the memory of the CPU.

    All processes must call this function together, with the same names in the same order.

    Args:
        tensors: sharded or full tensors.
        keep: whether this process needs the result; otherwise the result is empty.

    Returns:
        Full tensors. Tensors that were not sharded are returned unchanged.
    """
    gathered: dict[str, Tensor] = {}
    for name, value in tensors.items():
        full = full_tensor(value)
        if keep:
            gathered[name] = full if full is value else full.cpu()
    return gathered


def full_tensor(tensor: Tensor) -> Tensor:
    """Gather a sharded tensor on this process's device; a full tensor is returned unchanged."""
    return tensor.full_tensor().detach() if isinstance(tensor, DTensor) else tensor


def local_shard(tensor: Tensor) -> Tensor:
    """Return this process's shard of a tensor, as a view."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def load_full_state_dict(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Load full weights into a model, sharded or not.

    Raises:
        RuntimeError: the names or shapes of weights differ.
    """
    state = model.state_dict()
    model.load_state_dict({name: shard_like(value, state.get(name)) for name, value in weights.items()})


def shard_like(value: Tensor, reference: Tensor | None) -> Tensor:
    """Shard a full tensor like ``reference``; return it unchanged if ``reference`` is full or has a different shape."""
    if not isinstance(reference, DTensor) or value.shape != reference.shape:
        return value
    on_device = value.to(reference.device)
    # Every process has read the full tensor from disk, so no data has to be sent.
    return distribute_tensor(on_device, reference.device_mesh, reference.placements, src_data_rank=None)


@contextmanager
def full_model(model: JointModel, unsharded: JointModel | None) -> Iterator[JointModel]:
    """Yield a model with full weights on its device, for validation and embedding.

    All processes must enter the ``with`` block together. Inside the block, each process may call the model any number
    of times.

    Args:
        model: model being trained.
        unsharded: copy in CPU memory that receives the full weights, from :func:`unsharded_copy`; None if the model is
            not sharded, in which case the model itself is yielded.
    """
    if unsharded is None:
        yield model
        return
    device = next(model.parameters()).device
    unsharded.load_state_dict(full_state_dict(model))
    unsharded.to(device).train(model.training)
    try:
        yield unsharded
    finally:
        unsharded.to("cpu")
