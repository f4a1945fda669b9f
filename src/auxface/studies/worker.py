"""Execute one run of a study in its own process: train or resume, evaluate, and write ``result.json``."""

import hashlib
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from auxface.atomic import atomic_file
from auxface.data.manifest import read_manifest
from auxface.device import resolve_device
from auxface.errors import InputError
from auxface.evaluation import TaskAudit
from auxface.evaluation.groups import CROSS
from auxface.evaluation.metrics import table_metrics
from auxface.inference.evaluate import evaluate
from auxface.output_folder import begin_growing
from auxface.recipe import Recipe
from auxface.studies.results_file import DONE, FAILED
from auxface.training.assembly import assemble
from auxface.training.checkpoint import has_record
from auxface.training.dry_run import FirstImages
from auxface.training.logging import read_log
from auxface.training.train import resume, train
from auxface.training.unlabeled import add_unlabeled

RESULT_FILE, LOG_FILE, TEST_FOLDER = "result.json", "output.log", "test"
CHOICES_FILE = "measured_choices.json"
_SHARED, _PER_ENCODER = ("precision", "threads"), ("attention", "channels_last")
_RESAMPLES = 200
_DIGITS = 6


@dataclass(frozen=True)
class RunJob:
    """The arguments of the process that executes a run; all arguments can be pickled.

    Attributes:
        recipe: resolved recipe.
        data: path of the manifest.
        folder: folder of the run.
        corruptions: corruptions under which the model is tested.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
    """

    recipe: Recipe
    data: Path
    folder: Path
    corruptions: tuple[str, ...]
    device: str


