"""Score a split of a manifest with one model: tables of predictions, on unchanged and on perturbed images.

samples = load_samples(manifest.only("test"), "test", model.config.recipe)
clean, conditions = score_split(model, samples, Path("faces.parquet"), "test", perturbed=("fog",), seed=0)
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from auxface import evaluation
from auxface.data.corruptions import SEVERITIES
from auxface.data.manifest import KEY, Manifest
from auxface.data.random import sample_seeds
from auxface.data.samples import LoadedSamples
from auxface.data.video.clip_batches import per_frame
from auxface.inference.answers import calibrated_scores, ordinal_values
from auxface.inference.evaluated_models import EvaluatedModel
from auxface.inference.perturbations import perturbations
from auxface.model.config import ModelConfig, TaskRecord
from auxface.progress import progress_bar
from auxface.provenance import provenance
from auxface.training.tasks import label_tensors

_MISSED = ("no_face", "unreadable")

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
    """Return a model's predictions for the samples of a split, unchanged and under perturbations.

    Args:
        model: The model.
        samples: The samples, with their images at the model's input size.
        data: The manifest's path.
        split: The name of the split.
        perturbed: Names of perturbations, see :func:`~auxface.inference.perturbations.perturbation_names`.
        severities: Severities of the perturbations that have them.
        seed: Seed of the perturbations.
    """
    config, count = model.config, len(samples.images)
    labels = None if model.model is None else label_tensors(samples.manifest, model.model.tasks)
    # All frames of a clip share a seed.
    seeds = sample_seeds(seed, 0, torch.arange(count)).repeat_interleave(config.recipe.encoder.num_frames or 1)
    steps = list(perturbations(perturbed, seeds, severities=tuple(severities), model=model.model, labels=labels))
    facts = _provenance(model, samples.manifest, data) | {"seed_of_damage": seed}
    excluded = missed_by_prepare(data, split)
    excluded["unreadable"] = excluded.get("unreadable", 0) + len(samples.rejected)
    conditions: Conditions = {}
    with progress_bar(f"score {model.name}", (1 + len(steps)) * count, "images") as advance:
        logits = model.score(samples.images, advance=advance)
        clean = predictions_table(config, samples.manifest, logits, excluded=excluded, provenance=facts)
        for step in steps:
            logits = model.score(samples.images, transform=per_frame(step.apply), advance=advance)
            table = predictions_table(config, samples.manifest, logits, provenance=facts)
            conditions.setdefault(step.name, {})[step.severity] = table
    return clean, conditions


def score_validation(model: EvaluatedModel, samples: LoadedSamples, data: Path) -> evaluation.Predictions:
    """Return a model's predictions for the samples of the validation split of a manifest at ``data``."""
    with progress_bar(f"score {model.name}, val", len(samples.images), "images") as advance:
        logits = model.score(samples.images, advance=advance)
    facts = _provenance(model, samples.manifest, data)
    return predictions_table(model.config, samples.manifest, logits, provenance=facts)


def missed_by_prepare(manifest: Path, split: str) -> dict[str, int]:
    """Return how many samples of a split ``auxface prepare`` could not use, by reason: ``no_face``, ``unreadable``.

    The counts come from ``NAME.rejected.csv`` beside the manifest. Duplicates and files without a label or split are
    not counted.

    Args:
        manifest: The manifest's path.
        split: The name of the split.
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
    return {reason: int(counts[reason]) for reason in _MISSED if reason in counts}


def predictions_table(
    config: ModelConfig,
    manifest: Manifest,
    logits: dict[str, np.ndarray],
    *,
    excluded: dict[str, int] | None = None,
    provenance: dict | None = None,
) -> evaluation.Predictions:
    """Return the table of a model's calibrated scores for the rows of a manifest.

    A task whose label the manifest lacks has no column of true labels. A row whose class the model was not trained on
    has a missing true label.

    Args:
        config: The model's configuration.
        manifest: The manifest, with its rows in the order of the logits.
        logits: Logits [N, outputs] per task.
        excluded: Number of samples without a score, by reason.
        provenance: Where the scores come from.
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
