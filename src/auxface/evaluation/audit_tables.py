"""Compute all metrics of in-memory tables, by group and under corruption, and compare pairs of models.

See :func:`audit_tables` for an example.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock

import numpy as np
from threadpoolctl import threadpool_limits

from auxface.evaluation.checks import check_predictions, duplicate_note, threshold_notes
from auxface.evaluation.clusters import Clusters, cluster_codes, video_level
from auxface.evaluation.compare import compare
from auxface.evaluation.fairness import MINIMUM_IN_GAP, factor_for_all
from auxface.evaluation.gap_power import add_power
from auxface.evaluation.groups import CROSS, by_column, by_group, crossed_partitions, single_partitions
from auxface.evaluation.intervals import CONFIDENCE
from auxface.evaluation.measure import MINIMUM_CLUSTERS, LevelDraws, count_missing_as_errors, measure
from auxface.evaluation.measure_task import measure_task, task_notes
from auxface.evaluation.predictions import Predictions, TableError
from auxface.evaluation.prevalence import measure_prevalence
from auxface.evaluation.resampling import RESAMPLES, Resampling, draw_resamples
from auxface.evaluation.results import Audit, ModelAudit, Severity, TaskAudit, estimates
from auxface.evaluation.robustness import Conditions, Corrupted, Curves, measure_corrupted, summarize
from auxface.evaluation.thresholds import (
    measure_calibrated,
    measure_group_thresholds,
    measure_operating_points,
    with_thresholds,
)
from auxface.evaluation.weak_segments import weak_segments

# Measured on two cores: two threads were 1.3 times as fast as one for 5,000 rows, and 0.9 times for 800 rows.
_ROWS_FOR_THREADS = 2_000


def audit_tables(
    tables: Mapping[str, Predictions],
    *,
    robustness: Mapping[str, Conditions] | None = None,
    baseline: str | None = None,
    validation: Mapping[str, Predictions] | None = None,
    search: Mapping[str, Predictions] | None = None,
    clusters: Clusters = "auto",
    resamples: int = RESAMPLES,
    seed: int = 0,
    references: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> Audit:
    """Return all metrics of one or more models, by group and under corruption, with confidence intervals.

    Args:
        tables: predictions of each model, by model name.
        robustness: predictions on corrupted images, nested by model name, corruption and severity. Severities are 1, 2,
            ... or names, such as the codec setting ``"c40"``.
        baseline: name of the reference model for mean corruption errors.
        validation: predictions on a validation split, by model name, used to choose operating points, a temperature
            and, for tasks that have none, thresholds.
        search: predictions to search for weak segments, by model name; by default those in ``validation`` if given,
            otherwise one half of the table.
        clusters: unit of resampling; see :func:`~auxface.evaluation.clusters.cluster_codes`.
        resamples: number of bootstrap resamples.
        seed: seed of the resampling; the same seed and tables give the same results.
        references: reference level of each group, with which the other levels are compared; by default the level with
            the most samples.
        progress: callback that receives the number of finished steps and the total number of steps; only one thread
            calls it at a time.
        workers: number of threads, which does not affect the results; by default one per core for tables of at least
            2,000 rows, otherwise one.

    Raises:
        TableError: ``tables`` is empty, a table cannot be measured, or an argument names a model that is not in
            ``tables``.

    >>> import pandas as pd
    >>> from auxface.evaluation import ScoredTask
    >>> frame = pd.DataFrame({"true.t": [0, 1] * 50, "score.t.yes": np.linspace(0, 1, 100)})
    >>> frame["group.sex"] = ["F", "M"] * 50
    >>> table = Predictions(frame, (ScoredTask("t", "binary", ("no", "yes"), {"yes": 0.5}),))
    >>> found = audit_tables({"ours": table}, resamples=200).models["ours"].tasks["t"]
    >>> found.overall["accuracy"].value, found.groups["sex"]["F"]["balanced_accuracy"].why
    (0.5, 'only one class occurs: no')
    """
    if not tables:
        raise TableError("no table was given; tables maps model names to predictions")
    corrupted = {
        (name, corruption, severity): table
        for name, corruptions in (robustness or {}).items()
        for corruption, steps in corruptions.items()
        for severity, table in steps.items()
    }
    _check(tables, corrupted, validation or {}, baseline)
    _check_references(tables, references or {})
    tables = {name: _with_thresholds(table, (validation or {}).get(name)) for name, table in tables.items()}
    codes, kinds = cluster_codes([table.frame for table in [*tables.values(), *corrupted.values()]], clusters)
    draw = draw_resamples(1 + max(int(code.max()) for code in codes), resamples, seed)
    own = dict(zip(tables, codes))
    several = len({level for table in tables.values() for level in _datasets(table)}) > 1
    runs = [
        _Run(
            name,
            table,
            own[name],
            draw,
            several,
            (validation or {}).get(name),
            references or {},
            (search or validation or {}).get(name),
            clusters,
            seed,
        )
        for name, table in tables.items()
    ]
    by_name = {run.name: run for run in runs}
    own_tasks = {(name, task.name): task for name, table in tables.items() for task in table.tasks}
    # NumPy and SciPy release the interpreter lock while they compute, and threads need no copies of the data. Most
    # parts measure corrupted tables. These parts are also the smallest, and they are scheduled first.
    parts = [
        (key, task.name, partial(measure_corrupted, table, own_tasks[key[0], task.name], code, draw))
        for (key, table), code in zip(corrupted.items(), codes[len(tables) :])
        for task in table.tasks
        if (key[0], task.name) in own_tasks
    ]
    count = _Progress(progress, sum(run.steps() for run in runs) + len(parts))
    if workers is None:
        # On short tables, operations are so short that threads wait for the global interpreter lock most of the time.
        rows = max(len(table.frame) for table in tables.values())
        workers = _cores() if rows >= _ROWS_FOR_THREADS else 1
    # The products of matrices are small, and threads of BLAS within these threads would wait for each other.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(workers) as pool:
        try:
            waiting = [(key, task, pool.submit(count.after, call)) for key, task, call in parts]
            for finished in [pool.submit(run.measure, count) for run in runs]:
                finished.result()
            measured = [(key, task, future.result()) for key, task, future in waiting]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    _correct_for_all(runs)
    curves: dict[tuple[str, str], Curves] = {}
    for (name, corruption, severity), task_name, found in measured:
        found.add_to(by_name[name].audited[task_name], corruption, severity)
        curves.setdefault((name, task_name), {})[corruption, severity] = found.draws
    for (name, task), curve in curves.items():
        base = None if baseline is None else by_name[baseline].overall.get(task)
        audited = by_name[name].audited[task]
        audited.robustness_summary = summarize(
            audited.task,
            by_name[name].overall[task],
            curve,
            baseline=baseline,
            base_clean=base,
            base_curves=curves.get((baseline or "", task), {}),
        )
    comparisons, notes = compare(
        tables,
        overall={run.name: run.overall for run in runs},
        group_gaps={run.name: run.gaps for run in runs},
        clusters=own,
        resampling=draw,
    )
    method = {
        "resamples": resamples,
        "seed": seed,
        "confidence": CONFIDENCE,
        "clusters": list(kinds),
        "minimum_clusters": MINIMUM_CLUSTERS,
        "minimum_clusters_in_gaps": MINIMUM_IN_GAP,
    }
    return Audit({run.name: run.result() for run in runs}, comparisons, _notes(runs) + notes, method)


@dataclass
class _Progress:
    report: Callable[[int, int], None] | None
    total: int
    done: int = 0
    lock: Lock = field(default_factory=Lock)

    def advance(self) -> None:
        with self.lock:
            self.done += 1
            if self.report:
                self.report(self.done, self.total)

    def after(self, call: Callable[[], Corrupted]) -> Corrupted:
        found = call()
        self.advance()
        return found


def _cores() -> int:
    """Return the number of CPU cores available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class _Run:
    """The table of one model and the results computed so far."""

    name: str
    table: Predictions
    cluster: np.ndarray
    draw: Resampling
    several_datasets: bool
    validation: Predictions | None
    references: Mapping[str, str]
    search: Predictions | None
    clusters: Clusters
    seed: int
    audited: dict[str, TaskAudit] = field(default_factory=dict)
    overall: dict[str, LevelDraws] = field(default_factory=dict)
    gaps: dict[str, dict[str, LevelDraws]] = field(default_factory=dict)

    def steps(self) -> int:
        """Return the number of progress steps.

        Each task has one step for the whole table, one per partition, and one for the remaining results."""
        parts = len(single_partitions(self.table)) + len(crossed_partitions(self.table))
        return len(self.table.tasks) * (2 + parts)

    def measure(self, count: _Progress) -> None:
        for task in self.table.tasks:
            found, self.overall[task.name], self.gaps[task.name] = measure_task(
                self.table, task, self.cluster, self.draw, count.advance, self.references
            )
            missing = sum(self.table.left_out.values()) + found.unscored
            found.counted_as_errors = count_missing_as_errors(found.overall, missing)
            if self.several_datasets and "dataset" in self.table.frame.columns:
                partition = by_column("dataset", self.table.frame["dataset"])
                levels = measure(self.table, task, partition, self.cluster, self.draw).levels
                found.datasets = {level: estimates(metrics) for level, metrics in levels.items()}
            if self.validation is not None and task.name in {known.name for known in self.validation.tasks}:
                measure_operating_points(found, self.table, self.validation, self.cluster, self.draw)
                measure_calibrated(found, self.table, self.validation, self.cluster, self.draw)
                measure_group_thresholds(found, self.table, self.validation, self.cluster, self.draw)
            measure_prevalence(found, self.overall[task.name], self.table, self.validation)
            found.weak_segments = weak_segments(
                found.task, found.decision_metric, self.table, self.cluster, self.draw, self.search,
                clusters=self.clusters, seed=self.seed,
            )  # fmt: skip
            videos = video_level(self.table, task)
            if videos is not None:
                found.videos = measure_task(videos[0], task, self.cluster[videos[1]], self.draw)[0]
            self.audited[task.name] = found
            count.advance()

    def result(self) -> ModelAudit:
        clusters = len(np.unique(self.cluster))
        left_out, provenance = dict(self.table.left_out), dict(self.table.provenance)
        return ModelAudit(self.audited, left_out, provenance, len(self.table.frame), clusters)


