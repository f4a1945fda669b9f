"""Score a split of a manifest with models and ONNX files, on clean and on perturbed images.

Example::

    samples = load_samples(manifest.only("test"), "test", model.config.recipe)
    clean, conditions = score_split(model, samples, Path("faces.parquet"), "test", perturbed=("fog",), seed=0)

Model directories and ONNX files are loaded, checked and scored in the same way::

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
import pandas as pd
import torch

from auxface import evaluation
from auxface.data.corruptions import SEVERITIES
from auxface.data.manifest import KEY, Label, Manifest
from auxface.data.random import sample_seeds
from auxface.data.samples import LoadedSamples
from auxface.data.video.clips import per_frame
from auxface.device import resolve_device
from auxface.errors import InputError
from auxface.evaluation.csv_cells import restore_cells
from auxface.inference.answers import calibrated_scores, ordinal_values
from auxface.inference.external_onnx import ExternalOnnx, open_onnx
from auxface.inference.perturbations import perturbations
from auxface.model.config import ModelConfig, TaskRecord
from auxface.model.joint import JointModel
from auxface.model.saved_model import load_model
from auxface.model.scoring import score_images
from auxface.progress import progress_bar
from auxface.provenance import provenance
from auxface.training.tasks import label_tensors

_MISSED_REASONS = ("no_face", "unreadable")


@dataclass(frozen=True)
class EvaluatedModel:
    """One model under evaluation.

    Attributes:
        name: name in the report.
        config: configuration, with tasks, thresholds, crop and provenance.
        score: function that takes images, uint8 [N, 3, S, S], ``transform`` and ``advance``, as
            :func:`~auxface.model.scoring.score_images` does, and returns the logits of each task.
        model: joint model, which provides gradients; None for an exported file.
        folder: path of the model directory; None for an exported file.
        facts: provenance to show in the report.
    """

    name: str
    config: ModelConfig
    score: Callable[..., dict[str, np.ndarray]]
    model: JointModel | None
    folder: Path | None
    facts: Mapping[str, Any]

    def training_note(self, manifest: Manifest, split: str) -> str:
        """Return a sentence that states whether the model was trained or selected on a split of a manifest."""
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
        models: paths of model directories or ``.onnx`` files, by model name.
        onnx: paths of additional ``.onnx`` files, whose models are named after the files. For a file that auxface did
            not export, the crop, size and classes come from the first model directory.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        InputError: there is no model, a model cannot be loaded, or two models have the same name.
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

    The classes of a label may be in any order. For a single-label task, the model and the manifest must share at least
    two classes; see :func:`unknown_classes`. For a multi-label task, the manifest may have additional attributes.

    Raises:
        InputError: the model was selected on this split, or its tasks do not match.
    """
    name, config = model.name, model.config
    if config.selection is not None and config.selection.split == split != "val":
        raise InputError(
            f"{name}: this model was selected on split '{split}', so results on it would be biased; choose another "
            "split"
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
                f"{name}: task '{task.name}' is {task.kind} with {', '.join(task.classes)} in the model; the label in "
                f"the manifest is {label.kind} with {', '.join(label.classes)}"
            )


