"""Train a model on a manifest: the functions behind ``auxface train``.

A run writes ``recipe.yaml`` and ``run.json`` before its first step, checkpoints and logs during training, and the model
directory at the end. An interrupted run can be resumed from its folder.

Example::

    saved = train("l_ssat", "faces.parquet", "runs/a", overrides=["train.epochs=20"])
    saved = resume("runs/a")
"""

import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from accelerate import Accelerator

from auxface.data.manifest import Manifest, read_manifest
from auxface.data.manifest_notes import manifest_notes
from auxface.data.samples import write_rejected
from auxface.device import check_device
from auxface.errors import InputError
from auxface.evaluation.csv_cells import escape_cells
from auxface.model.directory import MODEL_FILES, write_model_files
from auxface.model.saved_model import SavedModel
from auxface.objectives import check_auxiliaries
from auxface.output_folder import (
    added_files,
    begin_growing,
    check_output_folder,
    clear_folder,
    end_growing,
    refuse_foreign_names,
    refuse_inputs_inside,
)
from auxface.progress import progress_bar
from auxface.recipe import Recipe, load_recipe
from auxface.training.assembly import Assembly, Reader, agree_on_choices, assemble
from auxface.training.calibration import calibrated_config
from auxface.training.checkpoint import (
    RunRecord,
    check_checkpoints,
    check_image_counts,
    checkpoint_patterns,
    has_record,
    read_record,
    read_same_manifest,
    read_same_unlabeled,
    write_record,
)
from auxface.training.distributed import is_restart, make_accelerator, resolve_precision, sole_training
from auxface.training.dry_run import DryRun, FirstImages, dry_run
from auxface.training.logging import read_entries
from auxface.training.loop import run_training
from auxface.training.performance import torch_threads
from auxface.training.plan import AUTO, Plan, plan, read_plan
from auxface.training.run_errors import readable_errors
from auxface.training.training_summary import effect_warnings
from auxface.training.unlabeled import LEAKS_FILE, add_unlabeled, read_unlabeled, small_unlabeled, unlabeled_leaks

_PLAN = "plan.json"
# Files that are changed, created or deleted until the run ends.
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
    data: str | Path,
    out: str | Path,
    *,
    overrides: Iterable[str] = (),
    seed: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
    unlabeled: Sequence[str | Path] = (),
    budget: str | None = None,
    warn: Callable[[str], None] = warnings.warn,
) -> SavedModel:
    """Train a model and write its directory.

    The best weights, the temperature and the thresholds are chosen on the validation split. The test split is not read,
    except to find near-duplicates of unlabeled images; the near-duplicates are written to ``leaks.csv``.

    Args:
        recipe: recipe file, name of a packaged recipe (``l_ssat``, ``supervised``, ...), or :class:`Recipe`; ``auto``
            plans a recipe from the data (see :func:`auxface.training.plan.plan`).
        data: manifest (``.parquet`` or ``.csv``), or a folder of shards.
        out: model directory to write.
        overrides: overrides of recipe keys, such as ``"train.epochs=3"``.
        seed: seed that replaces the seed of the recipe; None to keep the seed of the recipe.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        overwrite: whether to replace files that auxface wrote to ``out`` earlier.
        budget: time for planning and training with recipe ``auto``, such as ``1h30m``; the default is ``30m``.
        unlabeled: manifests whose training images are used without labels.
        warn: callable that receives a message for each auxiliary that had almost no effect or did not learn its target,
            and for unlabeled images that are small or near-duplicates of validation or test images.

    Returns:
        The model with its best weights, and its configuration.

    Raises:
        InputError: the recipe, manifest, images or output are invalid, or another process is training in ``out``
            (raised before anything is written); the loss became NaN or infinite, or memory or disk space ran out.

    Example:
        >>> import auxface
        >>> small = ["encoder.image_size=64", "encoder.patch_size=16", "encoder.width=32", "encoder.depth=1"]
        >>> small += ["encoder.heads=2", "train.epochs=1", "tasks=[emotion]"]
        >>> saved = auxface.train("supervised", "faces.parquet", "runs/a", overrides=small, device="cpu")
        >>> saved.config.selection.split, saved.config.selection.metric
        ('val', 'balanced_accuracy')
    """
    data, out = Path(data), Path(out)
    if is_restart() and has_record(out):
        return resume(out, device=device, warn=warn)
    check_output_folder(out, overwrite)
    check_device(device)
    with sole_training(out):
        # Another process may have written to the folder since the first check.
        check_output_folder(out, overwrite)
        settings = [*overrides] if seed is None else [*overrides, f"seed={seed}"]
        made = _planned(recipe, data, unlabeled, budget, device)
        resolved = _resolve(recipe, overrides, seed) if made is None else _checked(made.recipe_with(settings))
        manifest, others = read_manifest(data), read_unlabeled(unlabeled)
        planned = read_plan(recipe, manifest.hash) if made is None else made.to_dict()
        pooled = add_unlabeled(str(data), manifest, others, resolved)
        refuse_inputs_inside(out, [data, *map(Path, others), *pooled.paths()])
        assembly, accelerator = _assemble(resolved, pooled, device)
        record = RunRecord(
            str(data.resolve()),
            manifest.hash,
            assembly.image_counts(),
            {str(Path(name).resolve()): other.hash for name, other in others.items()},
            assembly.trial,
        )
        if accelerator.is_main_process:
            leaks = unlabeled_leaks(pooled, assembly.splits, others, resolved)
            _start_folder(out, assembly.recipe, record, planned, leaks)
            for text in small_unlabeled(others, resolved):
                warn(text)
            if len(leaks):
                warn(
                    f"{leaks['path'].nunique()} unlabeled images are near-duplicates of validation or test images; "
                    f"{out / LEAKS_FILE} lists them"
                )
        accelerator.wait_for_everyone()
        return _run(assembly, record, out, accelerator, warn)


