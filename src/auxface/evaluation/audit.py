"""The audit: every table measured, by group and under corruption, with intervals; models compared in pairs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from auxface.evaluation.bootstrap import CONFIDENCE, Draws, Estimate, Resampling, draw_resamples
from auxface.evaluation.checking import check_predictions
from auxface.evaluation.clusters import cluster_codes
from auxface.evaluation.comparing import Comparison, compare
from auxface.evaluation.counting import confusion
from auxface.evaluation.fairness import gaps
from auxface.evaluation.measuring import MINIMUM_GROUP, Measured, Metrics, measure
from auxface.evaluation.partition import Partition, all_partitions, whole
from auxface.evaluation.samples import predicted_classes, task_samples
from auxface.evaluation.table import ASSUMED, Predictions, TableError, Task

Estimates = dict[str, Estimate]
Robustness = Mapping[str, Mapping[str, Mapping[int, Predictions]]]


@dataclass
class TaskAudit:
    """One task of one model.

    Attributes:
        task: the task, with the thresholds in use.
        overall: metric to estimate.
        groups: group to level to metric to estimate; a pair of groups crossed is called ``"A × B"``.
        gaps: group to gap to estimate.
        robustness: corruption to severity to metric to estimate.
        attributes: of a multi-label task, each attribute measured by itself.
        confusion: counts, row = truth, column = prediction; None for kinds that have none.
        unlabelled: rows without a truth.
        unscored: rows with a truth and no score.
    """

    task: Task
    overall: Estimates
    groups: dict[str, dict[str, Estimates]] = field(default_factory=dict)
    gaps: dict[str, Estimates] = field(default_factory=dict)
    robustness: dict[str, dict[int, Estimates]] = field(default_factory=dict)
    attributes: dict[str, "TaskAudit"] = field(default_factory=dict)
    confusion: np.ndarray | None = None
    unlabelled: int = 0
    unscored: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As it stands in ``report.json``."""
        entry: dict[str, Any] = {
            "kind": self.task.kind,
            "classes": list(self.task.classes),
            "thresholds": dict(self.task.thresholds),
            "threshold_rule": self.task.threshold_rule,
            "overall": _plain(self.overall),
            "groups": {
                name: {level: _plain(found) for level, found in levels.items()} for name, levels in self.groups.items()
            },
            "gaps": {name: _plain(found) for name, found in self.gaps.items()},
            "robustness": {
                name: {str(severity): _plain(found) for severity, found in steps.items()}
                for name, steps in self.robustness.items()
            },
            "unlabelled": self.unlabelled,
            "unscored": self.unscored,
        }
        if self.attributes:
            entry["attributes"] = {name: found.to_dict() for name, found in self.attributes.items()}
        if self.confusion is not None:
            entry["confusion"] = self.confusion.tolist()
        return entry


@dataclass
class ModelAudit:
    """One model's table, measured: tasks by name, counts of samples left out, provenance, size."""

    tasks: dict[str, TaskAudit]
    left_out: dict[str, int]
    provenance: dict[str, Any]
    rows: int
    clusters: int

    def to_dict(self) -> dict[str, Any]:
        """As it stands in ``report.json``."""
        tasks = {name: task.to_dict() for name, task in self.tasks.items()}
        size = {"rows": self.rows, "clusters": self.clusters}
        return {"tasks": tasks, "left_out": self.left_out, "provenance": self.provenance} | size


@dataclass
class Audit:
    """What was measured.

    Attributes:
        models: model name to its figures.
        comparisons: every pair of models in every metric of every task.
        notes: sentences a reader must know, such as thresholds that were assumed.
        method: resamples, seed, confidence, what the clusters are.
    """

    models: dict[str, ModelAudit]
    comparisons: list[Comparison]
    notes: list[str]
    method: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The content of ``report.json``: one model's figures, or ``models`` and ``comparisons`` where there are more."""
        common = {"notes": self.notes, "method": self.method}
        if len(self.models) == 1:
            return next(iter(self.models.values())).to_dict() | common
        compared: dict[str, list[dict[str, object]]] = {}
        for item in self.comparisons:
            compared.setdefault(item.task, []).append(item.to_dict())
        models = {name: model.to_dict() for name, model in self.models.items()}
        return {"models": models, "comparisons": compared} | common


