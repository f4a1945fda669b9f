"""The processes and the device that a run is on; Accelerate's, so ``torchrun`` and ``accelerate launch`` both work."""

import os
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

import torch
import torch.distributed as distributed
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from auxface.errors import InputError
from auxface.recipe import Recipe, Train
from auxface.training.sharding import check_sharding, unseen_by_accelerate

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


def resolve_device(device: str) -> str:
    """``auto`` as the fastest kind that is here."""
    if device != "auto":
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


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


def computes_bf16(device: str) -> bool:
    """Whether a device multiplies bf16 matrices in hardware, faster than fp32."""
    if device == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)
    return device == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def unsynchronised(accelerator: Accelerator, model: nn.Module, last: bool) -> AbstractContextManager:
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
