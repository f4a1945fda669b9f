"""Rows of all processes, so that a loss that compares pictures with each other sees the whole step's."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def several_processes() -> bool:
    """Whether this process is one of several that train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def rows_of_all(rows: Tensor) -> Tensor:
    """The rows of every process, in the order of the processes, on every one of them.

    Gradients go back to where the rows come from: each process gets the sum of what all processes' losses ask of its
    rows. Where every process computes the same loss, and gradients of weights are averaged over the processes (as
    DistributedDataParallel does), the weights get the gradient that one process with all the rows would give them.

    Args:
        rows: [n, ...], of any type; n may differ between processes and may be 0.

    Returns:
        [sum of n, ...]; of a single process its own rows as they are.
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


def first_process_decides(values: Tensor) -> Tensor:
    """The first process's tensor on every process; all give one of the same shape, type and device."""
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
