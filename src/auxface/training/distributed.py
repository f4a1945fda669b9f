"""Processes, devices and precision of a run, with Accelerate; supports ``torchrun`` and ``accelerate launch``.

Example::

    accelerator = make_accelerator(recipe, "auto")
    model, optimizer = prepare(accelerator, model, optimizer)
    losses = mean_over_processes(accelerator, losses)
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as distributed
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from auxface.atomic import check_writable
from auxface.device import resolve_device
from auxface.errors import InputError
from auxface.recipe import Recipe, Train
from auxface.training.fsdp import check_fsdp_options, fsdp_hidden_from_accelerate

# One process may decode a whole data set while the others wait.
_TIMEOUT = timedelta(hours=6)
_UNSUPPORTED_ENGINES = ("DEEPSPEED", "MEGATRON_LM")


def make_accelerator(recipe: Recipe, device: str = "auto") -> Accelerator:
    """Return an accelerator for the device, the recipe's precision, and the processes that the launcher started.

    Args:
        recipe: the recipe of the run.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        InputError: the precision is fp16 on a CPU, or the launcher requests DeepSpeed, Megatron or an unsupported FSDP
            setting.
    """
    engines = [name for name in _UNSUPPORTED_ENGINES if os.environ.get(f"ACCELERATE_USE_{name}", "").lower() == "true"]
    if engines:
        raise InputError(
            f"the accelerate configuration requests {engines[0]}, which auxface does not support; set "
            "distributed_type: FSDP for sharded weights, or MULTI_GPU for full weights on each GPU"
        )
    kind = resolve_device(device)
    precision = resolve_precision(recipe.train, kind)
    check_fsdp_options(precision)
    # One process may train several recipes one after another. Without this reset, Accelerate would keep the precision
    # of the first recipe.
    AcceleratorState._reset_state()
    if is_restart() and not distributed.is_initialized():
        _join_restarted_group(kind)
    # With bucket views, gradients are stored only once: in the buckets that DistributedDataParallel sends.
    handlers = [
        DistributedDataParallelKwargs(
            find_unused_parameters=not _uses_all_parameters(recipe), gradient_as_bucket_view=True
        ),
        InitProcessGroupKwargs(timeout=_TIMEOUT),
    ]
    with fsdp_hidden_from_accelerate():
        return Accelerator(mixed_precision=precision, cpu=kind == "cpu", kwargs_handlers=handlers)


def resolve_precision(options: Train, device: str) -> str:
    """Return Accelerate's name for the precision; ``auto`` becomes fp32 if no trial has replaced it.

    Args:
        options: the recipe's ``train`` section.
        device: ``cpu``, ``cuda`` or ``mps``.

    Returns:
        ``no`` (fp32), ``bf16`` or ``fp16``.

    Raises:
        InputError: the precision is fp16 on a CPU, where Accelerate would silently use fp32.
    """
    if options.precision == "fp16" and device == "cpu":
        raise InputError("train.precision=fp16 requires a GPU; on a CPU, use bf16, fp32 or auto")
    return {"auto": "no", "fp32": "no", "bf16": "bf16", "fp16": "fp16"}[options.precision]


def _join_restarted_group(device: str) -> None:
    """Create the process group of a job that ``torchrun`` has restarted.

    ``torchrun`` uses the same store for all attempts, and the store contains addresses of processes that no longer
    exist. Therefore, every attempt needs its own prefix.
    """
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    store = distributed.TCPStore(  # pyright: ignore[reportPrivateImportUsage]
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        ranks,
        is_master=rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True",
        multi_tenant=True,
    )
    prefix = f"auxface/attempt/{os.environ['TORCHELASTIC_RESTART_COUNT']}"
    attempt = distributed.PrefixStore(prefix, store)  # pyright: ignore[reportPrivateImportUsage]
    backend = "nccl" if device == "cuda" else "gloo"
    distributed.init_process_group(backend, store=attempt, rank=rank, world_size=ranks, timeout=_TIMEOUT)


def _uses_all_parameters(recipe: Recipe) -> bool:
    """Return whether every parameter gets a gradient in every step, so that DDP does not have to find unused ones."""
    fixed, auxiliary = recipe.balance.kind == "fixed", recipe.auxiliary
    if recipe.scheme.kind != "joint" or recipe.primary.freeze or not recipe.encoder.name.startswith(("vit_", "deit")):
        return False
    if not recipe.all_auxiliaries:
        return True
    only_reconstruction = auxiliary is not None and len(recipe.all_auxiliaries) == 1 and not auxiliary.warmup
    return only_reconstruction and (not fixed or 0 < recipe.primary_weight < 1)


def prepare(
    accelerator: Accelerator, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Wrap model and optimizer for distributed training; a sharded model exchanges gradients without a wrapper."""
    if isinstance(model, FSDPModule):
        return model, accelerator.prepare(optimizer)
    return accelerator.prepare(model, optimizer)


def gradient_sync(accelerator: Accelerator, model: nn.Module, enabled: bool) -> AbstractContextManager:
    """Exchange gradients inside a ``with`` block only if ``enabled``, that is, for the last micro-batch."""
    return nullcontext() if enabled else accelerator.no_sync(model)


def gather_rows(accelerator: Accelerator, rows: Tensor, total: int) -> Tensor:
    """Gather rows that are split over processes as rank, rank + ranks, ..., in their original order.

    Args:
        accelerator: accelerator of the run.
        rows: [n, ...], the rows of this process.
        total: number of rows over all processes.

    Returns:
        All rows, [total, ...], on every process.
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


def mean_over_processes(accelerator: Accelerator, values: dict[str, Tensor]) -> dict[str, float]:
    """Return the means of scalars over processes; every process must pass the same names."""
    if not values:
        return {}
    stacked = torch.stack([value.float() for value in values.values()])
    if accelerator.num_processes > 1:
        stacked = accelerator.reduce(stacked, reduction="mean")
    assert isinstance(stacked, Tensor)
    return dict(zip(values, stacked.tolist(), strict=True))


def is_main_rank() -> bool:
    """Return whether this is the main process, which writes and prints; works before a process group exists."""
    return os.environ.get("RANK", "0") == "0"


def is_restart() -> bool:
    """Return whether ``torchrun`` restarted this process after another process had died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


@contextmanager
def sole_training(folder: Path) -> Iterator[None]:
    """Lock the folder of a run, which is created if it is missing, while the ``with`` block runs.

    Of several processes of one run, only the first locks the folder. The system releases the lock when the process
    ends. Folders that were created are deleted at the end if they are empty.

    Raises:
        InputError: another run is training in the folder, or the folder cannot be written.
    """
    try:
        import fcntl
    except ImportError:
        # There is no such lock on Windows.
        yield
        return
    if int(os.environ.get("RANK", "0")) > 0:
        yield
        return
    check_writable(folder)
    place = Path(os.path.realpath(folder))
    created = [path for path in (place, *place.parents) if not path.exists()]
    place.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(place, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{folder}: another process is training in this folder; wait until it ends, or choose another folder"
            ) from None
        except OSError:
            # Some network file systems have no locks.
            pass
        yield
    finally:
        os.close(descriptor)
        for path in created:
            with suppress(OSError):
                path.rmdir()
