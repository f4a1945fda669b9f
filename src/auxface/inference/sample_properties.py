"""Properties of evaluated samples, probes on file properties and frozen features, and scores in a common format.

Example::

    files = manifest_files(samples.manifest)                        # a row per image; None for clips and shards
    table = with_properties(table, samples, files)                  # columns property.brightness, property.bytes, ...
    table, text = score_in_one_format(model, samples, files)        # JPEG with the same size and quality
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from auxface import evaluation
from auxface.data.images.decode import fit_square, in_order, read_image
from auxface.data.images.properties import file_properties, image_properties
from auxface.data.manifest import Manifest
from auxface.data.media import is_video
from auxface.data.samples import LoadedSamples
from auxface.data.shards import is_sharded
from auxface.errors import InputError
from auxface.inference.score_split import EvaluatedModel, predictions_table
from auxface.objectives import probabilities
from auxface.progress import progress_bar
from auxface.training.baselines import (
    MEASURED_ROWS,
    TRAINING_ROWS,
    Extractor,
    frozen_features,
    read_rows,
    reduce_features,
    regression_logits,
    spaced_rows,
)
from auxface.training.tasks import label_tensors

_BEST_QUALITY = 75
_AT_ONCE = 512


def manifest_files(manifest: Manifest, name: str) -> pd.DataFrame | None:
    """Return the file properties of each row of a manifest; None if its rows are not image files.

    Args:
        manifest: rows whose files are read.
        name: name of the rows in the progress bar.
    """
    if is_sharded(manifest) or is_video(str(manifest.table["path"].iloc[0])):
        return None
    with progress_bar(f"headers of {name}", len(manifest.table), "files") as advance:
        return file_properties(manifest.paths(), lambda: advance(1))


def with_properties(
    table: evaluation.Predictions, samples: LoadedSamples, files: pd.DataFrame | None
) -> evaluation.Predictions:
    """Add the properties of images and files to predictions, as columns for the search for weak segments.

    Args:
        table: predictions with one row per sample.
        samples: samples with their images.
        files: file properties of the samples; None if unknown.
    """
    found = image_properties(samples.images)
    if files is not None:
        found = found.assign(shorter_side=files[["width", "height"]].min(axis=1), bytes=files["bytes"])
        found = found.assign(format=files["format"], jpeg_quality=files["jpeg_quality"])
    varying = [name for name in found.columns if found[name].nunique() > 1]
    columns = {f"property.{name}": found[name].to_numpy() for name in varying}
    return replace(table, frame=table.frame.assign(**columns))


def probe_manifest(
    audit: evaluation.Audit,
    tables: Mapping[str, evaluation.Predictions],
    manifest: Manifest,
    files: Mapping[str, pd.DataFrame | None],
    *,
    resamples: int,
    seed: int,
) -> None:
    """Add to each task a probe that uses only file properties, fitted to rows of the training split.

    Args:
        audit: results of the audit, to which the probes are added.
        tables: predictions of each model, by name.
        manifest: whole manifest, with all splits.
        files: file properties of the samples of each model, by name.
        resamples: number of bootstrap resamples.
        seed: seed of the resampling.
    """
    rows = manifest.table[manifest.table["split"] == "train"]
    if rows.empty or any(found is None for found in files.values()):
        return
    train = replace(manifest, table=rows.iloc[spaced_rows(len(rows), TRAINING_ROWS)].reset_index(drop=True))
    known = manifest_files(train, "train")
    if known is None:
        return
    for name, model in audit.models.items():
        own = files[name]
        for task in model.tasks.values():
            if own is not None and task.task.name in train.table.columns:
                labels = train.table[task.task.name]
                task.file_probe = evaluation.probe_files(
                    task.task, tables[name], known, labels, own, resamples=resamples, seed=seed
                )


def probe_frozen_features(
    audit: evaluation.Audit,
    tables: Mapping[str, evaluation.Predictions],
    models: Sequence[EvaluatedModel],
    samples: Mapping[str, LoadedSamples],
    manifest: Manifest,
    *,
    device: str,
    resamples: int,
    seed: int,
) -> None:
    """Add to each binary or class task a probe on the features of an encoder that was not trained on these data.

    The probe is a logistic regression on at most 4,000 training images and is measured on at most 2,000 samples. Video
    models and manifests of shards have no probe.

    Args:
        audit: results of the audit, to which the probes are added.
        tables: predictions of each model, by name.
        models: evaluated models, which determine the size and crop of the images.
        samples: evaluated samples of each model, by name.
        manifest: whole manifest, with all splits.
        device: device of the frozen encoder.
        resamples: number of bootstrap resamples.
        seed: seed of the resampling.
    """
    images = [model for model in models if model.config.recipe.encoder.num_frames is None]
    probed = {
        model.name: [task.learned_task() for task in model.config.tasks if task.kind in ("binary", "class")]
        for model in images
    }
    if is_sharded(manifest) or not any(probed.values()) or not (manifest.table["split"] == "train").any():
        return
    train = manifest.only("train")
    name, extract = frozen_features(device)
    features: dict[tuple[int, float], _Features] = {}
    for model in images:
        recipe = model.config.recipe.encoder
        key = (recipe.image_size, recipe.evaluation_crop)
        if key not in features:
            features[key] = _features(extract, train, samples[model.name], *key)
        found = features[key]
        if not len(found.train):
            return
        table = tables[model.name]
        part = replace(table, frame=table.frame.iloc[found.rows].reset_index(drop=True))
        labels = label_tensors(found.manifest, tuple(probed[model.name]))
        for task in probed[model.name]:
            target = labels[task.name].numpy()
            if len(np.unique(target[target >= 0])) < 2:
                continue
            logits = torch.from_numpy(regression_logits(task, found.train, target, found.measured))
            audited = audit.models[model.name].tasks[task.name]
            scores = probabilities(task, logits).numpy()
            audited.feature_probe = evaluation.compare_probe(
                audited.task,
                part,
                np.hstack([1 - scores, scores]) if task.kind == "binary" else scores,
                (name,),
                resamples=resamples,
                seed=seed,
            )


@dataclass(frozen=True)
class _Features:
    """Reduced features of training and measured rows, the manifest of the training rows, and the measured indices."""

    train: np.ndarray
    measured: np.ndarray
    manifest: Manifest
    rows: np.ndarray


def _features(extract: Extractor, train: Manifest, samples: LoadedSamples, size: int, crop: float) -> _Features:
    parts, tables = [], []
    chosen = spaced_rows(len(train.table), TRAINING_ROWS)
    for start in range(0, len(chosen), _AT_ONCE):
        part, images = read_rows(train, chosen[start : start + _AT_ONCE], size, crop=crop, name="train")
        tables.append(part.table)
        parts += [extract(images)] if len(images) else []
    rows = spaced_rows(len(samples.images), MEASURED_ROWS)
    with progress_bar("features for the probe", len(rows), samples.unit) as advance:
        own = []
        for start in range(0, len(rows), _AT_ONCE):
            own.append(extract(np.asarray(samples.images[rows[start : start + _AT_ONCE]])))
            advance(len(own[-1]))
    known = replace(train, table=pd.concat(tables, ignore_index=True))
    if not parts:
        return _Features(np.empty((0, 0)), np.empty((0, 0)), known, rows)
    return _Features(*reduce_features(np.concatenate(parts), np.concatenate(own)), known, rows)


def two_class_tasks(model: EvaluatedModel) -> list[str]:
    """Return the names of a model's tasks that have two classes.

    Raises:
        InputError: the model has no such task, or it is a video model.
    """
    found = [task.name for task in model.config.tasks if task.kind in ("binary", "class") and len(task.classes) == 2]
    if model.config.recipe.encoder.num_frames is not None:
        raise InputError(
            f"{model.name}: --same-format encodes image files, but the model takes video clips; remove --same-format"
        )
    if not found:
        kinds = ", ".join(f"{task.name} ({len(task.classes)} classes)" for task in model.config.tasks)
        raise InputError(
            f"{model.name}: --same-format compares the AUC of tasks with two classes, such as real and fake, but the "
            f"model has no such task ({kinds}); remove --same-format"
        )
    return found


def score_in_one_format(
    model: EvaluatedModel, samples: LoadedSamples, files: pd.DataFrame | None, task: str
) -> tuple[evaluation.Predictions, str]:
    """Return a model's predictions for images in a common format, and a description of the format.

    All images are resized so that their shorter sides are equal, and encoded as JPEG of equal quality. The side length
    is the smaller of the two class medians; the quality is the smaller of the two class medians, but at most 75. The
    class with more detail therefore loses this detail, but detail that the other class had already lost is not
    restored.

    Args:
        model: image model to evaluate.
        samples: samples to score.
        files: file properties of the samples.
        task: name of the task whose classes determine the side length and quality.

    Raises:
        InputError: the samples are not image files.
    """
    if files is None:
        raise InputError(
            "--same-format encodes image files, but the manifest has videos or shards; remove --same-format"
        )
    labels = samples.manifest.table[task]
    sides = files[["width", "height"]].min(axis=1).groupby(labels.to_numpy()).median()
    qualities = files["jpeg_quality"].groupby(labels.to_numpy()).median()
    side, quality = int(sides.min()), int(min(_BEST_QUALITY, qualities.min() if qualities.notna().any() else 100))
    recipe, paths = model.config.recipe.encoder, samples.manifest.paths()
    encode = partial(_in_format, side=side, quality=quality, size=recipe.image_size, crop=recipe.evaluation_crop)
    parts: dict[str, list[np.ndarray]] = {}
    with progress_bar(f"score {model.name}, one format", len(paths), samples.unit) as advance:
        for start in range(0, len(paths), _AT_ONCE):
            images = np.stack(list(in_order(encode, paths[start : start + _AT_ONCE])))
            for name, logits in model.score(images, advance=advance).items():
                parts.setdefault(name, []).append(logits)
    joined = {name: np.concatenate(logits) for name, logits in parts.items()}
    text = f"JPEG of quality {quality} with a shorter side of {side:,} pixels"
    return predictions_table(model.config, samples.manifest, joined), text


def _in_format(path: Path, *, side: int, quality: int, size: int, crop: float) -> np.ndarray:
    """Resize an image, encode it once as JPEG, and return the decoded pixels, uint8 [3, size, size]."""
    pixels = read_image(path)
    factor = side / min(pixels.shape[:2])
    shape = (max(1, round(factor * pixels.shape[1])), max(1, round(factor * pixels.shape[0])))
    buffer = io.BytesIO()
    resized = Image.fromarray(pixels).resize(shape, Image.Resampling.BILINEAR)
    resized.save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return np.ascontiguousarray(fit_square(read_image(buffer.getvalue()), size, crop).transpose(2, 0, 1))
