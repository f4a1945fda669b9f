"""The processes and the device that a run is on; Accelerate's, so ``torchrun`` and ``accelerate launch`` both work.

Weights shared out among the processes (FSDP; Zhao et al., 2023), by torch's own ``fully_shard``.

Each process keeps a part of every weight, gradient and moment, and fetches the others of a block while the block runs.
``accelerate launch`` asks for it through the environment. Accelerate itself shards on accelerators alone; done here,
over the processes that Accelerate has brought together, it is the same on every device.

What leaves a run is whole: checkpoints, the best weights and the model are as one process would have them, so that a
run may go on with any number of processes, with shared weights or without.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta

import torch
import torch.distributed as distributed
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from auxface.device import computes_bf16, resolve_device
from auxface.errors import InputError
from auxface.model import JointModel
from auxface.recipe import Recipe, Train
from auxface.training.wrapping import transformer_blocks

_ASKED = "ACCELERATE_USE_FSDP"
_REFUSED = {
    "FSDP_OFFLOAD_PARAMS": "fsdp_offload_params: true, which keeps weights off the GPUs; set it to false",
    "FSDP_ACTIVATION_CHECKPOINTING": "fsdp_activation_checkpointing: true; the recipe has it as "
    "train.checkpoint_activations, so set the former to false",
    "ACCELERATE_USE_PARALLELIZM_CONFIG": "a parallelizm_config; take it out, every process has a part of the weights",
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

    The names of weights stay. Optimizers are made afterwards, of the parts.
    """
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    freed = os.environ.get("FSDP_RESHARD_AFTER_FORWARD", "true").lower() != "false"
    for block in transformer_blocks(model):
        if not isinstance(block, nn.ModuleList | nn.ModuleDict):
            fully_shard(block, mesh=mesh, reshard_after_forward=freed)
    fully_shard(model, mesh=mesh, reshard_after_forward=freed)


def prepare(
    accelerator: Accelerator, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Model and optimizer as a step uses them; a model that is shared out sends its own gradients."""
    if isinstance(model, FSDPModule):
        return model, accelerator.prepare(optimizer)
    return accelerator.prepare(model, optimizer)


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
    """The model with whole weights on its device, to look at images with: itself, or where it is shared out, a twin.

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


_PATIENCE = timedelta(hours=6)
_OTHER_ENGINES = ("DEEPSPEED", "MEGATRON_LM")


def make_accelerator(recipe: Recipe, device: str = "auto") -> Accelerator:
    """An accelerator for a recipe's precision on a device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Processes are those that the launcher started; without one there is a single process.

    Raises:
        InputError: fp16 on a processor; or the launcher asks for DeepSpeed, Megatron or a form of FSDP that is not
            offered.
    """
    asked = [name for name in _OTHER_ENGINES if os.environ.get(f"ACCELERATE_USE_{name}", "false").lower() == "true"]
    if asked:
        raise InputError(
            f"the accelerate configuration asks for {asked[0]}, which auxface does not train with; set "
            "distributed_type: FSDP for weights shared out among the processes, or MULTI_GPU for whole ones on each"
        )
    place = resolve_device(device)
    precision = resolve_precision(recipe.train, place)
    check_sharding(precision)
    # One process may train several recipes in turn; Accelerate keeps the first one's precision unless told to forget.
    AcceleratorState._reset_state()
    if is_restart() and not distributed.is_initialized():
        _meet_again(place)
    # Gradients lie in the buckets that are sent, and not in memory a second time.
    exchange = DistributedDataParallelKwargs(
        find_unused_parameters=not _always_uses_all(recipe), gradient_as_bucket_view=True
    )
    handlers = [exchange, InitProcessGroupKwargs(timeout=_PATIENCE)]
    with unseen_by_accelerate():
        return Accelerator(mixed_precision=precision, cpu=place == "cpu", kwargs_handlers=handlers)


def _meet_again(place: str) -> None:
    """Form the process group of a restarted job.

    ``torchrun`` keeps one store for all attempts, and in it the addresses of processes that are gone: every attempt
    must meet under a name of its own.
    """
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    store = distributed.TCPStore(  # pyright: ignore[reportPrivateImportUsage]
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        ranks,
        is_master=rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True",
        multi_tenant=True,
    )
    name = f"auxface/attempt/{os.environ['TORCHELASTIC_RESTART_COUNT']}"
    attempt = distributed.PrefixStore(name, store)  # pyright: ignore[reportPrivateImportUsage]
    backend = "nccl" if place == "cuda" else "gloo"
    distributed.init_process_group(backend, store=attempt, rank=rank, world_size=ranks, timeout=_PATIENCE)


def _always_uses_all(recipe: Recipe) -> bool:
    """Whether every parameter gets a gradient in every step for certain; looking for those that do not costs time."""
    weight, auxiliary = recipe.primary_weight, recipe.auxiliary
    if recipe.scheme.kind != "joint" or not recipe.encoder.name.startswith(("vit_", "deit")):
        return False
    if not recipe.objectives:
        return True
    only = auxiliary is not None and len(recipe.objectives) == 1 and not auxiliary.warmup
    return only and isinstance(weight, float) and 0 < weight < 1


def resolve_precision(options: Train, device: str) -> str:
    """Accelerate's name of a recipe's precision; ``auto`` is bf16 where the device computes in it, else fp32.

    Raises:
        InputError: fp16 on a processor, where Accelerate would take fp32 and not say so.
    """
    if options.precision == "fp16" and device == "cpu":
        raise InputError("train.precision=fp16 is for GPUs; on a processor set bf16, fp32 or auto")
    if options.precision == "auto":
        return "bf16" if computes_bf16(device) else "no"
    return {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}[options.precision]


def unsynchronized(accelerator: Accelerator, model: nn.Module, last: bool) -> AbstractContextManager:
    """Gradients of all but a step's last part stay on their process."""
    return nullcontext() if last else accelerator.no_sync(model)


def gather_rows(accelerator: Accelerator, rows: Tensor, total: int) -> Tensor:
    """Rows that were dealt out in turn (rank, rank + ranks, ...), in their first order, on every process.

    Args:
        accelerator: of the run.
        rows: [n, ...], this process's.
        total: rows over all processes.
    """
    ranks = accelerator.num_processes
    if ranks == 1:
        return rows
    length = -(-total // ranks)
    padded = rows.new_zeros((length, *rows.shape[1:]))
    padded[: len(rows)] = rows
    gathered = accelerator.gather(padded.to(accelerator.device))
    assert isinstance(gathered, Tensor)
    return gathered.view(ranks, length, *rows.shape[1:]).transpose(0, 1).flatten(0, 1)[:total].to(rows.device)


def agreed_mean(accelerator: Accelerator, values: dict[str, Tensor]) -> dict[str, float]:
    """The mean over processes of scalars that every process has under the same names."""
    if not values:
        return {}
    together = torch.stack([value.float() for value in values.values()])
    if accelerator.num_processes > 1:
        together = accelerator.reduce(together, reduction="mean")
    assert isinstance(together, Tensor)
    return dict(zip(values, together.tolist(), strict=True))


def is_main_rank() -> bool:
    """Whether this process is the one that writes and prints, before any process group exists."""
    return os.environ.get("RANK", "0") == "0"


def is_restart() -> bool:
    """Whether ``torchrun`` started this process again after a rank had died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
