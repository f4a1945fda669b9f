"""``auxface train``: a recipe and a manifest to a model directory; started, gone on with, or only rehearsed.

What a run was started with, kept in its folder as ``run.json``, so that it can be gone on with by name alone.
"""

import json
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml
from accelerate import Accelerator

from auxface.atomic import atomic_file
from auxface.data.manifest import Manifest, read_manifest
from auxface.data.samples import write_rejected
from auxface.device import check_device
from auxface.errors import InputError
from auxface.model.config import ModelConfig, Selection
from auxface.model.directory import SavedModel, write_model_files
from auxface.model.scoring import score_images
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
from auxface.training.distributed import is_restart, make_accelerator
from auxface.training.dry_run import FirstImages, Rehearsal, rehearse
from auxface.training.errors import explained
from auxface.training.loop import Trained, run_training

_FILE = "run.json"


@dataclass(frozen=True)
class RunRecord:
    """The start of a run.

    Attributes:
        data: the manifest's absolute path.
        manifest_hash: of its header and rows.
        images: usable images by split.
    """

    data: str
    manifest_hash: str
    images: dict[str, int]


def write_record(folder: Path, record: RunRecord) -> None:
    """Write ``run.json``."""
    with atomic_file(folder / _FILE) as beside:
        beside.write_text(json.dumps(asdict(record), indent=1) + "\n")


def has_record(folder: Path) -> bool:
    """Whether a run was started in a folder."""
    return (folder / _FILE).is_file()


def read_record(folder: Path) -> RunRecord:
    """Read ``run.json``.

    Raises:
        InputError: no run was started there, or the file is broken.
    """
    if not has_record(folder):
        raise InputError(f"{folder}: no run to go on with ({_FILE} is missing); start one with 'auxface train RECIPE'")
    try:
        return RunRecord(**json.loads((folder / _FILE).read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise InputError(f"{folder / _FILE}: not a record of a run") from None


def same_manifest(folder: Path, record: RunRecord, data: Path | None) -> Manifest:
    """The manifest that a run was started with, from where it was or from ``data``.

    Raises:
        InputError: it is gone, or its header or rows have changed.
    """
    manifest = read_manifest(Path(record.data) if data is None else data)
    if manifest.hash != record.manifest_hash:
        raise InputError(
            f"{record.data if data is None else data}: not the manifest that {folder} was started with (its rows or "
            "header have changed); bring back the old one, or start a new run"
        )
    return manifest


def check_images(folder: Path, record: RunRecord, images: dict[str, int]) -> None:
    """Refuse to go on where images have gone or come since the start: the order of training would be another.

    Raises:
        InputError: other numbers of usable images than at the start.
    """
    for split, count in images.items():
        if record.images.get(split) != count:
            raise InputError(
                f"{folder}: {record.images.get(split)} images of '{split}' could be read when the run was started, "
                f"{count} now; bring them back, or start a new run"
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
        InputError: anything wrong with recipe, manifest, images or output, before anything is written; or the loss
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
    images = {split: len(part.images) for split, part in parts.parts.items()}
    if accelerator.is_main_process:
        clear_folder(out)
        try:
            begin_growing(out, _GROWING)
            with added_files(out) as beside:
                (beside / "recipe.yaml").write_text(
                    yaml.safe_dump(parts.recipe.model_dump(mode="json"), sort_keys=False)
                )
                write_record(beside, RunRecord(str(data.resolve()), given.hash, images))
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
        InputError: no run was started there, or its manifest or images have changed.
    """
    check_device(device)
    record = read_record(out)
    given = same_manifest(out, record, data)
    resolved = load_recipe(out / "recipe.yaml")
    accelerator = make_accelerator(resolved, device)
    parts = _assemble(resolved, given, accelerator)
    check_images(out, record, {split: len(part.images) for split, part in parts.parts.items()})
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
    reader = FirstImages()
    parts = assemble(resolved, read_manifest(data), accelerator.device.type, reader)
    parts = with_agreed_batch_size(parts, accelerator)
    with explained(Path(), parts.feed.batch_size, parts.recipe.train.accumulate):
        return rehearse(parts, accelerator, reader.seconds)


def _resolve(recipe: str | Path | Recipe, overrides: Iterable[str], seed: int | None) -> Recipe:
    settings = [*overrides] if seed is None else [*overrides, f"seed={seed}"]
    return recipe if isinstance(recipe, Recipe) else load_recipe(recipe, settings)


def _assemble(recipe: Recipe, given: Manifest, accelerator: Accelerator) -> Assembly:
    # The first process decodes the images; the others then find them decoded.
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
    logits = score_images(trained.model, validation.images)
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
            images={split: len(part.images) for split, part in parts.parts.items()},
            unreadable=rejected,
            objectives=trained.model.report(),
            training_seconds=round(trained.seconds, 1),
        ),
    )


def _trained_on(parts: Assembly) -> str | list[str]:
    """Names of the data sets of the training split, for the cross-dataset matrix."""
    names = sorted({str(name) for name in parts.parts["train"].manifest.table["dataset"].unique()})
    return names[0] if len(names) == 1 else names
