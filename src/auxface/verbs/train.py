"""``auxface train``: a recipe and a manifest to a model directory; started, gone on with, or only rehearsed."""

from collections.abc import Iterable
from contextlib import nullcontext, suppress
from pathlib import Path

import torch
import yaml
from accelerate import Accelerator

from auxface.data.manifest import Manifest, read_manifest
from auxface.data.usable import write_rejected
from auxface.errors import InputError
from auxface.model.config import ModelConfig, Selection
from auxface.model.directory import SavedModel, write_model_files
from auxface.model.scoring import score_pictures
from auxface.output_folder import (
    added_files,
    begin_growing,
    check_output_folder,
    clear_folder,
    end_growing,
    refuse_inputs_inside,
)
from auxface.progress import progress_bar
from auxface.provenance import provenance
from auxface.recipe import Recipe, load_recipe
from auxface.recipe.load import recipe_hash
from auxface.training.assembly import Assembly, assemble, with_agreed_batch_size
from auxface.training.calibration import calibrate
from auxface.training.checkpoint import checkpoint_patterns
from auxface.training.faults import explained
from auxface.training.loop import Trained, run_training
from auxface.training.machine import is_restart, make_accelerator
from auxface.training.rehearsal import FirstPictures, Rehearsal, rehearse
from auxface.training.run_record import (
    RunRecord,
    check_pictures,
    has_record,
    read_record,
    same_manifest,
    write_record,
)

# Files of a run that change, or come and go, until it ends.
_GROWING = (
    "log.jsonl",
    "steps.jsonl",
    "tensorboard/events.out.tfevents.*",
    "rejected.csv",
    "nonfinite.json",
    *checkpoint_patterns("checkpoint"),
)


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
        overwrite: replace what auxface wrote in ``out``.

    Raises:
        InputError: anything wrong with recipe, manifest, pictures or output, before anything is written; or the loss
            was not finite, or memory or disk ran out.
    """
    if is_restart() and has_record(out):
        return resume(out, device=device)
    check_output_folder(out, overwrite)
    check_device(device)
    resolved = _resolve(recipe, overrides, seed)
    accelerator = make_accelerator(resolved, device)
    given = read_manifest(data)
    refuse_inputs_inside(out, [data, *given.paths()])
    parts = _assemble(resolved, given, accelerator)
    pictures = {split: len(part.pictures) for split, part in parts.parts.items()}
    if accelerator.is_main_process:
        clear_folder(out)
        try:
            begin_growing(out, _GROWING)
            with added_files(out) as beside:
                (beside / "recipe.yaml").write_text(
                    yaml.safe_dump(parts.recipe.model_dump(mode="json"), sort_keys=False)
                )
                write_record(beside, RunRecord(str(data.resolve()), given.hash, pictures))
        except OSError:
            # Half a start can neither be gone on with nor started again without --overwrite.
            clear_folder(out)
            with suppress(OSError):
                out.rmdir()
            raise
    accelerator.wait_for_everyone()
    return _run(parts, given, out, accelerator)


def resume(out: Path, *, data: Path | None = None, device: str = "auto") -> SavedModel:
    """Go on with a run after anything, from its last checkpoint to its end.

    Args:
        out: the run's folder.
        data: where the manifest is now, if it has moved.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        InputError: no run was started there, or its manifest or pictures have changed.
    """
    check_device(device)
    record = read_record(out)
    given = same_manifest(out, record, data)
    resolved = load_recipe(out / "recipe.yaml")
    accelerator = make_accelerator(resolved, device)
    parts = _assemble(resolved, given, accelerator)
    check_pictures(out, record, {split: len(part.pictures) for split, part in parts.parts.items()})
    if accelerator.is_main_process:
        begin_growing(out, _GROWING)
    return _run(parts, given, out, accelerator)


def check(
    recipe: str | Path | Recipe,
    data: Path,
    *,
    overrides: Iterable[str] = (),
    seed: int | None = None,
    device: str = "auto",
) -> Rehearsal:
    """Build everything, take one step on two samples and reckon how long the whole will take; nothing is written.

    Raises:
        InputError: as :func:`train` would.
    """
    check_device(device)
    resolved = _resolve(recipe, overrides, seed)
    accelerator = make_accelerator(resolved, device)
    reader = FirstPictures()
    parts = assemble(resolved, read_manifest(data), accelerator.device.type, reader)
    parts = with_agreed_batch_size(parts, accelerator)
    with explained(Path(), parts.feed.batch_size, parts.recipe.train.accumulate):
        return rehearse(parts, accelerator, reader.seconds)


def _resolve(recipe: str | Path | Recipe, overrides: Iterable[str], seed: int | None) -> Recipe:
    settings = [*overrides] if seed is None else [*overrides, f"seed={seed}"]
    return recipe if isinstance(recipe, Recipe) else load_recipe(recipe, settings)


def _assemble(recipe: Recipe, given: Manifest, accelerator: Accelerator) -> Assembly:
    # The first process decodes the pictures; the others then find them decoded.
    with accelerator.main_process_first():
        parts = assemble(recipe, given, accelerator.device.type)
    return with_agreed_batch_size(parts, accelerator)


def _run(parts: Assembly, given: Manifest, out: Path, accelerator: Accelerator) -> SavedModel:
    recipe, main = parts.recipe, accelerator.is_main_process
    steps = recipe.train.epochs * parts.feed.steps_per_epoch
    rejected = write_rejected(parts.parts, out / "rejected.csv") if main else 0
    with progress_bar(f"train {recipe.name}", steps, "steps") if main else nullcontext() as advance:
        trained = run_training(
            parts.model,
            parts.feed,
            parts.validation,
            folder=out,
            training=parts.training,
            accelerator=accelerator,
            advance=advance,
        )
    config = _configuration(parts, given, trained, rejected)
    if main:
        with explained(out, parts.feed.batch_size, recipe.train.accumulate):
            with added_files(out) as beside:
                write_model_files(trained.model, beside, config)
            end_growing(out)
    return SavedModel(trained.model, config)


def _configuration(parts: Assembly, given: Manifest, trained: Trained, rejected: int) -> ModelConfig:
    recipe, manifest, validation = parts.recipe, parts.manifest, parts.validation
    logits = score_pictures(trained.model, validation.pictures)
    column = recipe.train.group if recipe.train.threshold_per_group else None
    groups = None if column is None else parts.parts["val"].manifest.table[column]
    return ModelConfig(
        recipe=recipe,
        tasks=tuple(
            calibrate(
                task,
                logits[task.name],
                validation.labels[task.name],
                abstain_accuracy=recipe.train.abstain_accuracy,
                groups=groups,
            )
            for task in parts.tasks
        ),
        crop=None if manifest.crop is None else dict(manifest.crop),
        selection=Selection(
            split="val", metric=recipe.train.select_on, value=trained.best_value, epoch=trained.best_epoch
        ),
        provenance=provenance(
            recipe_hash=recipe_hash(recipe),
            manifest_hash=given.hash,
            trained_on=_trained_on(parts),
            seed=recipe.seed,
            pictures={split: len(part.pictures) for split, part in parts.parts.items()},
            unreadable=rejected,
            objectives=trained.model.report(),
            training_seconds=round(trained.seconds, 1),
        ),
    )


def _trained_on(parts: Assembly) -> str | list[str]:
    """Names of the data sets of the training split, for the cross-dataset matrix."""
    names = sorted({str(name) for name in parts.parts["train"].manifest.table["dataset"].unique()})
    return names[0] if len(names) == 1 else names


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
