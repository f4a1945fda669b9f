"""Tensors of all processes, for losses that compare each image with every other image of a step."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def several_processes() -> bool:
    """Return whether this process is one of several that train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gather_rows(rows: Tensor) -> Tensor:
    """Return the rows of all processes, in the order of the processes, on every process.

    Gradients go back to the process that a row comes from: each process gets the sum of the gradients that the losses
    of all processes have with respect to its rows. Where every process computes the same loss, and gradients of weights
    are averaged over the processes (as DistributedDataParallel does), the weights get the gradient that one process
    with all the rows would give them.

    Args:
        rows: [n, ...], of any type; n may differ between processes and may be 0.

    Returns:
        [sum of n, ...]; the same tensor on a single process.
    """
    if not several_processes():
        return rows
    counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    lengths = [int(count) for count in counts]
    padded = torch.cat([rows, rows.new_zeros((max(lengths) - len(rows), *rows.shape[1:]))])
    gathered = _GatherRows.apply(padded)
    assert isinstance(gathered, Tensor)
    return torch.cat([part[:length] for part, length in zip(gathered, lengths, strict=True)])


def broadcast_first(values: Tensor) -> Tensor:
    """Return the first process's tensor on every process; shape, dtype and device must be the same on all."""
    if several_processes():
        values = values.contiguous()
        dist.broadcast(values, src=0)
    return values


class _GatherRows(torch.autograd.Function):
    """[n, ...] of each process to [processes, n, ...]."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous()
        dist.all_reduce(total)
        return total[dist.get_rank()]