def resume(
    out: str | Path,
    *,
    data: str | Path | None = None,
    device: str = "auto",
    unlabeled: Sequence[str | Path] = (),
    warn: Callable[[str], None] = warnings.warn,
) -> SavedModel:
    """Resume an interrupted run from its last checkpoint and train to the end of its recipe.

    On the same machine and device, the result is bitwise identical to the result of an uninterrupted run.

    Args:
        out: folder of the run.
        data: path of the manifest if it was moved; None for the path with which the run was started.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        unlabeled: paths of the manifests of unlabeled images, in the original order, if they were moved.
        warn: as for :func:`train`.

    Returns:
        The model with its best weights, and its configuration.

    Raises:
        InputError: no run was started in the folder, another process is training in it, or the manifests or images of
            the run have changed.
    """
    out = Path(out)
    check_device(device)
    record = read_record(out)
    with sole_training(out):
        check_checkpoints(out / "checkpoint")
        manifest = read_same_manifest(out, record, None if data is None else Path(data))
        resolved = load_recipe(out / "recipe.yaml")
        pooled = add_unlabeled(
            str(data or record.data), manifest, read_same_unlabeled(out, record, unlabeled), resolved
        )
        assembly, accelerator = _assemble(resolved, pooled, device)
        check_image_counts(out, record, assembly.image_counts())
        if accelerator.is_main_process:
            begin_growing(out, _GROWING)
        return _run(assembly, record, out, accelerator, warn)


def check(
    recipe: str | Path | Recipe,
    data: str | Path,
    *,
    overrides: Iterable[str] = (),
    seed: int | None = None,
    device: str = "auto",
    unlabeled: Sequence[str | Path] = (),
    warn: Callable[[str], None] = warnings.warn,
) -> DryRun:
    """Train one step on two images, and estimate the time and memory of the whole run; write nothing.

    Args:
        recipe: as for :func:`train`.
        data: as for :func:`train`.
        overrides: as for :func:`train`.
        seed: as for :func:`train`.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        unlabeled: as for :func:`train`; near-duplicates are not listed.
        warn: function called with each note on the manifest; see :func:`~auxface.data.manifest_notes.manifest_notes`.

    Raises:
        InputError: in the same cases as :func:`train`.
    """
    check_device(device)
    resolved = _resolve(recipe, overrides, seed)
    reader = FirstImages()
    manifest = read_manifest(Path(data))
    for note in manifest_notes(manifest):
        warn(note)
    pooled = add_unlabeled(str(data), manifest, read_unlabeled(unlabeled), resolved)
    assembly, accelerator = _assemble(resolved, pooled, device, reader)
    with readable_errors(Path(), assembly.loader.batch_size, assembly.recipe.train.accumulate):
        return dry_run(assembly, accelerator, reader.seconds_per_image)