class SharedChoices:
    """Choices that replace ``auto`` in the recipes of all runs of a study; they are made in one trial and stored.

    All runs use the same precision and number of threads. All runs with the same encoder use the same attention kernel
    and memory format. Keys that are not ``auto`` are unchanged. Later calls, on any machine, use the stored
    choices.

    Args:
        out: results folder, which contains ``measured_choices.json``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        jobs: number of concurrent runs; with several runs, the cores are divided among them, and numbers of threads are
            not tested.
    """

    def __init__(self, out: Path, device: str, jobs: int) -> None:
        self.file, self.device = out / CHOICES_FILE, device
        self.stored: dict[str, Any] = {"encoders": {}}
        if jobs > 1 and resolve_device(device) == "cpu":
            self.stored["threads"] = max(1, (os.cpu_count() or 1) // jobs)
        if self.file.is_file():
            self.stored |= json.loads(self.file.read_text())

    def apply(self, recipe: Recipe, data: Path) -> Recipe:
        """Return the recipe of a run with ``auto`` replaced by the shared choices; missing choices are made in a trial.

        Args:
            recipe: recipe of the run.
            data: manifest of the run.
        """
        encoder = hashlib.sha256(recipe.encoder.model_dump_json().encode()).hexdigest()[:16]
        known = self.stored["encoders"].get(encoder, {})
        recipe = _without_auto(recipe, self.stored | known)
        if all(getattr(recipe.train, key) != "auto" for key in _SHARED + _PER_ENCODER):
            return recipe
        try:
            manifest = add_unlabeled(str(data), read_manifest(data), {}, recipe)
            found = assemble(recipe, manifest, resolve_device(self.device), FirstImages()).recipe.train
        except InputError:
            # The run itself will fail with this error and will be recorded as failed.
            return recipe
        for key in _SHARED:
            if getattr(recipe.train, key) == "auto":
                self.stored[key] = getattr(found, key)
        measured = {key: getattr(found, key) for key in _PER_ENCODER if getattr(recipe.train, key) == "auto"}
        self.stored["encoders"][encoder] = known | measured
        with atomic_file(self.file) as temporary:
            temporary.write_text(json.dumps(self.stored, indent=1) + "\n")
        return _without_auto(recipe, self.stored | measured)


def _without_auto(recipe: Recipe, choices: Mapping[str, Any]) -> Recipe:
    open_keys = [key for key in _SHARED + _PER_ENCODER if getattr(recipe.train, key) == "auto" and key in choices]
    train = recipe.train.model_copy(update={key: choices[key] for key in open_keys})
    return recipe.model_copy(update={"train": train})


def execute_run(job: RunJob) -> None:
    """Train and evaluate a model, and write ``result.json`` to the run's folder.

    Standard output is written to ``output.log``. If an exception occurs, it is stored as the reason for the failure.
    """
    begin_growing(job.folder, (RESULT_FILE, LOG_FILE))
    begin_child(job.folder / LOG_FILE)
    try:
        result = _train_and_evaluate(job)
    except InputError as error:
        result = {"status": FAILED, "why": " ".join(str(error).split())}
    except Exception as error:
        result = {"status": FAILED, "why": f"{type(error).__name__}: {' '.join(str(error).split())}"}
    with atomic_file(job.folder / RESULT_FILE) as temporary:
        temporary.write_text(json.dumps(result, allow_nan=False))


def _train_and_evaluate(job: RunJob) -> dict[str, Any]:
    model = job.folder / "model"
    # A run can be resumed as soon as its record exists, even before its first step and first checkpoint.
    if has_record(model):
        saved = resume(model, data=job.data, device=job.device)
    else:
        saved = train(job.recipe, job.data, model, device=job.device, overwrite=True)
    started = time.perf_counter()
    audit = evaluate(
        model,
        job.data,
        job.folder / TEST_FOLDER,
        corruptions=job.corruptions,
        resamples=_RESAMPLES,
        device=job.device,
        overwrite=True,
    )
    test_seconds = time.perf_counter() - started
    curve = read_log(model / "log.jsonl")
    provenance = saved.config.provenance
    measured = next(iter(audit.models.values()))
    selection = saved.config.selection
    return {
        "status": DONE,
        "tasks": {name: _task_record(task) for name, task in measured.tasks.items()},
        "left_out": measured.left_out,
        "selection": None if selection is None else vars(selection) | {},
        "curve": _rounded(curve.to_dict(orient="records")),
        "training_seconds": round(float(curve["seconds"].sum()), 1),
        "test_seconds": round(test_seconds, 1),
        "memory_gib": round(_peak_memory_gib(), 3),
        "parameters": sum(weight.numel() for weight in saved.model.parameters()),
        "encoder_parameters": sum(weight.numel() for weight in saved.model.encoder.parameters()),
        "images": provenance["images"],
        "unreadable": provenance["unreadable"],
        **{
            name: provenance.get(name)
            for name in ("recipe_hash", "manifest_hash", "machine", "versions", "created", "commit")
        },
    }


def _task_record(audited: TaskAudit) -> dict[str, Any]:
    """Return the main results of a task: all metrics overall, and the main metrics by group and by corruption."""
    full = audited.to_dict()
    main = set(table_metrics(audited.task.kind))
    groups = {
        group: {level: {name: one for name, one in found.items() if name in main} for level, found in levels.items()}
        for group, levels in full["groups"].items()
        if CROSS not in group
    }
    robustness = {
        corruption: {
            severity: {name: one for name, one in found.items() if name in main} for severity, found in steps.items()
        }
        for corruption, steps in full["robustness"].items()
    }
    record = {"kind": full["kind"], "classes": full["classes"], "overall": full["overall"], "groups": groups}
    record["gaps"] = {group: found for group, found in full["gaps"].items() if CROSS not in group}
    record |= {"robustness": robustness, "robustness_summary": full.get("robustness_summary", {})}
    return _rounded(record)


def _rounded(value: Any) -> Any:
    """Round every number in nested dicts and lists; NaN becomes None."""
    if isinstance(value, Mapping):
        return {str(name): _rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    if isinstance(value, float):
        return round(value, _DIGITS) if value == value else None
    return value


def _peak_memory_gib() -> float:
    """Return the peak memory of this process in GiB: GPU memory if a GPU was used, otherwise resident memory."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**30
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def begin_child(log: Path) -> None:
    """Append the output of this process to a file, and end this process when its parent process ends.

    Otherwise, processes would continue to run after their parent process has been killed.

    Args:
        log: text file for standard output and standard error; the folder of the file must exist.
    """
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    threading.Thread(target=_exit_with_parent, args=(os.getppid(),), daemon=True).start()


def _exit_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
