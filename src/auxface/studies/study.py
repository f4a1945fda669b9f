"""``auxface study``: execute the runs of a study that have no result yet, within a time budget.

Example::

    from auxface import study

    progress = study(Path("studies/balance.yaml"), Path("studies/balance"), budget="1h30m", jobs=2)
    print(progress.done, progress.left)
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

from auxface.data.corruptions import corruptions
from auxface.data.manifest import Manifest, read_manifest, write_manifest
from auxface.device import check_device, free_cores, resolve_device
from auxface.errors import InputError
from auxface.evaluation.metrics import METRICS
from auxface.output_folder import delete_written
from auxface.plugins import nearest
from auxface.progress import parse_budget, progress_bar
from auxface.provenance import machine_kind
from auxface.studies.definition import Study, read_study, write_plan
from auxface.studies.grid import PendingRun, Run, hash_rows, next_run, plan_runs, select_runs
from auxface.studies.results_file import DONE, FAILED, RunRecord, append_result, lock_results, read_results
from auxface.studies.training_subsets import drop_labels, subsample_levels
from auxface.studies.worker import LOG_FILE, RESULT_FILE, TEST_FOLDER, RunJob, SharedChoices, execute_run
from auxface.training.logging import read_log
from auxface.training.unlabeled import add_unlabeled, read_unlabeled

DATA_ROOT_VARIABLE = "AUXFACE_DATA"


@dataclass(frozen=True)
class StudyProgress:
    """Progress of a study, as numbers of runs.

    Attributes:
        done: number of selected runs with a result.
        failed: number of selected runs that failed.
        left: number of selected runs without a result.
        now: number of runs that ended during this call.
    """

    done: int
    failed: int
    left: int
    now: int


def study(
    definition: Path,
    out: Path,
    *,
    budget: str | None = None,
    where: Sequence[str] = (),
    data_root: Path | None = None,
    jobs: int | Literal["auto"] = "auto",
    device: str = "auto",
    keep_models: bool = False,
    retry_failed: bool = False,
    log: Callable[[str], None] | None = None,
) -> StudyProgress:
    """Execute the runs of a study that have no record in ``results.jsonl``.

    Each run is executed in its own process. The next call resumes an interrupted run from its last checkpoint. A run
    that raises an error is recorded as failed, with the reason.

    Args:
        definition: study file.
        out: results folder; existing results are kept.
        budget: time limit such as ``25m``; None for no limit. A run starts only if it is expected to finish in time;
            at the limit, active runs are interrupted.
        where: ``key=value`` conditions such as ``task=emotion`` or ``seed=0``; only runs that satisfy all conditions
            are executed.
        data_root: folder that contains the manifests; the default is the environment variable ``AUXFACE_DATA`` or, if
            it is not set, the folder of the study file.
        jobs: number of concurrent runs. ``auto`` is one run on a GPU. On a CPU, it is the number of cores that are idle
            at the start, because two processes with one thread each train faster than one process with two threads.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        keep_models: whether to keep the folder of each run, including its model, in ``out/runs``.
        retry_failed: whether to repeat failed runs.
        log: callable that receives one line of text for every run that ends.

    Raises:
        InputError: the study or a recipe is invalid, a manifest is missing, or another study is running in ``out``.

    Example:
        >>> from pathlib import Path
        >>> import auxface
        >>> auxface.study(Path("studies/texture_targets_cpu.yaml"), Path("runs/study"), budget="25m")  # doctest: +SKIP
    """
    limit = None if budget is None else parse_budget(budget)
    started = time.monotonic()
    check_device(device)
    definition_read = read_study(definition)
    _check_corruptions(definition_read, definition)
    planned = plan_runs(definition_read, definition.parent)
    runs = select_runs(planned, where)
    root = data_root or Path(os.environ.get(DATA_ROOT_VARIABLE) or definition.parent)
    with lock_results(out):
        manifests = _Manifests(root, out, definition_read)
        selected = [PendingRun(run, run.key(manifests.get(run)[1])) for run in runs]
        write_plan(out, definition_read, len(planned))
        records = read_results(out)
        ended = (DONE,) if retry_failed else (DONE, FAILED)
        pending = [item for item in selected if records.get(item.key, {}).get("status") not in ended]
        pending = [
            PendingRun(item.run, item.key, _fraction_remaining(out / "runs" / item.key, item.run)) for item in pending
        ]
        if jobs == "auto":
            jobs = min(free_cores(), max(len(pending), 1)) if resolve_device(device) == "cpu" else 1
        choices = SharedChoices(out, device, jobs)
        executor = _Executor(definition_read, out, manifests, device, choices, keep_models, log or (lambda line: None))
        with progress_bar(definition_read.name, len(runs), "runs") as advance, _divide_cores(jobs):
            advance(len(runs) - len(pending))
            now = executor.execute(pending, records, jobs=jobs, started=started, budget=limit, advance=advance)
    states = [records.get(item.key, {}).get("status") for item in selected]
    return StudyProgress(states.count(DONE), states.count(FAILED), states.count(None), now)


@dataclass
class _Executor:
    """An executor that starts the processes of a study and collects their results."""

    study: Study
    out: Path
    manifests: "_Manifests"
    device: str
    choices: SharedChoices
    keep_models: bool
    log: Callable[[str], None]

    def execute(
        self,
        pending: Sequence[PendingRun],
        records: dict[str, RunRecord],
        *,
        jobs: int,
        started: float,
        budget: float | None,
        advance: Callable[..., None],
    ) -> int:
        """Execute the runs that fit into the budget, add their records to ``records``, and return their number."""
        deadline = None if budget is None else started + budget
        machine, waiting, ended = machine_kind(), list(pending), 0
        active: dict[BaseProcess, tuple[PendingRun, float]] = {}
        try:
            while True:
                while len(active) < jobs:
                    seconds = None if deadline is None else deadline - time.monotonic()
                    in_time = seconds is None or seconds > 0
                    item = next_run(waiting, records, machine, seconds, budget) if in_time else None
                    if item is None:
                        break
                    waiting.remove(item)
                    active[self._start(item)] = (item, time.monotonic())
                if not active or (deadline is not None and time.monotonic() > deadline):
                    return ended
                advance(0, note=", ".join(f"{item.run.data.name}: {item.run.row}" for item, _ in active.values()))
                connection.wait([process.sentinel for process in active], timeout=1)
                for process in [process for process in active if not process.is_alive()]:
                    item, begun = active.pop(process)
                    record = self._collect(process, item, time.monotonic() - begun)
                    records[item.key] = record
                    ended += 1
                    advance(1)
                    self.log(_log_line(record))
        finally:
            for process in active:
                process.terminate()
            for process in active:
                process.join()

    def _start(self, item: PendingRun) -> BaseProcess:
        data = self.manifests.get(item.run)[0]
        job = RunJob(
            self.choices.apply(item.run.recipe, data),
            data,
            self.out / "runs" / item.key,
            item.run.corruptions,
            self.device,
        )
        process = get_context("spawn").Process(target=execute_run, args=(job,))
        process.start()
        return process

    def _collect(self, process: BaseProcess, item: PendingRun, seconds: float) -> RunRecord:
        """Append the record of a run that has ended to the results, and delete its folder unless models are kept."""
        folder, run = self.out / "runs" / item.key, item.run
        result: dict[str, Any]
        if (folder / RESULT_FILE).is_file():
            result = json.loads((folder / RESULT_FILE).read_text())
        else:
            reason = f"the process ended with code {process.exitcode}: {_last_line(folder / LOG_FILE)}"
            result = {"status": FAILED, "why": reason}
        # A resumed run spent part of its time in an earlier call.
        wall = max(seconds, result.get("training_seconds", 0) + result.get("test_seconds", 0))
        record: dict[str, Any] = {
            "key": item.key,
            "study": self.study.name,
            "data": run.data.name,
            "task": ", ".join(run.data.tasks),
            "method": run.method,
            "factors": dict(run.factors),
            "row": run.row,
            "label_fraction": run.label_fraction,
            "seed": run.recipe.seed,
            "wall_seconds": round(wall, 1),
        }
        record |= {"machine": machine_kind()} | result
        record |= {"rows_hash": self.manifests.get(run)[1], "recipe": run.recipe.model_dump(mode="json")}
        done = record["status"] == DONE
        append_result(self.out, record, folder / TEST_FOLDER / "predictions.parquet" if done else None)
        if not self.keep_models:
            delete_written(folder)
        return record


class _Manifests:
    """The manifests of the runs; a manifest with fewer labels or rows is written to the results folder."""

    def __init__(self, root: Path, out: Path, study: Study) -> None:
        self.root, self.out, self.study = root, out, study
        self.read: dict[str, Manifest] = {}
        self.prepared: dict[tuple[str, float, int | None], tuple[Path, str]] = {}

    def get(self, run: Run) -> tuple[Path, str]:
        """Return the path of a run's manifest and the hash of its rows."""
        # All seeds use the same manifest if all labels are used; otherwise, each seed has its own subset of the labels.
        seed = None if run.label_fraction == 1 else run.recipe.seed
        key = (run.data.name, run.label_fraction, seed)
        if key not in self.prepared:
            self.prepared[key] = self._prepare(run)
        return self.prepared[key]

    def _prepare(self, run: Run) -> tuple[Path, str]:
        data, fraction, seed = run.data, run.label_fraction, run.recipe.seed
        path = self.root / data.manifest
        if not path.is_file():
            raise InputError(
                f"{path}: no such manifest; write it with 'auxface prepare', or set the folder of the manifests with "
                f"--data-root or {DATA_ROOT_VARIABLE}"
            )
        if data.manifest not in self.read:
            self.read[data.manifest] = read_manifest(path)
        manifest = self.read[data.manifest]
        for task in data.tasks:
            _check_task(path, manifest, task, self.study.metric_of(data.name))
        if fraction == 1 and not data.keep and not data.unlabeled:
            return path, hash_rows(manifest)
        reduced = drop_labels(subsample_levels(manifest, data.keep, data.name), data.tasks, fraction, seed)
        suffix = "" if fraction == 1 else f"-seed{seed}"
        written = self.out / "manifests" / f"{data.name}-{fraction:g}{suffix}.parquet"
        reduced.table["path"] = [str(item.resolve()) for item in reduced.paths()]
        others = read_unlabeled(self.root / name for name in data.unlabeled)
        reduced = add_unlabeled(str(path), reduced, others, run.recipe)
        write_manifest(reduced, written)
        return written, hash_rows(reduced)