def audit_tables(
    tables: Mapping[str, Predictions],
    *,
    robustness: Robustness | None = None,
    resamples: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Audit:
    """Measure one or several models.

    Args:
        tables: model name to its predictions.
        robustness: model name to corruption to severity (1, 2, ...) to the predictions on corrupted pictures.
        resamples: bootstrap resamples behind each interval.
        seed: of the resamples; the same seed and tables give the same numbers.
        progress: called with steps done and steps in all.

    Raises:
        TableError: no table, or one that cannot be measured.
    """
    if not tables:
        raise TableError("no table to measure")
    corrupted = {
        (name, corruption, severity): table
        for name, corruptions in (robustness or {}).items()
        for corruption, steps in corruptions.items()
        for severity, table in steps.items()
    }
    for name, table in tables.items():
        check_predictions(table, name)
    for (name, corruption, severity), table in corrupted.items():
        if name not in tables:
            raise TableError(f"robustness of '{name}', which is none of the models ({', '.join(tables)})")
        check_predictions(table, f"{name}, {corruption} {severity}")
    codes, kinds = cluster_codes([table.frame for table in [*tables.values(), *corrupted.values()]])
    resampling = draw_resamples(1 + max(int(code.max()) for code in codes), resamples, seed)
    clusters = dict(zip([*tables, *corrupted], codes))

    partitions = {name: [whole(table), *all_partitions(table)] for name, table in tables.items()}
    steps = sum(len(table.tasks) * len(partitions[name]) for name, table in tables.items())
    done = 0
    steps += sum(len(table.tasks) for table in corrupted.values())

    def advance() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, steps)

    models: dict[str, ModelAudit] = {}
    overall: dict[str, dict[str, Metrics]] = {}
    for name, table in tables.items():
        overall[name] = {}
        found: dict[str, TaskAudit] = {}
        for task in table.tasks:
            found[task.name], overall[name][task.name] = _audit_task(
                table, task, partitions[name], clusters[name], resampling, advance
            )
        count = len(np.unique(clusters[name]))
        models[name] = ModelAudit(found, dict(table.left_out), dict(table.provenance), len(table.frame), count)
    for (name, corruption, severity), table in corrupted.items():
        for task in table.tasks:
            part = measure(table, task, whole(table), clusters[name, corruption, severity], resampling)
            if task.name in models[name].tasks:
                curve = models[name].tasks[task.name].robustness.setdefault(corruption, {})
                curve[int(severity)] = _estimates(part.levels[""])
            advance()
    comparisons, notes = compare(tables, overall, clusters, resampling)
    method = {
        "resamples": resamples,
        "seed": seed,
        "confidence": CONFIDENCE,
        "clusters": list(kinds),
        "minimum_group": MINIMUM_GROUP,
    }
    return Audit(models, comparisons, _notes(tables) + notes, method)


def _audit_task(
    table: Predictions,
    task: Task,
    partitions: list[Partition],
    cluster: np.ndarray,
    resampling: Resampling,
    advance: Callable[[], None],
) -> tuple[TaskAudit, Metrics]:
    everybody = measure(table, task, partitions[0], cluster, resampling)
    overall = everybody.levels[""]
    result = TaskAudit(task, _estimates(overall))
    for name, levels in everybody.attributes.items():
        alone = Task(name, "binary", (f"not {name}", name), {name: task.threshold(name)}, task.threshold_rule)
        result.attributes[name] = TaskAudit(alone, _estimates(levels[""]))
    if task.kind != "multilabel":
        samples = task_samples(table, task)
        result.unlabelled, result.unscored = samples.unlabelled, samples.unscored
        if task.kind != "ordinal":
            result.confusion = confusion(samples.true, predicted_classes(task, samples), len(task.classes))
    advance()
    for partition in partitions[1:]:
        measured = measure(table, task, partition, cluster, resampling)
        _add_group(result, partition.name, measured.levels, overall)
        for name, levels in measured.attributes.items():
            _add_group(result.attributes[name], partition.name, levels, everybody.attributes[name][""])
        advance()
    return result, overall


def _add_group(result: TaskAudit, group: str, levels: Mapping[str, Metrics], overall: Metrics) -> None:
    result.groups[group] = {level: _estimates(metrics) for level, metrics in levels.items()}
    result.gaps[group] = gaps(levels, overall)


def _estimates(metrics: Mapping[str, Draws]) -> Estimates:
    return {name: draws.estimate() for name, draws in metrics.items()}


def _plain(found: Mapping[str, Estimate]) -> dict[str, dict[str, object]]:
    return {name: estimate.to_dict() for name, estimate in found.items()}


def _notes(tables: Mapping[str, Predictions]) -> list[str]:
    notes = []
    for name, table in tables.items():
        assumed = [task.name for task in table.tasks if task.threshold_rule == ASSUMED or _lacks_threshold(task)]
        if assumed:
            notes.append(
                f"{name}: no threshold is stored for {', '.join(assumed)}; 0.5 is assumed, and every number that "
                "needs a decision depends on it."
            )
    return notes


def _lacks_threshold(task: Task) -> bool:
    needed = task.classes[1:] if task.kind == "binary" else task.classes if task.kind == "multilabel" else ()
    return any(name not in task.thresholds for name in needed)


__all__ = ["Audit", "Measured", "ModelAudit", "TaskAudit", "audit_tables"]
