"""Writing and reading a model directory: ``model.safetensors``, ``config.json``, ``README.md``; never a pickle."""

from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
from pydantic import ValidationError
from safetensors import SafetensorError

from auxface.atomic import atomic_folder
from auxface.errors import InputError
from auxface.model.card import model_card
from auxface.model.config import ModelConfig, TaskRecord
from auxface.model.joint import JointModel

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
CARD = "README.md"
_LARGEST_CONFIG = 20_000_000


@dataclass(frozen=True)
class SavedModel:
    """A model with its configuration."""

    model: JointModel
    config: ModelConfig


def default_config(model: JointModel) -> ModelConfig:
    """A configuration for a model of which nothing was measured: no threshold, no calibration, no selection."""
    tasks = [TaskRecord(name=t.name, kind=t.kind, classes=t.classes, weight=t.weight) for t in model.tasks]  # pyright: ignore[reportArgumentType]
    return ModelConfig(recipe=model.recipe, tasks=tuple(tasks))


def save_model(model: JointModel, folder: Path, config: ModelConfig | None = None) -> None:
    """Write a model directory, whole or not at all."""
    config = default_config(model) if config is None else config
    with atomic_folder(folder) as beside:
        write_model_files(model, beside, config)


def write_model_files(model: JointModel, folder: Path, config: ModelConfig) -> None:
    """Write the three files into a folder that exists."""
    weights = {name: value.detach().contiguous().cpu() for name, value in model.state_dict().items()}
    safetensors.torch.save_file(weights, folder / WEIGHTS)
    (folder / CONFIG).write_text(config.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (folder / CARD).write_text(model_card(config), encoding="utf-8")


def read_config(folder: Path) -> ModelConfig:
    """Read and check ``config.json`` alone.

    Raises:
        InputError: no such file, or it is not a configuration of this format.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise InputError(f"{folder}: not a model directory ({CONFIG} is missing); train one with 'auxface train'")
    if path.stat().st_size > _LARGEST_CONFIG:
        raise InputError(f"{path}: larger than any model's configuration")
    try:
        return ModelConfig.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(f"{path}: not a model's configuration ({place}: {first['msg'].lower()})") from None


def load_model(folder: Path) -> SavedModel:
    """Read a model directory. Nothing is downloaded and nothing in it is executed.

    Raises:
        InputError: a file is missing or broken, or the weights do not fit the configuration.
    """
    config = read_config(folder)
    path = folder / WEIGHTS
    if not path.is_file():
        raise InputError(f"{folder}: {WEIGHTS} is missing")
    try:
        weights = safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({str(error).splitlines()[0]})") from None
    encoder = config.recipe.encoder.model_copy(update={"pretrained": False})
    model = JointModel(config.recipe.model_copy(update={"encoder": encoder}), [task.task() for task in config.tasks])
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    have = {name: tuple(value.shape) for name, value in weights.items()}
    wrong = sorted(name for name in wanted.keys() | have.keys() if wanted.get(name) != have.get(name))
    if wrong:
        name = wrong[0]
        raise InputError(
            f"{path}: the weights do not fit {CONFIG} ({len(wrong)} tensors differ; '{name}' has shape "
            f"{have.get(name, 'none')}, expected {wanted.get(name, 'none')})"
        )
    model.load_state_dict(weights)
    return SavedModel(model.eval(), config)
