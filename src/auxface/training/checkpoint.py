"""The full state of a run, so that a resumed run equals an unbroken one; no pickle.

Each checkpoint is a folder of its own, named after its step, that appears whole by a rename; the two newest are kept. A
process that is killed at any moment leaves at least the one before.
"""

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from auxface.errors import InputError
from auxface.model.directory import write_weights
from auxface.training.distributed import laid_out

TENSORS = ("model", "optimizer", "best", "objectives", "average", "group_shares")
_KEPT = 2
_STATE = "state.json"
_DIGITS = 9


@dataclass(frozen=True)
class RunState:
    """Where a run stands.

    Attributes:
        step: optimizer steps done.
        epoch: epochs done.
        step_in_epoch: steps done of the epoch that is under way.
        best_value: best validation figure so far, or None.
        best_epoch: the epoch that gave it (counted from 1), or 0.
        looks_since_best: looks at the validation split since then.
        sums: what the steps of the epoch that is under way have logged, summed.
        summed: how many steps are in each sum.
        scaler: state of the fp16 loss scale; empty without one.
    """

    step: int = 0
    epoch: int = 0
    step_in_epoch: int = 0
    best_value: float | None = None
    best_epoch: int = 0
    looks_since_best: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    summed: dict[str, int] = field(default_factory=dict)
    scaler: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(folder: Path, tensors: dict[str, dict[str, Tensor]], state: RunState) -> Path:
    """Write a checkpoint of this step and delete all but the newest two.

    Args:
        folder: holds the checkpoints of a run.
        tensors: by file name: weights, optimizer moments (see :func:`optimizer_tensors`), and what else there is.
        state: the counters.

    Returns:
        The folder that was written.

    Raises:
        OSError: the disk is full, or another fault of it; earlier checkpoints are untouched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"{state.step:0{_DIGITS}d}"
    beside = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=folder))
    try:
        for name, each in tensors.items():
            write_weights(_plain(each), beside / f"{name}.safetensors")
        (beside / _STATE).write_text(json.dumps(asdict(state)) + "\n")
        for path in beside.iterdir():
            _flush(path)
        beside.chmod(0o755)
        # A damaged one of the same step.
        _remove(place, tensors)
        if place.exists():
            for path in sorted(beside.iterdir(), key=lambda path: path.name == _STATE):
                path.replace(place / path.name)
        else:
            beside.replace(place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    for old in _numbered(folder)[_KEPT:]:
        _remove(old, tensors)
    return place


def checkpoint_patterns(folder: str) -> list[str]:
    """Names of all files that :func:`save_checkpoint` writes for a run, those that a kill leaves half-written too."""
    number = "[0-9]" * _DIGITS
    names = [_STATE, *(f"{name}.safetensors" for name in TENSORS)]
    return [f"{folder}/{place}/{name}" for place in (number, f".{number}.????????") for name in names]


def newest_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint that was written whole, or None."""
    return next(iter(_numbered(folder)), None)


def load_checkpoint(
    folder: Path, restore: Callable[[dict[str, dict[str, Tensor]]], None]
) -> tuple[RunState, dict[str, dict[str, Tensor]]]:
    """Put the newest saved state back; one that the disk has damaged gives way, with a warning, to the one before.

    Args:
        folder: holds the checkpoints of a run.
        restore: puts tensors by file name into model and optimizer; may raise KeyError, ValueError or RuntimeError.

    Raises:
        InputError: no checkpoint in the folder is readable and of this model.
    """
    reasons: list[str] = []
    for place in _numbered(folder):
        try:
            state = RunState(**json.loads((place / _STATE).read_text()))
            tensors = {path.stem: safetensors.torch.load_file(path) for path in sorted(place.glob("*.safetensors"))}
            restore(tensors)
        except (OSError, ValueError, TypeError, KeyError, SafetensorError, RuntimeError) as error:
            reasons.append(f"{place}: {' '.join(str(error).split())[:300]}")
            continue
        if reasons:
            warnings.warn(f"a checkpoint is damaged, going on from the one before ({reasons[0]})", stacklevel=2)
        return state, tensors
    raise InputError(f"{folder}: no checkpoint that this run can go on from ({reasons[0] if reasons else 'none'})")


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state by parameter: ``NAME:exp_avg`` and so on."""
    return {
        f"{name}:{kind}": torch.as_tensor(value)
        for name, parameter in model.named_parameters()
        for kind, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what :func:`optimizer_tensors` gave.

    Raises:
        KeyError: state of a parameter that the model lacks.
    """
    parameters = dict(model.named_parameters())
    numbers = {id(p): number for number, p in enumerate(p for g in optimizer.param_groups for p in g["params"])}
    saved = optimizer.state_dict()
    saved["state"] = {}
    for key, value in tensors.items():
        name, _, kind = key.rpartition(":")
        parameter = parameters[name]
        saved["state"].setdefault(numbers[id(parameter)], {})[kind] = laid_out(value, parameter)
    optimizer.load_state_dict(saved)


def _numbered(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if path.name.isdigit() and (path / _STATE).exists()), reverse=True)


def _remove(place: Path, names: Iterable[str]) -> None:
    """Delete a checkpoint's files; the folder stays if it holds anything else."""
    # Without its state it is no checkpoint any more, wherever a kill stops this.
    for file in (_STATE, *(f"{name}.safetensors" for name in names)):
        (place / file).unlink(missing_ok=True)
    with suppress(OSError):
        place.rmdir()


def _flush(path: Path) -> None:
    with path.open("rb") as written:
        os.fsync(written.fileno())


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
