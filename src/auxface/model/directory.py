"""The files of a model directory: ``model.safetensors``, ``config.json`` and ``README.md``.

No pickle is read or written. :mod:`auxface.model.saved_model` reads and writes whole models with these functions.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from torch import Tensor, nn

from auxface.atomic import atomic_file
from auxface.errors import InputError
from auxface.model.card import model_card
from auxface.model.config import ModelConfig

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
CARD = "README.md"
MODEL_FILES = (WEIGHTS, CONFIG, CARD)
MAX_PARAMETERS = 3_000_000_000
_LARGEST_CONFIG = 20_000_000
_FLOATS = frozenset({torch.float32, torch.float16, torch.bfloat16, torch.float64})
_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip

Model = TypeVar("Model", bound=nn.Module)


def write_model_files(
    weights: Mapping[str, Tensor], folder: Path, config: ModelConfig, report: Mapping[str, Any] | None = None
) -> None:
    """Write the three files of a model directory into an existing folder.

    Each file is written atomically; the configuration is written last.

    Args:
        weights: exported weights of the model.
        folder: the folder.
        config: configuration of the model.
        report: content of an audit's ``report.json``, which is shown in the model card.

    Raises:
        OSError: a file cannot be written, for example because the disk is full.
    """
    host = {name: value.detach().contiguous().cpu() for name, value in weights.items()}
    with atomic_file(folder / WEIGHTS) as temporary:
        write_weights(host, temporary)
    with atomic_file(folder / CARD) as temporary:
        temporary.write_text(model_card(config, report), encoding="utf-8")
    with atomic_file(folder / CONFIG) as temporary:
        temporary.write_text(config.model_dump_json(indent=1) + "\n", encoding="utf-8")


def write_weights(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write a safetensors file.

    Raises:
        OSError: the file cannot be written; ``errno`` is derived from the message of safetensors.
    """
    try:
        # Weights of convolutions may be in channels-last memory format.
        safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise OSError(f"{path}: {error}") from None
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None


def read_config(folder: Path) -> ModelConfig:
    """Return the configuration of a model directory; only ``config.json`` is read.

    Raises:
        InputError: ``config.json`` is missing, for example because training is not complete, or it is not a valid
            configuration of a model.
    """
    path = folder / CONFIG
    if not path.is_file() and (folder / "run.json").is_file():
        raise InputError(f"{folder}: training is not complete; complete it with 'auxface train --resume {folder}'")
    if not path.is_file():
        raise InputError(f"{folder}: not a model directory ({CONFIG} is missing); train a model with 'auxface train'")
    _refuse_link(path)
    if path.stat().st_size > _LARGEST_CONFIG:
        raise InputError(f"{path}: the file is too large for a model's configuration")
    try:
        return ModelConfig.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"{path}: not a model's configuration ({place}: {first['msg'].lower()})") from None
    except (RecursionError, OSError) as error:
        raise InputError(f"{path}: cannot be read ({type(error).__name__})") from None


def read_model(folder: Path, build: Callable[[ModelConfig], Model]) -> tuple[Model, ModelConfig]:
    """Read a model directory. Nothing is downloaded and nothing in the directory is executed.

    The model is first built without allocating memory and compared with the header of the weights file, so that an
    untrusted configuration cannot request more memory than the weights need.

    Args:
        folder: the model directory.
        build: callable that returns the model for a configuration, with arbitrary weights.

    Returns:
        The model with the stored weights, in evaluation mode, and its configuration.

    Raises:
        InputError: a file is missing or corrupt, the weights do not match the configuration, or there are more than
            :data:`MAX_PARAMETERS` parameters.
    """
    config = read_config(folder)
    path = folder / WEIGHTS
    if not path.is_file():
        raise InputError(f"{folder}: {WEIGHTS} is missing")
    _refuse_link(path)
    have = _header(path)
    _compare(_planned(build, config, folder / CONFIG), have, path)
    model = _built(build, config, folder / CONFIG)
    try:
        weights = safetensors.torch.load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(_unreadable(path, error)) from None
    broken = next((name for name, value in weights.items() if not torch.isfinite(value).all()), None)
    if broken is not None:
        raise InputError(f"{path}: tensor '{broken}' contains NaN or infinite values; train the model again")
    model.load_state_dict(weights)
    return model.eval(), config


def _built(build: Callable[[ModelConfig], Model], config: ModelConfig, path: Path) -> Model:
    try:
        return build(config)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    # Untrusted values are passed deep into libraries, which raise errors of many types.
    except Exception as error:
        raise InputError(f"{path}: no model can be built from this file ({type(error).__name__}: {error})") from None


def _planned(
    build: Callable[[ModelConfig], nn.Module], config: ModelConfig, path: Path
) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    with torch.device("meta"):
        model = _built(build, config, path)
    return {name: (value.dtype, tuple(value.shape)) for name, value in model.state_dict().items()}


def _header(path: Path) -> dict[str, tuple[torch.dtype | None, tuple[int, ...]]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {name: (_DTYPES.get(cut.get_dtype()), tuple(cut.get_shape())) for name, cut in slices.items()}
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(_unreadable(path, error)) from None


def _compare(
    expected: dict[str, tuple[torch.dtype, tuple[int, ...]]],
    have: dict[str, tuple[torch.dtype | None, tuple[int, ...]]],
    path: Path,
) -> None:
    shapes = [{name: shape for name, (_, shape) in side.items()} for side in (expected, have)]
    wrong = sorted(name for name in expected.keys() | have.keys() if shapes[0].get(name) != shapes[1].get(name))
    if wrong:
        name = wrong[0]
        raise InputError(
            f"{path}: the weights do not match {CONFIG} ({len(wrong)} tensors differ; '{name}' has shape "
            f"{shapes[1].get(name, 'none')}, expected {shapes[0].get(name, 'none')})"
        )
    for name, (dtype, _) in expected.items():
        found = have[name][0]
        if found != dtype and not (found in _FLOATS and dtype in _FLOATS):
            raise InputError(f"{path}: tensor '{name}' has type {found or 'unknown'}; expected {dtype}")
    count = sum(torch.Size(shape).numel() for _, shape in expected.values())
    if count > MAX_PARAMETERS:
        most = f"{MAX_PARAMETERS / 1e9:.0f} billion"
        raise InputError(f"{path}: the model has {count / 1e9:.1f} billion parameters; at most {most} are supported")


def _refuse_link(path: Path) -> None:
    """Reject symbolic links, except links within the directory or to the blobs of a Hugging Face cache."""
    allowed = [path.parent.resolve()]
    if path.parent.parent.name == "snapshots":
        allowed.append(path.parent.parent.parent.resolve() / "blobs")
    if not any(path.resolve().is_relative_to(folder) for folder in allowed):
        raise InputError(f"{path}: the link points outside the model directory")


def _unreadable(path: Path, error: Exception) -> str:
    return f"{path}: not a readable safetensors file ({(str(error).splitlines() or ['corrupt'])[0]})"