def _resolve(recipe: str | Path | Recipe, overrides: Iterable[str], seed: int | None) -> Recipe:
    settings = [*overrides] if seed is None else [*overrides, f"seed={seed}"]
    resolved = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, settings)
    return check_auxiliaries(resolved, resolved.name if isinstance(recipe, Recipe) else str(recipe))


def _checked(recipe: Recipe) -> Recipe:
    return check_auxiliaries(recipe, recipe.name)


def _planned(
    recipe: str | Path | Recipe, data: Path, unlabeled: Sequence[str | Path], budget: str | None, device: str
) -> Plan | None:
    if recipe != AUTO:
        if budget is not None:
            raise InputError(
                "--budget applies only to recipe auto, which plans the number of epochs; set train.epochs instead"
            )
        return None
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(
            "recipe auto plans for a single process; write a recipe with 'auxface plan' and train this recipe with "
            "several processes"
        )
    return plan(data, budget="30m" if budget is None else budget, device=device, unlabeled=unlabeled)


def _assemble(
    recipe: Recipe, manifest: Manifest, device: str, read: Reader | None = None
) -> tuple[Assembly, Accelerator]:
    """Build the inputs of the run, and the accelerator for the chosen precision."""
    accelerator = make_accelerator(recipe, device)
    # The first process decodes the images into the cache; the other processes read the cache.
    with accelerator.main_process_first():
        assembly = assemble(recipe, manifest, accelerator.device.type, read)
    assembly = agree_on_choices(assembly, accelerator)
    if resolve_precision(assembly.recipe.train, accelerator.device.type) != accelerator.mixed_precision:
        accelerator = make_accelerator(assembly.recipe, device)
    return assembly, accelerator


def _start_folder(
    out: Path, recipe: Recipe, record: RunRecord, planned: Mapping[str, Any] | None, leaks: pd.DataFrame
) -> None:
    """Write the recipe and the record, which are needed to resume the run; leave no files if writing fails."""
    clear_folder(out)
    try:
        begin_growing(out, _GROWING)
        with added_files(out) as temporary:
            (temporary / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
            if planned is not None:
                (temporary / _PLAN).write_text(json.dumps(planned, indent=1) + "\n")
            write_record(temporary, record)
            if len(leaks):
                escape_cells(leaks).to_csv(temporary / LEAKS_FILE, index=False)
    except OSError:
        # From an incomplete folder, a run could neither be resumed nor started again without --overwrite.
        clear_folder(out)
        with suppress(OSError):
            out.rmdir()
        raise


def _run(
    assembly: Assembly, record: RunRecord, out: Path, accelerator: Accelerator, warn: Callable[[str], None]
) -> SavedModel:
    recipe, is_main = assembly.recipe, accelerator.is_main_process
    steps = recipe.train.epochs * assembly.loader.steps_per_epoch
    rejected = write_rejected(assembly.splits, out / "rejected.csv") if is_main else 0
    with progress_bar(f"train {recipe.name}", steps, "steps") if is_main else nullcontext() as advance:
        result = run_training(
            assembly.model,
            assembly.loader,
            assembly.validation,
            folder=out,
            training=assembly.training,
            accelerator=accelerator,
            advance=advance,
        )
    with torch_threads(recipe.train.threads):
        planned = json.loads((out / _PLAN).read_text()) if (out / _PLAN).is_file() else {}
        config = calibrated_config(
            assembly,
            record,
            result,
            entries=read_entries(out / "log.jsonl"),
            baselines=planned.get("baselines", {}),
            rejected=rejected,
        )
    if is_main:
        with readable_errors(out, assembly.loader.batch_size, recipe.train.accumulate):
            try:
                refuse_foreign_names(out, MODEL_FILES)
            except InputError as error:
                raise InputError(f"{error} (move it, then run: auxface train --resume {out})") from None
            with added_files(out) as temporary:
                write_model_files(result.model.exported_state(), temporary, config)
            end_growing(out)
        for text in effect_warnings(read_entries(out / "log.jsonl")):
            warn(text)
    return SavedModel(result.model, config)