def _correct_for_all(runs: Sequence[_Run]) -> None:
    """Add ``by_chance_of_all`` to the gaps in the decision metric, which the report page describes.

    Gaps of uncrossed groups are corrected for all uncrossed groups of every task and model. Gaps of crossed groups are
    corrected for all groups, crossed and uncrossed. The power is also added to the gaps of uncrossed groups.
    """
    every = [
        (found, group, f"{found.decision_metric}_difference", run.gaps[task][group])
        for run in runs
        for task, found in run.audited.items()
        for group in found.gaps
    ]
    for crossed in (False, True):
        family = [item for item in every if crossed or CROSS not in item[1]]
        draws = [measured[name] for _, _, name, measured in family if name in measured]
        factor = factor_for_all(draws)
        for found, group, name, measured in family:
            gap = found.gaps[group].get(name)
            chance = None if gap is None or gap.more is None else gap.more.get("by_chance")
            if gap is not None and isinstance(chance, float) and crossed == (CROSS in group):
                more = (gap.more or {}) | {"by_chance_of_all": chance * factor, "gaps": len(draws)}
                found.gaps[group][name] = replace(gap, more=more)
            if CROSS not in group and not crossed:
                add_power(found.gaps[group], measured, name, factor)


def _check(
    tables: Mapping[str, Predictions],
    corrupted: Mapping[tuple[str, str, Severity], Predictions],
    validation: Mapping[str, Predictions],
    baseline: str | None,
) -> None:
    for name, table in tables.items():
        check_predictions(table, name)
    for (name, corruption, severity), table in corrupted.items():
        check_predictions(table, f"{name}, {corruption} {severity}")
    for name, table in validation.items():
        check_predictions(table, f"{name}, validation")
    named = {"robustness": {key[0] for key in corrupted}, "validation": set(validation)}
    named["baseline"] = set() if baseline is None else {baseline}
    for what, names in named.items():
        unknown = sorted(names - set(tables))
        if unknown:
            raise TableError(f"{what}: no model is called '{unknown[0]}'; the models are {', '.join(tables)}")


