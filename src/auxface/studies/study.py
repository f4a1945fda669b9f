"""``auxface study``: the runs of a study that are not done yet, as many as fit; each leaves one line.

Which run comes next, and whether it fits the time that is left.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from statistics import median
from typing import Any

from auxface.data.corruptions import corruptions
from auxface.data.manifest import Manifest, read_manifest, write_manifest
from auxface.device import check_device
from auxface.errors import InputError
from auxface.output_folder import delete_written
from auxface.plugins import nearest
from auxface.progress import progress_bar
from auxface.provenance import machine_kind
from auxface.studies.definition import Data, Study, keep_plan, read_study
from auxface.studies.grid import Run, chosen, rows_hash, runs_of
from auxface.studies.results import DONE, FAILED, Line, alone, append_result, read_results
from auxface.studies.run import LOG, RESULT, TEST, Order, carry_out
from auxface.studies.thinning import forget_labels, skew
from auxface.training.logging import read_journal

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


@dataclass(frozen=True)
class Waiting:
    """A run that is not done yet.

    Attributes:
        run: the run.
        key: its key.
        left: share of its training that is still to do; less than 1 where it was interrupted.
    """

    run: Run
    key: str
    left: float = 1.0


def seconds_of(budget: str) -> float:
    """``25m``, ``1h30m`` or ``90s`` in seconds.

    Raises:
        InputError: not written so.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", budget)
    if not parts or "".join(number + unit for number, unit in parts) != budget:
        raise InputError(f"--budget {budget}: write it as 25m, 1h30m or 90s")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def expected_seconds(waiting: Waiting, lines: Iterable[Line], machine: str) -> float | None:
    """How long a run will take on this kind of machine, from those that ended here; None where nothing is known.

    The median of the same row on the same data, else the longest of all.
    """
    run = waiting.run
    here = [line for line in lines if line["status"] == DONE and line["machine"] == machine]
    alike = [line["wall_seconds"] for line in here if line["row"] == run.row and line["data"] == run.data.name]
    every = [line["wall_seconds"] for line in here]
    known = median(alike) if alike else max(every, default=None)
    return None if known is None else known * waiting.left


def next_run(
    waiting: Sequence[Waiting],
    lines: Mapping[str, Line],
    machine: str,
    seconds_left: float | None,
    budget: float | None = None,
) -> Waiting | None:
    """The first run, in the study's order, that is expected to fit; a run begun before comes first.

    A run of which nothing is known may begin, and one that no such budget would hold whole; where time runs out they
    are interrupted, and gone on with next time.
    """
    for item in sorted(waiting, key=lambda one: one.left == 1):
        expected = expected_seconds(item, lines.values(), machine)
        if seconds_left is None or expected is None or expected <= seconds_left:
            return item
        if budget is not None and expected > budget:
            return item
    return None


ROOT_VARIABLE = "AUXFACE_DATA"


@dataclass(frozen=True)
class Progress:
    """Where a study stands: runs done, failed and still to do, of those that were asked for; and done just now."""

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
    jobs: int = 1,
    device: str = "auto",
    keep_models: bool = False,
    retry_failed: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Progress:
    """Carry out the runs of a study that ``results.jsonl`` does not have yet.

    Each run has a process of its own. A run that is interrupted goes on from its last checkpoint next time; one that
    fails is kept as failed, with why.

    Args:
        definition: the study file.
        out: folder of the results; what is there stays.
        budget: such as ``25m``: no run begins that is not expected to end by then, and none goes on after it.
        where: ``key=value``, such as ``task=emotion`` or ``seed=0``: only runs that agree with all.
        data_root: where the manifests are; default the variable ``AUXFACE_DATA``, else the study's folder.
        jobs: runs at a time; several small ones share one GPU, or the cores.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        keep_models: keep each run's folder, with its model, in ``out/runs``.
        retry_failed: take up runs that failed.
        tell: told a line for every run that ends.

    Raises:
        InputError: a study that cannot be read or planned, a manifest that is missing, another study at work in
            ``out``.
    """
    limit = None if budget is None else seconds_of(budget)
    begun = time.monotonic()
    check_device(device)
    asked = read_study(definition)
    _check_damages(asked, definition)
    planned = runs_of(asked, definition.parent)
    runs = chosen(planned, where)
    root = data_root or Path(os.environ.get(ROOT_VARIABLE) or definition.parent)
    with alone(out):
        manifests = _Manifests(root, out)
        waiting = [Waiting(run, run.key(manifests.of(run)[1])) for run in runs]
        keep_plan(out, asked, len(planned))
        known = read_results(out)
        ended = (DONE,) if retry_failed else (DONE, FAILED)
        left = [item for item in waiting if known.get(item.key, {}).get("status") not in ended]
        left = [Waiting(item.run, item.key, _share_left(out / "runs" / item.key, item.run)) for item in left]
        at_work = _AtWork(asked, out, manifests, device, keep_models, tell or (lambda line: None))
        with progress_bar(asked.name, len(runs), "runs") as advance, _share_cores(jobs):
            advance(len(runs) - len(left))
            now = at_work.go(left, known, jobs, begun, limit, advance)
    states = [known.get(item.key, {}).get("status") for item in waiting]
    return Progress(states.count(DONE), states.count(FAILED), states.count(None), now)


