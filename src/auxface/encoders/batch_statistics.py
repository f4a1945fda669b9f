"""Batch normalisation that keeps the statistics of masked or cropped pictures apart from those of whole ones.

A batch norm evaluates with running statistics of what it was trained on. A joint step shows it two kinds of pictures
whose features are distributed differently; one running average of both would fit neither (the same is known of clean
and adversarial pictures: Xie et al., 2020). Weights are shared, only the running statistics are two.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_RUNNING = ("running_mean", "running_var", "num_batches_tracked")


class MaskedStatistics:
    """The second set of running statistics of every batch norm in a model; none if it has no batch norm.

    Args:
        model: gets buffers ``masked_running_mean`` and so on beside its batch norms' own.
    """

    def __init__(self, model: nn.Module) -> None:
        self._norms = [
            module
            for module in model.modules()
            if isinstance(module, _BatchNorm) and module.track_running_stats and module.running_mean is not None
        ]
        for norm in self._norms:
            for name in _RUNNING:
                norm.register_buffer(f"masked_{name}", getattr(norm, name).clone())

    @contextmanager
    def used(self) -> Iterator[None]:
        """Inside, batch norms read and update the statistics of masked pictures."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def lend(self) -> None:
        """Where no whole picture was ever seen in training, take the statistics of the masked ones for whole ones.

        Waits for the device; meant for the change from training to evaluation.
        """
        for norm in self._norms:
            own: Tensor = norm.num_batches_tracked  # pyright: ignore[reportAssignmentType]
            masked: Tensor = norm.masked_num_batches_tracked  # pyright: ignore[reportAssignmentType]
            if not own.is_meta and int(own) == 0 and int(masked) > 0:
                with torch.no_grad():
                    norm.running_mean.copy_(norm.masked_running_mean)  # pyright: ignore
                    norm.running_var.copy_(norm.masked_running_var)  # pyright: ignore

    def _swap(self) -> None:
        for norm in self._norms:
            buffers = norm._buffers
            for name in _RUNNING:
                buffers[name], buffers[f"masked_{name}"] = buffers[f"masked_{name}"], buffers[name]