def _check_references(tables: Mapping[str, Predictions], references: Mapping[str, str]) -> None:
    for group, level in references.items():
        known = [by_group(table, group).levels for table in tables.values() if group in table.groups()]
        if not known:
            groups = dict.fromkeys(name for table in tables.values() for name in table.groups())
            raise TableError(f"--reference {group}={level}: no group '{group}' (groups: {', '.join(groups) or 'none'})")
        if not any(level in levels for levels in known):
            raise TableError(f"--reference {group}={level}: no level '{level}' (levels: {', '.join(known[0])})")


def _with_thresholds(table: Predictions, validation: Predictions | None) -> Predictions:
    if validation is None:
        return table
    known = {task.name for task in validation.tasks}
    tasks = tuple(with_thresholds(task, validation) if task.name in known else task for task in table.tasks)
    return replace(table, tasks=tasks)


def _datasets(table: Predictions) -> list[str]:
    return list(map(str, table.frame["dataset"].dropna().unique())) if "dataset" in table.frame.columns else []


def _notes(runs: Sequence[_Run]) -> list[str]:
    notes = []
    for run in runs:
        own = [*run.table.notes, *duplicate_note(run.table)]
        notes += [f"{run.name}: {note}" if len(runs) > 1 else note for note in own]
        notes += task_notes(run.name, run.audited.values(), len(run.table.frame))
        notes += threshold_notes(run.name, run.table)
    return notes
