"""Separate batch-norm statistics for masked and complete images.

In evaluation a batch norm uses the running statistics of its training inputs. A joint step encodes complete and masked
images, whose features are distributed differently, and one running average would fit neither (Xie et al., 2020, report
the same of clean and adversarial images). The weights are shared; only the running statistics are kept twice.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_RUNNING = ("running_mean", "running_var", "num_batches_tracked")


class MaskedStatistics:
    """A second set of running statistics for every batch norm of a model.

    Args:
        model: its batch norms, if it has any, get the buffers ``masked_running_mean``, ``masked_running_var`` and
            ``masked_num_batches_tracked``.
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
    def active(self) -> Iterator[None]:
        """Read and update the statistics of masked images inside a ``with`` block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def copy_if_unused(self) -> None:
        """Copy the statistics of masked images to batch norms that were never trained on complete images.

        Synchronizes with the device; called when the model changes from training to evaluation.
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