def unknown_classes(config: ModelConfig, manifest: Manifest) -> dict[str, int]:
    """Return the number of rows of each class on which the model was not trained, with keys ``TASK CLASS``.

    The model cannot predict these classes, so these rows are treated as unlabeled.
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
    saved.config.require_tasks(folder)
    model = saved.model.to(resolve_device(device)).eval()
    known = saved.config.provenance
    facts = {key: known[key] for key in ("trained_on", "seed", "auxiliary_effect") if known.get(key) is not None}
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


Conditions = dict[str, dict[int | str, evaluation.Predictions]]
"""Predictions by perturbation and severity."""


def score_split(
    model: EvaluatedModel,
    samples: LoadedSamples,
    data: Path,
    split: str,
    *,
    perturbed: Sequence[str] = (),
    severities: Sequence[int] = SEVERITIES,
    seed: int = 0,
) -> tuple[evaluation.Predictions, Conditions]:
    """Return a model's predictions for the samples of a split, both clean and perturbed.

    Args:
        model: model to evaluate.
        samples: samples of the split, with images at the model's input size.
        data: path of the manifest.
        split: name of the split.
        perturbed: names of perturbations; see :func:`~auxface.inference.perturbations.perturbation_names`.
        severities: severities for perturbations that have severities.
        seed: seed of the perturbations.
    """
    config, count = model.config, len(samples.images)
    labels = None if model.model is None else label_tensors(samples.manifest, model.model.tasks)
    # All frames of a clip share one seed.
    seeds = sample_seeds(seed, 0, torch.arange(count)).repeat_interleave(config.recipe.encoder.num_frames or 1)
    steps = list(perturbations(perturbed, seeds, severities=tuple(severities), model=model.model, labels=labels))
    facts = _provenance(model, samples.manifest, data) | {"seed_of_damage": seed}
    excluded = missed_by_prepare(data, split)
    excluded["unreadable"] = excluded.get("unreadable", 0) + len(samples.rejected)
    conditions: Conditions = {}
    with progress_bar(f"score {model.name}", (1 + len(steps)) * count, samples.unit) as advance:
        logits = model.score(samples.images, advance=advance)
        clean = predictions_table(config, samples.manifest, logits, excluded=excluded, provenance=facts)
        for step in steps:
            logits = model.score(samples.images, transform=per_frame(step.apply), advance=advance)
            table = predictions_table(config, samples.manifest, logits, provenance=facts)
            conditions.setdefault(step.name, {})[step.severity] = table
    return clean, conditions


def score_validation(model: EvaluatedModel, samples: LoadedSamples, data: Path) -> evaluation.Predictions:
    """Return the predictions of a model on the validation split of the manifest at ``data``."""
    with progress_bar(f"score {model.name}, val", len(samples.images), samples.unit) as advance:
        logits = model.score(samples.images, advance=advance)
    facts = _provenance(model, samples.manifest, data)
    return predictions_table(model.config, samples.manifest, logits, provenance=facts)


def detection_failures(
    data: Path, manifest: Manifest, split: str, *, resamples: int, seed: int
) -> evaluation.DetectionFailures | None:
    """Return the fraction of samples of a split in which ``auxface prepare`` found no face, by group.

    Args:
        data: path of the manifest; ``NAME.rejected.csv`` next to it lists the samples without a face.
        manifest: rows of the split.
        split: name of the split.
        resamples: number of bootstrap resamples.
        seed: seed of the resampling.

    Returns:
        The fractions; None if ``auxface prepare`` did not detect faces, or if the list lacks the keys of the samples.
    """
    path = data.with_name(f"{data.stem}.rejected.csv")
    if "detector" not in (manifest.crop or {}) or not path.is_file():
        return None
    try:
        rejected = restore_cells(pd.read_csv(path, dtype=str, keep_default_na=False))
    except (OSError, ValueError):
        return None
    columns = list(dict.fromkeys([*KEY, *manifest.groups]))
    if not {"status", "split", *columns} <= set(rejected.columns):
        return None
    missed = rejected.loc[(rejected["status"] == "no_face") & (rejected["split"] == split), columns]
    known = manifest.table[columns]
    # An empty field in the list means an unknown level.
    missed = missed.assign(**{name: missed[name].replace("", None) for name in manifest.groups})
    return evaluation.failure_to_detect(known, missed, manifest.groups, resamples=resamples, seed=seed)


def missed_by_prepare(manifest: Path, split: str) -> dict[str, int]:
    """Count the samples of a split that ``auxface prepare`` could not use, by reason: ``no_face`` or ``unreadable``.

    The counts come from ``NAME.rejected.csv`` next to the manifest. Duplicates and files without a label or split are
    not counted.

    Args:
        manifest: path of the manifest.
        split: name of the split.
    """
    path = manifest.with_name(f"{manifest.stem}.rejected.csv")
    if not path.is_file():
        return {}
    try:
        rejected = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError):
        return {}
    if not {"status", "split"} <= set(rejected.columns):
        return {}
    counts = rejected.loc[rejected["split"] == split, "status"].value_counts()
    return {reason: int(counts[reason]) for reason in _MISSED_REASONS if reason in counts}


def predictions_table(
    config: ModelConfig,
    manifest: Manifest,
    logits: dict[str, np.ndarray],
    *,
    excluded: dict[str, int] | None = None,
    provenance: dict | None = None,
) -> evaluation.Predictions:
    """Return the table of a model's calibrated scores for the rows of a manifest.

    A task whose label the manifest lacks has no column of true labels. A row of a class on which the model was not
    trained has a missing true label.

    Args:
        config: configuration of the model.
        manifest: manifest with rows in the order of the logits.
        logits: logits [N, outputs], by task.
        excluded: number of samples without a score, by reason.
        provenance: origin of the scores.
    """
    columns: dict[str, object] = {name: manifest.table[name] for name in (*KEY, "split")}
    columns |= {f"group.{name}": manifest.table[name] for name in manifest.groups}
    for task in config.tasks:
        columns |= _true_columns(task, manifest.table) | _score_columns(task, logits[task.name])
    tasks = tuple(task.scored_task() for task in config.tasks)
    return evaluation.Predictions(pd.DataFrame(columns), tasks, excluded or {}, provenance or {})


def _provenance(model: EvaluatedModel, manifest: Manifest, data: Path) -> dict[str, Any]:
    facts = provenance(model=model.name, recipe_hash=model.config.provenance.get("recipe_hash"), manifest=data.name)
    return facts | {"manifest_hash": manifest.hash} | dict(model.facts)


def _true_columns(task: TaskRecord, table: pd.DataFrame) -> dict[str, object]:
    if task.kind == "multilabel":
        return {f"true.{task.name}.{name}": table[name] for name in task.classes if name in table.columns}
    if task.name not in table.columns:
        return {}
    labels = table[task.name]
    return {f"true.{task.name}": labels.where(labels.isin(task.classes)) if task.kind == "class" else labels}


def _score_columns(task: TaskRecord, logits: np.ndarray) -> dict[str, object]:
    if task.kind == "ordinal":
        return {f"predicted.{task.name}": ordinal_values(task, logits)}
    scores = calibrated_scores(task, logits)
    names = task.classes[1:] if task.kind == "binary" else task.classes
    return {f"score.{task.name}.{name}": scores[:, column] for column, name in enumerate(names)}
