"""Checkpoints: the full state of a run and a record of its inputs, without pickle, so that a run is resumed exactly.

Each checkpoint is a folder named after its step. The folder is renamed into place when it is complete. The newest two
checkpoints are kept, so a process that is killed at any moment leaves at least one checkpoint.

Example::

    save_checkpoint(folder, {"model": weights, "optimizer": optimizer_tensors(model, optimizer)}, RunState(step=500))
    state, _ = load_checkpoint(folder, restore)

``run.json`` records the inputs of a run, so that only its folder is needed to resume it::

    write_record(folder, RunRecord(data="/data/faces.parquet", manifest_hash=manifest.hash, images={"train": 900}))
    manifest = read_same_manifest(folder, read_record(folder), data=None)
"""

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from auxface.atomic import atomic_file
from auxface.data.manifest import Manifest, read_manifest
from auxface.errors import InputError
from auxface.model.directory import write_weights
from auxface.training.fsdp import shard_like
from auxface.training.unlabeled import read_unlabeled

TENSORS = ("model", "optimizer", "best", "objectives", "average", "group_dro")
_KEPT_CHECKPOINTS = 2
_STATE_FILE = "state.json"
_STEP_DIGITS = 9
_RECORD_FILE = "run.json"
_UNREADABLE = (OSError, ValueError, TypeError, KeyError, SafetensorError, RuntimeError)


@dataclass(frozen=True)
class RunState:
    """Counters of a run, the content of ``state.json``.

    Attributes:
        step: number of completed optimizer steps.
        epoch: number of completed epochs.
        step_in_epoch: number of completed steps in the current epoch.
        best_value: best validation metric so far, or None.
        best_epoch: epoch with the best metric, counted from 1; 0 before the first validation.
        validations_since_best: number of validations since the best metric.
        sums: sums of the scalars that the steps of the current epoch have logged.
        summed: number of steps that contribute to each sum.
        scaler: state of the fp16 loss scaler; empty without a scaler.
        epochs: number of epochs if ``train.max_seconds`` shortened the run; None for the number in the recipe.
        seconds: training time so far.
    """

    step: int = 0
    epoch: int = 0
    step_in_epoch: int = 0
    best_value: float | None = None
    best_epoch: int = 0
    validations_since_best: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    summed: dict[str, int] = field(default_factory=dict)
    scaler: dict[str, Any] = field(default_factory=dict)
    epochs: int | None = None
    seconds: float = 0.0


