"""One run of a study in a process of its own: train (or go on), measure, leave ``result.json``."""

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
from auxface.errors import InputError
from auxface.evaluation import TaskAudit
from auxface.evaluation.groups import CROSS
from auxface.evaluation.metrics import table_metrics
from auxface.inference.evaluate import evaluate
from auxface.output_folder import begin_growing
from auxface.recipe import Recipe
from auxface.studies.results import DONE, FAILED
from auxface.training.logging import read_journal
from auxface.training.train import has_record, resume, train

RESULT, LOG, TEST = "result.json", "output.log", "test"
_RESAMPLES = 200
_DIGITS = 6


@dataclass(frozen=True)
class Order:
    """What a run's process is told; everything in it can be sent to another process."""

    recipe: Recipe
    data: Path
    folder: Path
    damages: tuple[str, ...]
    device: str


def carry_out(order: Order) -> None:
    """Train, measure and write ``result.json`` into the run's folder; what was printed goes to ``output.log``."""
    begin_growing(order.folder, (RESULT, LOG))
    with (order.folder / LOG).open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    try:
        result = _result(order)
    except InputError as error:
        result = {"status": FAILED, "why": " ".join(str(error).split())}
    except Exception as error:
        result = {"status": FAILED, "why": f"{type(error).__name__}: {' '.join(str(error).split())}"}
    with atomic_file(order.folder / RESULT) as beside:
        beside.write_text(json.dumps(result, allow_nan=False))


def _result(order: Order) -> dict[str, Any]:
    model = order.folder / "model"
    # The record is written before the first step, the first checkpoint after the first epoch; both serve to go on.
    if has_record(model):
        saved = resume(model, data=order.data, device=order.device)
    else:
        saved = train(order.recipe, order.data, model, device=order.device, overwrite=True)
    begun = time.perf_counter()
    audit = evaluate(
        model,
        order.data,
        order.folder / TEST,
        corruptions=order.damages,
        resamples=_RESAMPLES,
        device=order.device,
        overwrite=True,
    )
    test_seconds = time.perf_counter() - begun
    curve = read_journal(model / "log.jsonl")
    made = saved.config.provenance
    measured = next(iter(audit.models.values()))
    selection = saved.config.selection
    return {
        "status": DONE,
        "tasks": {name: _table(task) for name, task in measured.tasks.items()},
        "left_out": measured.left_out,
        "selection": None if selection is None else vars(selection) | {},
        "curve": _rounded(curve.to_dict(orient="records")),
        "training_seconds": round(float(curve["seconds"].sum()), 1),
        "test_seconds": round(test_seconds, 1),
        "memory_gib": round(_memory(), 3),
        "parameters": sum(weight.numel() for weight in saved.model.parameters()),
        "encoder_parameters": sum(weight.numel() for weight in saved.model.encoder.parameters()),
        "images": made["images"],
        "unreadable": made["unreadable"],
        **{
            name: made.get(name)
            for name in ("recipe_hash", "manifest_hash", "machine", "versions", "created", "commit")
        },
    }


def _table(audited: TaskAudit) -> dict[str, Any]:
    """A task's figures, small: everything overall, the shown metrics by single groups, means under damage."""
    whole = audited.to_dict()
    shown = set(table_metrics(audited.task.kind))
    groups = {
        group: {level: {name: one for name, one in found.items() if name in shown} for level, found in levels.items()}
        for group, levels in whole["groups"].items()
        if CROSS not in group
    }
    robustness = {
        corruption: {
            severity: {name: one for name, one in found.items() if name in shown} for severity, found in steps.items()
        }
        for corruption, steps in whole["robustness"].items()
    }
    parts = {"kind": whole["kind"], "classes": whole["classes"], "overall": whole["overall"], "groups": groups}
    parts["gaps"] = {group: found for group, found in whole["gaps"].items() if CROSS not in group}
    parts |= {"robustness": robustness, "robustness_summary": whole.get("robustness_summary", {})}
    return _rounded(parts)


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    if isinstance(value, float):
        return round(value, _DIGITS) if value == value else None
    return value


def _memory() -> float:
    """Peak of this process in GiB: of the GPU where one was used, else of the machine's memory."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**30
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def _end_with_parent(parent: int) -> None:
    """A study that is killed takes its runs with it; they are gone on with from their checkpoints."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