@dataclass
class _AtWork:
    """The processes of a study."""

    study: Study
    out: Path
    manifests: "_Manifests"
    device: str
    keep_models: bool
    tell: Callable[[str], None]

    def go(
        self,
        left: list[Waiting],
        known: dict[str, Line],
        jobs: int,
        begun: float,
        budget: float | None,
        advance: Callable[..., None],
    ) -> int:
        """Run what fits; lines are added to ``known`` as they come. Returns how many ended."""
        deadline = None if budget is None else begun + budget
        machine, waiting, ended = machine_kind(), list(left), 0
        active: dict[BaseProcess, tuple[Waiting, float]] = {}
        try:
            while True:
                while len(active) < jobs:
                    room = None if deadline is None else deadline - time.monotonic()
                    item = next_run(waiting, known, machine, room, budget) if room is None or room > 0 else None
                    if item is None:
                        break
                    waiting.remove(item)
                    active[self._start(item)] = (item, time.monotonic())
                if not active or (deadline is not None and time.monotonic() > deadline):
                    return ended
                advance(0, note=", ".join(f"{item.run.data.name}: {item.run.row}" for item, _ in active.values()))
                connection.wait([process.sentinel for process in active], timeout=1)
                for process in [process for process in active if not process.is_alive()]:
                    item, started = active.pop(process)
                    line = self._collect(process, item, time.monotonic() - started)
                    known[item.key] = line
                    ended += 1
                    advance(1)
                    self.tell(_said(line))
        finally:
            for process in active:
                process.terminate()
            for process in active:
                process.join()

    def _start(self, item: Waiting) -> BaseProcess:
        order = Order(
            item.run.recipe,
            self.manifests.of(item.run)[0],
            self.out / "runs" / item.key,
            item.run.damages,
            self.device,
        )
        process = get_context("spawn").Process(target=carry_out, args=(order,))
        process.start()
        return process

    def _collect(self, process: BaseProcess, item: Waiting, seconds: float) -> Line:
        folder, run = self.out / "runs" / item.key, item.run
        result: dict[str, Any]
        if (folder / RESULT).is_file():
            result = json.loads((folder / RESULT).read_text())
        else:
            result = {"status": FAILED, "why": f"the process ended with code {process.exitcode}: {_tail(folder / LOG)}"}
        # An interrupted run spent part of its time before.
        wall = max(seconds, result.get("training_seconds", 0) + result.get("test_seconds", 0))
        line: dict[str, Any] = {
            "key": item.key,
            "study": self.study.name,
            "data": run.data.name,
            "task": run.data.task,
            "method": run.method,
            "factors": dict(run.factors),
            "row": run.row,
            "label_fraction": run.label_fraction,
            "seed": run.recipe.seed,
            "wall_seconds": round(wall, 1),
        }
        line |= {"machine": machine_kind()} | result
        line |= {"rows_hash": self.manifests.of(run)[1], "recipe": run.recipe.model_dump(mode="json")}
        done = line["status"] == DONE
        append_result(self.out, line, folder / TEST / "predictions.parquet" if done else None)
        if not self.keep_models:
            delete_written(folder)
        return line


class _Manifests:
    """The manifest of every run: as prepared, or thinned and written beside the results."""

    def __init__(self, root: Path, out: Path) -> None:
        self.root, self.out = root, out
        self.read: dict[str, Manifest] = {}
        self.made: dict[tuple[str, float], tuple[Path, str]] = {}

    def of(self, run: Run) -> tuple[Path, str]:
        """A run's manifest and the hash of its rows."""
        key = (run.data.name, run.label_fraction)
        if key not in self.made:
            self.made[key] = self._make(run.data, run.label_fraction)
        return self.made[key]

    def _make(self, data: Data, fraction: float) -> tuple[Path, str]:
        path = self.root / data.manifest
        if not path.is_file():
            raise InputError(
                f"{path}: no such manifest; make it with 'auxface prepare', or say where the manifests are with "
                f"--data-root or {ROOT_VARIABLE}"
            )
        if data.manifest not in self.read:
            self.read[data.manifest] = read_manifest(path)
        manifest = self.read[data.manifest]
        if data.task not in manifest.labels:
            near = nearest(data.task, manifest.labels)
            raise InputError(f"{path}: no label '{data.task}'{near}; it has: {', '.join(manifest.labels) or 'none'}")
        if fraction == 1 and not data.keep:
            return path, rows_hash(manifest)
        changed = forget_labels(skew(manifest, data.keep, data.name), data.task, fraction)
        place = self.out / "manifests" / f"{data.name}-{fraction:g}.parquet"
        places = [str(item.resolve()) for item in changed.paths()]
        changed.table["path"] = places
        write_manifest(changed, place)
        return place, rows_hash(changed)


def _check_damages(asked: Study, definition: Path) -> None:
    for name in asked.damages:
        if name not in corruptions():
            raise InputError(f"{definition}: unknown corruption '{name}'{nearest(name, corruptions())}")


def _share_left(folder: Path, run: Run) -> float:
    log = folder / "model" / "log.jsonl"
    done = len(read_journal(log)) if log.is_file() else 0
    return 1 - min(done, run.recipe.train.epochs) / (run.recipe.train.epochs + 1)


@contextmanager
def _share_cores(jobs: int) -> Iterator[None]:
    """Processes started in the block have their share of the cores, unless the user has said how many threads."""
    name = "OMP_NUM_THREADS"
    if jobs == 1 or name in os.environ:
        yield
        return
    os.environ[name] = str(max(1, (os.cpu_count() or 1) // jobs))
    try:
        yield
    finally:
        del os.environ[name]


def _said(line: Line) -> str:
    share = "" if line["label_fraction"] == 1 else f", {line['label_fraction']:.0%} of the labels"
    who = f"{line['data']}{share}: {line['row']}, seed {line['seed']}"
    if line["status"] == FAILED:
        return f"{who}: failed ({line['why']})"
    return f"{who}: done in {line['wall_seconds']:.0f} s"


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
    return lines[-1][:300] if lines else "nothing was printed"