def save_checkpoint(folder: Path, tensors: dict[str, dict[str, Tensor]], state: RunState) -> Path:
    """Write the checkpoint of a step, and delete all but the newest two checkpoints.

    Args:
        folder: folder that contains the checkpoints of a run.
        tensors: tensors by file name: ``model``, ``optimizer`` (see :func:`optimizer_tensors`) and the other names in
            ``TENSORS``.
        state: counters of the run.

    Returns:
        The folder of the checkpoint.

    Raises:
        OSError: the disk is full or has failed; earlier checkpoints are unchanged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"{state.step:0{_STEP_DIGITS}d}"
    temporary = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=folder))
    try:
        for name, each in tensors.items():
            write_weights(_on_cpu(each), temporary / f"{name}.safetensors")
        (temporary / _STATE_FILE).write_text(json.dumps(asdict(state)) + "\n")
        for path in temporary.iterdir():
            _flush(path)
        temporary.chmod(0o755)
        # A corrupt checkpoint of the same step may exist, in a folder that also contains files of the user.
        _delete(place, tensors)
        if place.exists():
            for path in sorted(temporary.iterdir(), key=lambda path: path.name == _STATE_FILE):
                path.replace(place / path.name)
        else:
            temporary.replace(place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for old in _newest_first(folder)[_KEPT_CHECKPOINTS:]:
        _delete(old, tensors)
    return place


def load_checkpoint(
    folder: Path, restore: Callable[[dict[str, dict[str, Tensor]]], None]
) -> tuple[RunState, dict[str, dict[str, Tensor]]]:
    """Load the newest checkpoint; if it is corrupt, warn and load the previous one.

    Args:
        folder: folder that contains the checkpoints of a run.
        restore: callable that takes tensors by file name and loads them into model and optimizer; it may raise
            KeyError, ValueError or RuntimeError.

    Returns:
        The counters, and the tensors by file name.

    Raises:
        InputError: the folder contains no readable checkpoint of this model.
    """
    reasons: list[str] = []
    for place in _newest_first(folder):
        try:
            state = _read_state(place)
            tensors = {path.stem: safetensors.torch.load_file(path) for path in sorted(place.glob("*.safetensors"))}
            restore(tensors)
        except _UNREADABLE as error:
            reasons.append(_reason(place, error))
            continue
        if reasons:
            warnings.warn(f"corrupt checkpoint; resuming from {place} instead ({reasons[0]})", stacklevel=2)
        return state, tensors
    raise InputError(_not_resumable(folder, reasons))


def check_checkpoints(folder: Path) -> None:
    """Check that one of the checkpoints of a run, if there are any, is complete; no tensor is read.

    Args:
        folder: folder that contains the checkpoints of a run.

    Raises:
        InputError: the folder contains checkpoints, but none of them is complete.
    """
    reasons: list[str] = []
    for place in _newest_first(folder):
        try:
            _read_state(place)
            for name in TENSORS:
                # The header states the size of the file, so a truncated file cannot be opened.
                with safe_open(place / f"{name}.safetensors", framework="pt"):
                    pass
            return
        except _UNREADABLE as error:
            reasons.append(_reason(place, error))
    if reasons:
        raise InputError(_not_resumable(folder, reasons))


def _read_state(place: Path) -> RunState:
    return RunState(**json.loads((place / _STATE_FILE).read_text()))


def _reason(place: Path, error: Exception) -> str:
    return f"{place}: {' '.join(str(error).split())[:300]}"


def _not_resumable(folder: Path, reasons: Sequence[str]) -> str:
    reason = reasons[0] if reasons else "none"
    return f"{folder}: no checkpoint from which this run can be resumed ({reason}); start a new run"


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the folder of the newest complete checkpoint, or None."""
    return next(iter(_newest_first(folder)), None)