def _check_task(path: Path, manifest: Manifest, task: str, name: str) -> None:
    """Check that a manifest has a label and that a metric is defined for it."""
    if task not in manifest.labels:
        near = nearest(task, manifest.labels)
        raise InputError(f"{path}: no label '{task}'{near}; labels: {', '.join(manifest.labels) or 'none'}")
    kind, classes = manifest.labels[task].kind, len(manifest.labels[task].classes)
    if kind != "identity" and not METRICS[name].applies(kind, classes):
        possible = [one.name for one in METRICS.values() if one.compared and one.applies(kind, classes)]
        raise InputError(
            f"compare.metric: {name} is not defined for the {kind} label '{task}' of {path}; expected one of "
            f"{', '.join(possible)}"
        )


def _check_corruptions(definition: Study, path: Path) -> None:
    for name in definition.corruption_names:
        if name not in corruptions():
            raise InputError(f"{path}: unknown corruption '{name}'{nearest(name, corruptions())}")


def _fraction_remaining(folder: Path, run: Run) -> float:
    log = folder / "model" / "log.jsonl"
    done = len(read_log(log)) if log.is_file() else 0
    return 1 - min(done, run.recipe.train.epochs) / (run.recipe.train.epochs + 1)


@contextmanager
def _divide_cores(jobs: int) -> Iterator[None]:
    """Divide the cores among the processes that are started in a ``with`` block, unless ``OMP_NUM_THREADS`` is set."""
    name = "OMP_NUM_THREADS"
    if jobs == 1 or name in os.environ:
        yield
        return
    os.environ[name] = str(max(1, (os.cpu_count() or 1) // jobs))
    try:
        yield
    finally:
        del os.environ[name]


def _log_line(record: RunRecord) -> str:
    fraction = "" if record["label_fraction"] == 1 else f", {record['label_fraction']:.0%} of the labels"
    run = f"{record['data']}{fraction}: {record['row']}, seed {record['seed']}"
    if record["status"] == FAILED:
        return f"{run}: failed ({record['why']})"
    return f"{run}: done in {record['wall_seconds']:.0f} s"


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
    return lines[-1][:300] if lines else "no output"
