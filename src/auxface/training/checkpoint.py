"""The full state of a run, so that a resumed run equals an unbroken one; no pickle."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from auxface.atomic import atomic_folder
from auxface.errors import InputError


@dataclass(frozen=True)
class RunState:
    """Where a run stands.

    Attributes:
        step: optimiser steps done.
        epoch: epochs done.
        best_value: best validation figure so far, or None.
        best_epoch: the epoch that gave it (counted from 1), or 0.
    """

    step: int = 0
    epoch: int = 0
    best_value: float | None = None
    best_epoch: int = 0


def save_checkpoint(
    folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer, best: dict[str, Tensor], state: RunState
) -> None:
    """Write weights, optimiser moments, best weights and counters; the previous checkpoint stays whole until then."""
    moments = {
        f"{number}.{name}": torch.as_tensor(value)
        for number, each in optimiser.state_dict()["state"].items()
        for name, value in each.items()
    }
    with atomic_folder(folder) as beside:
        safetensors.torch.save_file(_plain(model.state_dict()), beside / "model.safetensors")
        safetensors.torch.save_file(_plain(moments), beside / "optimiser.safetensors")
        safetensors.torch.save_file(_plain(best), beside / "best.safetensors")
        (beside / "state.json").write_text(json.dumps(asdict(state)) + "\n")


def load_checkpoint(
    folder: Path, model: nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[RunState, dict[str, Tensor]]:
    """Put a saved state into a model and its optimiser; returns the counters and the best weights.

    Raises:
        InputError: the checkpoint is missing, broken, or of another model.
    """
    try:
        state = RunState(**json.loads((folder / "state.json").read_text()))
        model.load_state_dict(safetensors.torch.load_file(folder / "model.safetensors"))
        moments = safetensors.torch.load_file(folder / "optimiser.safetensors")
        best = safetensors.torch.load_file(folder / "best.safetensors")
    except (OSError, ValueError, TypeError, SafetensorError, RuntimeError) as error:
        raise InputError(f"{folder}: not a checkpoint that this run can go on from ({error})") from None
    saved = optimiser.state_dict()
    saved["state"] = {}
    for key, value in moments.items():
        number, name = key.split(".", 1)
        saved["state"].setdefault(int(number), {})[name] = value
    optimiser.load_state_dict(saved)
    return state, best


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