def checkpoint_patterns(folder: str) -> list[str]:
    """Return patterns that match all files of :func:`save_checkpoint`, including files that killed processes left."""
    number = "[0-9]" * _STEP_DIGITS
    names = [_STATE_FILE, *(f"{name}.safetensors" for name in TENSORS)]
    return [f"{folder}/{place}/{name}" for place in (number, f".{number}.????????") for name in names]


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's state, keyed by parameter name: ``NAME:exp_avg``, ``NAME:exp_avg_sq``, ``NAME:step``."""
    return {
        f"{name}:{kind}": torch.as_tensor(value)
        for name, parameter in model.named_parameters()
        for kind, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Load the result of :func:`optimizer_tensors` into an optimizer.

    Raises:
        KeyError: a tensor belongs to a parameter that the model lacks.
    """
    parameters = dict(model.named_parameters())
    numbers = {id(p): number for number, p in enumerate(p for g in optimizer.param_groups for p in g["params"])}
    state_dict = optimizer.state_dict()
    state_dict["state"] = {}
    for key, value in tensors.items():
        name, _, kind = key.rpartition(":")
        parameter = parameters[name]
        state_dict["state"].setdefault(numbers[id(parameter)], {})[kind] = shard_like(value, parameter)
    optimizer.load_state_dict(state_dict)
    # The fused step requires moments with the same memory format as their weights.
    for parameter, moments in optimizer.state.items():
        for kind, value in moments.items():
            if value.shape == parameter.shape and value.stride() != parameter.stride() and not parameter.is_meta:
                moments[kind] = torch.empty_like(parameter).copy_(value)


def _newest_first(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        (path for path in folder.iterdir() if path.name.isdigit() and (path / _STATE_FILE).exists()), reverse=True
    )


def _delete(place: Path, names: Iterable[str]) -> None:
    """Delete the files of a checkpoint; the folder is kept if it contains other files."""
    # The state is deleted first: without it, the folder is no longer a checkpoint, even if the process is killed here.
    for file in (_STATE_FILE, *(f"{name}.safetensors" for name in names)):
        (place / file).unlink(missing_ok=True)
    with suppress(OSError):
        place.rmdir()


def _flush(path: Path) -> None:
    with path.open("rb") as written:
        os.fsync(written.fileno())


def _on_cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


@dataclass(frozen=True)
class RunRecord:
    """The content of ``run.json``: the inputs of a run.

    Attributes:
        data: absolute path of the manifest.
        manifest_hash: hash of the manifest's header and rows.
        images: number of usable images per split.
        unlabeled: hashes of the manifests of unlabeled images, by absolute path.
        trial: record of the speed trial; see :func:`auxface.training.measured_choices.choose_speed`.
    """

    data: str
    manifest_hash: str
    images: dict[str, int]
    unlabeled: dict[str, str] = field(default_factory=dict)
    trial: dict[str, Any] = field(default_factory=dict)


def write_record(folder: Path, record: RunRecord) -> None:
    """Write ``run.json`` into a run's folder."""
    with atomic_file(folder / _RECORD_FILE) as temporary:
        temporary.write_text(json.dumps(asdict(record), indent=1) + "\n")


def has_record(folder: Path) -> bool:
    """Return whether a folder contains ``run.json``, which means that a run was started there."""
    return (folder / _RECORD_FILE).is_file()


def read_record(folder: Path) -> RunRecord:
    """Return the record in a run's folder, ``run.json``.

    Raises:
        InputError: no run was started in the folder, or the file is not a valid record.
    """
    if not has_record(folder):
        raise InputError(
            f"{folder}: no run to resume ({_RECORD_FILE} is missing); start one with 'auxface train RECIPE'"
        )
    try:
        return RunRecord(**json.loads((folder / _RECORD_FILE).read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise InputError(f"{folder / _RECORD_FILE}: not a valid record of a run; start a new run") from None


def read_same_manifest(folder: Path, record: RunRecord, data: Path | None) -> Manifest:
    """Return the manifest with which a run was started, after checking that it is unchanged.

    Args:
        folder: folder of the run.
        record: record of the run.
        data: path of the manifest if it was moved; None for the recorded path.

    Raises:
        InputError: the manifest is missing, or its header or rows have changed.
    """
    path = Path(record.data) if data is None else data
    manifest = read_manifest(path)
    _check_hash(path, manifest, record.manifest_hash, folder)
    return manifest


def read_same_unlabeled(folder: Path, record: RunRecord, unlabeled: Sequence[str | Path]) -> dict[str, Manifest]:
    """Return the manifests of unlabeled images with which a run was started, after checking that they are unchanged.

    Args:
        folder: folder of the run.
        record: record of the run.
        unlabeled: paths of the manifests, in the original order, if they were moved; empty for the recorded paths.

    Raises:
        InputError: the number of manifests differs, or a manifest is missing or has changed.
    """
    paths = [str(path) for path in unlabeled] or [*record.unlabeled]
    if len(paths) != len(record.unlabeled):
        raise InputError(
            f"the run in {folder} was started with {len(record.unlabeled)} manifests of unlabeled images, but "
            f"--unlabeled names {len(paths)}; name all of them in the original order"
        )
    manifests = read_unlabeled(paths)
    for (path, manifest), expected in zip(manifests.items(), record.unlabeled.values(), strict=True):
        _check_hash(Path(path), manifest, expected, folder)
    return manifests


def _check_hash(path: Path, manifest: Manifest, expected: str, folder: Path) -> None:
    if manifest.hash != expected:
        raise InputError(
            f"{path}: not the manifest with which the run in {folder} was started (rows or header have changed); "
            "restore the original manifest, or start a new run"
        )


def check_image_counts(folder: Path, record: RunRecord, images: dict[str, int]) -> None:
    """Check that the number of usable images, which determines their order, is the same as at the start of the run.

    Args:
        folder: folder of the run.
        record: record of the run.
        images: current number of usable images per split.

    Raises:
        InputError: the number of images of a split differs.
    """
    for split, count in images.items():
        if record.images.get(split) != count:
            raise InputError(
                f"{folder}: {record.images.get(split)} images of '{split}' could be read when the run was started, "
                f"but {count} can be read now; restore the missing images, or start a new run"
            )
