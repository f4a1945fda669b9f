"""What ``auxface evaluate`` measures: model directories and ONNX files, each with one way to be scored.

From rows and logits to the predictions table.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from auxface import evaluation
from auxface.data.manifest import KEY, Label, Manifest
from auxface.device import resolve_device
from auxface.errors import InputError
from auxface.inference.external_onnx import ForeignOnnx, open_onnx
from auxface.model.config import ModelConfig, TaskRecord
from auxface.model.directory import load_model
from auxface.model.joint import JointModel
from auxface.model.scoring import score_images
from auxface.objectives import expected_value, probabilities


@dataclass(frozen=True)
class Subject:
    """One model to be measured.

    Attributes:
        name: as the report calls it.
        config: tasks, thresholds, crop, provenance.
        score: uint8 images [N, 3, S, S], with ``transform`` and ``advance`` as
            :func:`~auxface.model.scoring.score_images` takes them, to logits per task.
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

    They have no truth that the model could meet, and are measured as unlabeled.
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
    model = saved.model.to(resolve_device(device)).eval()
    facts = {key: saved.config.provenance[key] for key in ("trained_on", "seed") if key in saved.config.provenance}
    if saved.config.selection is not None:
        facts["chosen_on"] = saved.config.selection.split
    return Subject(name, saved.config, partial(score_images, model), model, folder, facts)


def _from_file(name: str, path: Path, reference: ModelConfig | None, device: str) -> Subject:
    found = open_onnx(path, reference, device)
    facts: dict[str, Any] = {"file": path.name}
    if isinstance(found, ForeignOnnx):
        facts["preprocessing"] = f"RGB of {found.size} pixels, mean {found.mean.tolist()}, std {found.std.tolist()}"
    elif "trained_on" in found.config.provenance:
        facts["trained_on"] = found.config.provenance["trained_on"]
    return Subject(name, found.config, found.score_images, None, None, facts)


def predictions_for(
    config: ModelConfig,
    manifest: Manifest,
    logits: dict[str, np.ndarray],
    *,
    left_out: dict[str, int] | None = None,
    provenance: dict | None = None,
) -> evaluation.Predictions:
    """The table of a model's calibrated scores for a manifest's rows.

    Args:
        config: of the model.
        manifest: rows in the order of the logits; a task whose label the manifest lacks has no true column, a row of a
            class that the model does not know no truth.
        logits: per task, [N, outputs].
        left_out: counts of rows that have no score, by reason.
        provenance: where the scores came from.
    """
    columns: dict[str, object] = {name: manifest.table[name] for name in (*KEY, "split")}
    columns |= {f"group.{name}": manifest.table[name] for name in manifest.groups}
    for task in config.tasks:
        columns |= _true(task, manifest.table) | _scores(task, logits[task.name])
    tasks = tuple(
        evaluation.Task(
            task.name,
            task.kind,
            _named(task),
            task.thresholds,
            task.threshold_rule,
            task.abstain,
            _level_thresholds(task),
        )
        for task in config.tasks
    )
    return evaluation.Predictions(pd.DataFrame(columns), tasks, left_out or {}, provenance or {})


def calibrated(task: TaskRecord, logits: np.ndarray) -> np.ndarray:
    """Logits [N, outputs] to probabilities at the stored temperature, float32 [N, outputs]."""
    return probabilities(task.task(), torch.as_tensor(logits), task.temperature).numpy()


def predicted_number(task: TaskRecord, logits: np.ndarray) -> np.ndarray:
    """What an ordinal task predicts, float32 [N], from its logits [N, outputs] at the stored temperature."""
    return expected_value(task.task(), torch.as_tensor(logits), task.temperature).numpy()


def _level_thresholds(task: TaskRecord) -> evaluation.LevelThresholds | None:
    own = task.level_thresholds
    return None if own is None else evaluation.LevelThresholds(own.group, own.thresholds)


def _named(task: TaskRecord) -> tuple[str, ...]:
    """Classes with a score column of their own; an ordinal task has one predicted number instead."""
    return () if task.kind == "ordinal" else task.classes


def _true(task: TaskRecord, table: pd.DataFrame) -> dict[str, object]:
    if task.kind == "multilabel":
        return {f"true.{task.name}.{name}": table[name] for name in task.classes if name in table.columns}
    if task.name not in table.columns:
        return {}
    truth = table[task.name]
    # Of a class that the model does not know it can say nothing, right or wrong.
    return {f"true.{task.name}": truth.where(truth.isin(task.classes)) if task.kind == "class" else truth}


def _scores(task: TaskRecord, logits: np.ndarray) -> dict[str, object]:
    if task.kind == "ordinal":
        return {f"predicted.{task.name}": predicted_number(task, logits)}
    scores = calibrated(task, logits)
    names = task.classes[1:] if task.kind == "binary" else task.classes
    return {f"score.{task.name}.{name}": scores[:, place] for place, name in enumerate(names)}
