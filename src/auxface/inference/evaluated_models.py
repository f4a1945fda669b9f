"""The models of one evaluation: model directories and ONNX files, loaded, checked, and scored in the same way.

[model] = load_models({"run": Path("runs/x")}, [], "auto")
check_model(model, manifest, "test")
model.score(images)    # logits per task
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from auxface.data.manifest import Label, Manifest
from auxface.device import resolve_device
from auxface.errors import InputError
from auxface.inference.external_onnx import ExternalOnnx, open_onnx
from auxface.model.config import ModelConfig, TaskRecord
from auxface.model.directory import load_model
from auxface.model.joint import JointModel
from auxface.model.scoring import score_images


@dataclass(frozen=True)
class EvaluatedModel:
    """One model under evaluation.

    Attributes:
        name: Its name in the report.
        config: Tasks, thresholds, crop and provenance.
        score: Takes uint8 images [N, 3, S, S], ``transform`` and ``advance`` as
            :func:`~auxface.model.scoring.score_images` does; returns logits per task.
        model: The model with gradients; None for an exported file.
        folder: The model directory; None for an exported file.
        facts: Provenance for the report.
    """

    name: str
    config: ModelConfig
    score: Callable[..., dict[str, np.ndarray]]
    model: JointModel | None
    folder: Path | None
    facts: Mapping[str, Any]

    def training_note(self, manifest: Manifest, split: str) -> str:
        """Return a sentence on whether the model was trained, or selected, on a split of a manifest."""
        if self.config.provenance.get("manifest_hash") != manifest.hash:
            return f"Whether {self.name} was trained on these samples is unknown: this is not its training manifest."
        if split == "train":
            return (
                f"{self.name} was trained on these samples: the figures show how well it fits them, not how well it "
                "generalizes."
            )
        if split == "val":
            return (
                f"{self.name} was not trained on these samples, but its weights, temperature and thresholds were "
                "chosen on them: the figures are optimistic."
            )
        return f"{self.name} was not trained on these samples."


def load_models(models: Mapping[str, Path], onnx: Sequence[Path], device: str) -> list[EvaluatedModel]:
    """Load every model.

    Args:
        models: Model directories or ``.onnx`` files by name.
        onnx: Further ``.onnx`` files, named after their file names. A file that auxface did not export takes crop,
            size and classes from the first model directory.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        InputError: There is no model, a model cannot be loaded, or two have the same name.
    """
    files = {name: path for name, path in models.items() if path.suffix.lower() == ".onnx"}
    folders = {name: path for name, path in models.items() if name not in files}
    for path in onnx:
        if path.stem in (*folders, *files):
            raise InputError(f"{path}: another model is also named '{path.stem}'; rename the file")
        files[path.stem] = path
    if not folders and not files:
        raise InputError("no model to evaluate: name a model directory, or a file with --onnx")
    loaded = [_load_folder(name, folder, device) for name, folder in folders.items()]
    reference = loaded[0].config if loaded else None
    return loaded + [_load_file(name, path, reference, device) for name, path in files.items()]


def check_model(model: EvaluatedModel, manifest: Manifest, split: str) -> None:
    """Check that a model was not selected on this split and that its tasks match the manifest's labels.

    The classes of a label may be in any order. For a single-label task, model and manifest must share at least two
    classes (see :func:`unknown_classes`). For a multi-label task, the manifest may have further attributes.

    Raises:
        InputError: The model was selected on this split, or its tasks do not match.
    """
    name, config = model.name, model.config
    if config.selection is not None and config.selection.split == split != "val":
        raise InputError(
            f"{name}: this model was selected on split '{split}', so its figures there would be too good; choose "
            "another split"
        )
    for task in config.tasks:
        label = manifest.labels.get(task.name)
        if label is None:
            available = ", ".join(manifest.labels) or "none"
            raise InputError(
                f"{name}: the model's task '{task.name}' is not a label of the manifest (its labels: {available})"
            )
        if label.kind != task.kind or not _matches(label, task):
            raise InputError(
                f"{name}: the model has '{task.name}' as {task.kind} with {', '.join(task.classes)}; the "
                f"manifest has {label.kind} with {', '.join(label.classes)}"
            )


def unknown_classes(config: ModelConfig, manifest: Manifest) -> dict[str, int]:
    """Return the number of rows of each class that the model was not trained on, by ``TASK CLASS``.

    The model cannot predict these classes, so the rows are treated as unlabeled.
    """
    found: dict[str, int] = {}
    for task in config.tasks:
        if task.kind == "class":
            counts = manifest.table[task.name].value_counts()
            found |= {f"{task.name} {name}": int(n) for name, n in counts.items() if n and name not in task.classes}
    return found


def _matches(label: Label, task: TaskRecord) -> bool:
    if task.kind == "class":
        return len(set(label.classes) & set(task.classes)) > 1
    if task.kind == "multilabel":
        return set(task.classes) <= set(label.classes)
    return task.kind == "ordinal" or label.classes == task.classes


def _load_folder(name: str, folder: Path, device: str) -> EvaluatedModel:
    saved = load_model(folder)
    model = saved.model.to(resolve_device(device)).eval()
    facts = {key: saved.config.provenance[key] for key in ("trained_on", "seed") if key in saved.config.provenance}
    if saved.config.selection is not None:
        facts["chosen_on"] = saved.config.selection.split
    return EvaluatedModel(name, saved.config, partial(score_images, model), model, folder, facts)


def _load_file(name: str, path: Path, reference: ModelConfig | None, device: str) -> EvaluatedModel:
    found = open_onnx(path, reference, device)
    facts: dict[str, Any] = {"file": path.name}
    if isinstance(found, ExternalOnnx):
        facts["preprocessing"] = f"RGB of {found.size} pixels, mean {found.mean.tolist()}, std {found.std.tolist()}"
    elif "trained_on" in found.config.provenance:
        facts["trained_on"] = found.config.provenance["trained_on"]
    return EvaluatedModel(name, found.config, found.score_images, None, None, facts)
