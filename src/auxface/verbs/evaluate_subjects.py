"""What ``auxface evaluate`` measures: model directories and ONNX files, each with one way to be scored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from auxface.data.manifest import Label, Manifest
from auxface.errors import InputError
from auxface.inference.foreign_onnx import ForeignOnnx, open_onnx
from auxface.model.config import ModelConfig, TaskRecord
from auxface.model.directory import load_model
from auxface.model.joint import JointModel
from auxface.model.scoring import score_pictures


@dataclass(frozen=True)
class Subject:
    """One model to be measured.

    Attributes:
        name: as the report calls it.
        config: tasks, thresholds, crop, provenance.
        score: uint8 pictures [N, 3, S, S], with ``transform`` and ``advance`` as
            :func:`~auxface.model.scoring.score_pictures` takes them, to logits per task.
        model: with gradients; None for an exported file.
        folder: the model directory; None for a file.
        facts: what else the report should say of where it came from.
    """

    name: str
    config: ModelConfig
    score: Callable[..., dict[str, np.ndarray]]
    model: JointModel | None
    folder: Path | None
    facts: Mapping[str, Any]

    def trained_on_split(self, manifest: Manifest, split: str) -> str:
        """Return a sentence that says whether the model was trained, or chosen, on a split of a manifest."""
        if self.config.provenance.get("manifest_hash") != manifest.hash:
            return f"Whether {self.name} was trained on these samples is not known: this is not its training manifest."
        if split == "train":
            return (
                f"{self.name} was trained on these samples: the figures show how well it fits them, not how it does on "
                "others."
            )
        if split == "val":
            return (
                f"{self.name} was not trained on these samples, but its weights, temperature and thresholds were "
                "chosen on them: the figures are too good on average."
            )
        return f"{self.name} was not trained on these samples."


def open_subjects(models: Mapping[str, Path], onnx: Sequence[Path], device: str) -> list[Subject]:
    """Read every model.

    Args:
        models: model directories, or ``.onnx`` files, by name.
        onnx: further files, named after themselves; what somebody else exported takes crop, size and classes from the
            first model directory.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        InputError: no model at all, one that cannot be read, or a name that is taken.
    """
    files = {name: path for name, path in models.items() if path.suffix.lower() == ".onnx"}
    folders = {name: path for name, path in models.items() if name not in files}
    for path in onnx:
        if path.stem in (*folders, *files):
            raise InputError(f"{path}: another model is called '{path.stem}' already; rename the file")
        files[path.stem] = path
    if not folders and not files:
        raise InputError("nothing to evaluate: name a model directory, or a file with --onnx")
    subjects = [_from_folder(name, folder, device) for name, folder in folders.items()]
    reference = subjects[0].config if subjects else None
    return subjects + [_from_file(name, path, reference, device) for name, path in files.items()]


def check_subject(subject: Subject, manifest: Manifest, split: str) -> None:
    """Refuse a model that was chosen on this split, or that cannot be measured by the manifest's labels.

    Classes may stand in any order, and a choice between classes may lack some or have further ones (see
    :func:`unknown_classes`); attributes may be more than the model knows.

    Raises:
        InputError: says which.
    """
    name, config = subject.name, subject.config
    if config.selection is not None and config.selection.split == split != "val":
        raise InputError(
            f"{name}: this model was chosen on split '{split}', where its figures would flatter; name another"
        )
    for task in config.tasks:
        label = manifest.labels.get(task.name)
        if label is None:
            have = ", ".join(manifest.labels) or "none"
            raise InputError(
                f"{name}: the model learned '{task.name}', which is no label of the manifest (it has: {have})"
            )
        if label.kind != task.kind or not _goes_with(label, task):
            raise InputError(
                f"{name}: the model knows '{task.name}' as {task.kind} with {', '.join(task.classes)}; the "
                f"manifest has {label.kind} with {', '.join(label.classes)}"
            )


def unknown_classes(config: ModelConfig, manifest: Manifest) -> dict[str, int]:
    """Rows of classes between which the model cannot choose, such as contempt of seven emotions: "TASK CLASS" to rows.

    They have no truth that the model could meet, and are measured as unlabelled.
    """
    found: dict[str, int] = {}
    for task in config.tasks:
        if task.kind == "class":
            counts = manifest.table[task.name].value_counts()
            found |= {f"{task.name} {name}": int(n) for name, n in counts.items() if n and name not in task.classes}
    return found


def _goes_with(label: Label, task: TaskRecord) -> bool:
    if task.kind == "class":
        return len(set(label.classes) & set(task.classes)) > 1
    if task.kind == "multilabel":
        return set(task.classes) <= set(label.classes)
    return task.kind == "ordinal" or label.classes == task.classes


def _from_folder(name: str, folder: Path, device: str) -> Subject:
    saved = load_model(folder)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    model = saved.model.to(torch.device(device)).eval()
    facts = {key: saved.config.provenance[key] for key in ("trained_on", "seed") if key in saved.config.provenance}
    if saved.config.selection is not None:
        facts["chosen_on"] = saved.config.selection.split
    return Subject(name, saved.config, partial(score_pictures, model), model, folder, facts)


def _from_file(name: str, path: Path, reference: ModelConfig | None, device: str) -> Subject:
    found = open_onnx(path, reference, device)
    facts: dict[str, Any] = {"file": path.name}
    if isinstance(found, ForeignOnnx):
        facts["preprocessing"] = f"RGB of {found.size} pixels, mean {found.mean.tolist()}, std {found.std.tolist()}"
    elif "trained_on" in found.config.provenance:
        facts["trained_on"] = found.config.provenance["trained_on"]
    return Subject(name, found.config, found.score_pictures, None, None, facts)
