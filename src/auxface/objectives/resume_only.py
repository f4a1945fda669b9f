"""Modules, such as an EMA teacher or a center, that are needed to resume a run but not in an exported model.

Example::

    self.teacher = ResumeOnly(copy.deepcopy(encoder))
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from auxface.objectives.objective import Objective


class ResumeOnly(nn.Module):
    """A module, such as an EMA teacher or a center, that is needed to resume a run but not in an exported model.

    The module stays in evaluation mode, has no gradients, and moves to a device together with the model. The module is
    stored in the checkpoint, but it is not part of ``parameters()`` or ``state_dict()``, so it changes neither the
    optimizer nor the exported weights. Sharded training (FSDP) shards the module in the same way as the model.

    Args:
        module: the wrapped module; a tensor such as a center must be a buffer of a module.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        # The module is stored in a tuple, because nn.Module registers every module that is set as an attribute.
        self._held = (module.eval().requires_grad_(False),)

    @property
    def module(self) -> nn.Module:
        """The wrapped module."""
        return self._held[0]

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Call the wrapped module without gradients."""
        with torch.no_grad():
            return self.module(*inputs, **options)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ResumeOnly":
        self.module._apply(fn, recurse)
        return super()._apply(fn, recurse)


def resume_only_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the names of a model's :class:`ResumeOnly` modules and the modules that they wrap."""
    for name, module in model.named_modules():
        if isinstance(module, ResumeOnly):
            yield name, module.module


def resume_state(objective: Objective) -> dict[str, Tensor]:
    """Return the state of an objective, other than its weights, that a resumed run needs."""
    held = {
        f"{name}.{key}": value
        for name, module in resume_only_modules(objective)
        for key, value in module.state_dict().items()
    }
    return objective.resume_tensors() | held


def load_resume_state(objective: Objective, state: Mapping[str, Tensor]) -> None:
    """Restore the state that :func:`resume_state` returned.

    Raises:
        RuntimeError: the state does not match the :class:`ResumeOnly` modules.
    """
    left = dict(state)
    for name, module in resume_only_modules(objective):
        prefix = f"{name}."
        own = {key.removeprefix(prefix): left.pop(key) for key in state if key.startswith(prefix)}
        module.load_state_dict(own)
    if left:
        objective.load_resume_tensors(left)
