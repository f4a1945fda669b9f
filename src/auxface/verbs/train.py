"""``auxface train``: a recipe and a manifest to a model directory."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
import yaml

from auxface.atomic import atomic_file, refuse_existing
from auxface.data.manifest import read_manifest
from auxface.data.pseudo_forgeries import blend_validation, real_faces
from auxface.data.usable import usable_pictures, write_rejected
from auxface.errors import InputError
from auxface.model import JointModel
from auxface.model.config import ModelConfig, Selection
from auxface.model.directory import SavedModel, write_model_files
from auxface.model.scoring import pooled_features, score_pictures
from auxface.objectives import TrainingSet
from auxface.progress import progress_bar
from auxface.provenance import provenance
from auxface.recipe import Recipe, load_recipe
from auxface.recipe.load import recipe_hash
from auxface.training.calibration import calibrate
from auxface.training.feed import Feed
from auxface.training.loop import run_training
from auxface.training.tasks import label_tensors, tasks_for
from auxface.training.validation import Validation


def train(
    recipe: str | Path | Recipe,
    data: Path,
    out: Path,
    *,
    overrides: Iterable[str] = (),
    seed: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> SavedModel:
    """Train a model and write its directory.

    Weights, temperature and thresholds are chosen on the validation split; the test split is not read.

    Args:
        recipe: a recipe file, the name of a packaged one, or a recipe.
        data: the manifest.
        out: the model directory to make.
        overrides: settings such as ``train.epochs=3``.
        seed: replaces the recipe's.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        overwrite: replace ``out`` if it exists.

    Raises:
        InputError: anything wrong with recipe, manifest, pictures or output, before anything is written.
    """
    refuse_existing(out, overwrite)
    check_device(device)
    settings = [*overrides] if seed is None else [*overrides, f"seed={seed}"]
    resolved = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, settings)
    given = read_manifest(data)
    blending = resolved.train.self_blend
    manifest = given if blending is None else real_faces(given, blending)
    tasks = tasks_for(resolved, manifest)
    model = JointModel(resolved, tasks)
    size = resolved.encoder.image_size
    parts = {split: usable_pictures(manifest.only(split), split, size) for split in ("train", "val")}

    seen = parts["train"]
    training = TrainingSet(seen.manifest, lambda: pooled_features(model, seen.pictures))
    model.before_training(training)

    if overwrite and out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    with atomic_file(out / "recipe.yaml") as beside:
        beside.write_text(yaml.safe_dump(resolved.model_dump(mode="json"), sort_keys=False))
    rejected = write_rejected(parts, out / "rejected.csv")

    labels = {split: label_tensors(part.manifest, tasks) for split, part in parts.items()}
    feed = Feed(
        parts["train"].pictures,
        labels["train"],
        resolved.seed,
        resolved.train.batch_size,
        resolved.train.augment,
        size,
        blending,
        resolved.train.mixup,
        resolved.train.cutmix,
        model.views,
    )
    pictures = parts["val"].pictures
    if blending is not None:
        pictures, labels["val"] = blend_validation(pictures, labels["val"], resolved.seed, blending)
    validation = Validation(pictures, labels["val"])
    steps = resolved.train.epochs * feed.steps_per_epoch
    with progress_bar(f"train {resolved.name}", steps, "steps") as advance:
        trained = run_training(model, feed, validation, folder=out, device=device, training=training, advance=advance)

    logits = score_pictures(trained.model, validation.pictures)
    config = ModelConfig(
        recipe=resolved,
        tasks=tuple(calibrate(task, logits[task.name], labels["val"][task.name]) for task in tasks),
        crop=None if manifest.crop is None else dict(manifest.crop),
        selection=Selection(
            split="val", metric=resolved.train.select_on, value=trained.best_value, epoch=trained.best_epoch
        ),
        provenance=provenance(
            recipe_hash=recipe_hash(resolved),
            manifest_hash=given.hash,
            seed=resolved.seed,
            pictures={split: len(part.pictures) for split, part in parts.items()},
            unreadable=rejected,
            objectives=model.report(),
            training_seconds=round(trained.seconds, 1),
        ),
    )
    write_model_files(trained.model, out, config)
    return SavedModel(trained.model, config)


def check_device(device: str) -> None:
    """Refuse a device that this machine does not have.

    Raises:
        InputError: an unknown name, or no such device here.
    """
    have = {"auto": True, "cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device not in have:
        raise InputError(f"--device {device}: expected auto, cpu, cuda or mps")
    if not have[device]:
        raise InputError(f"--device {device}: this machine has none; use --device auto")
