"""The audit: every table measured, by group and under corruption, with intervals; models compared in pairs.

From frames to videos: one row per video, with the mean of its frames' scores.

What a validation table decides, measured on the test table: thresholds at operating points and a temperature.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.special import expit, logit, softmax

from auxface.evaluation.checks import check_predictions
from auxface.evaluation.compare import compare
from auxface.evaluation.fairness import gaps
from auxface.evaluation.groups import by_column, crossed_partitions, single_partitions, whole
from auxface.evaluation.intervals import (
    CONFIDENCE,
    VIDEO,
    Clusters,
    Draws,
    Resampling,
    cluster_codes,
    column_codes,
    combine_codes,
    draw_resamples,
)
from auxface.evaluation.measure import MINIMUM_GROUP, Metrics, counted_as_errors, measure
from auxface.evaluation.metrics.calibration import are_probabilities, fit_temperature, reliability_bins
from auxface.evaluation.metrics.counts import confusion
from auxface.evaluation.predictions import (
    ASSUMED,
    Predictions,
    TableError,
    Task,
    attribute_samples,
    predicted_classes,
    task_samples,
)
from auxface.evaluation.results import Audit, ModelAudit, OperatingPoint, Severity, TaskAudit
from auxface.evaluation.robustness import Conditions, Curves, estimates, measure_corrupted, summarize
from auxface.evaluation.thresholds import choose_threshold, measure_group_thresholds


def video_level(predictions: Predictions, task: Task) -> tuple[Predictions, np.ndarray] | None:
    """A table with a row per video that has a truth and a score, and for each the position of one of its frames.

    A video is a dataset, method, source and video together, so that a name that repeats under another method is another
    video. Its score is the mean of its frames' scores, its groups and truth are its frames'. Frames of one video that
    disagree in a group leave it unstated there.

    Args:
        predictions: a checked table.
        task: a binary or class task of it.

    Returns:
        None where the table names no videos, has no video of several rows, the task is of another kind, or the truth
        changes within a video (an expression, say), so that a video has no single answer.
    """
    frame = predictions.frame
    if task.kind not in ("binary", "class") or "video" not in frame.columns:
        return None
    samples = task_samples(predictions, task)
    columns = [column_codes([frame.iloc[samples.rows]], name) for name in VIDEO]
    named = columns[VIDEO.index("video")] > 0
    if not named.any():
        return None
    rows, true, score = samples.rows[named], samples.true[named], samples.score[named]
    code = combine_codes([column[named] for column in columns])
    _, first, count = np.unique(code, return_index=True, return_counts=True)
    if count.max() < 2 or (true != true[first][code]).any():
        return None
    made = frame.iloc[rows[first]].reset_index(drop=True)
    for name in predictions.groups():
        made[f"group.{name}"] = _agreed(frame[f"group.{name}"].iloc[rows], code, first)
    for place, name in enumerate(task.score_columns()):
        column = score if score.ndim == 1 else score[:, place]
        made[name] = np.bincount(code, weights=column) / count
    return Predictions(made, (task,)), rows[first]


def _agreed(column: pd.Series, code: np.ndarray, first: np.ndarray) -> np.ndarray:
    levels, names = pd.factorize(column)
    disagrees = np.zeros(len(first), dtype=bool)
    np.logical_or.at(disagrees, code, levels != levels[first][code])
    values = np.array([*names, None], dtype=object)[levels[first]]
    values[disagrees] = None
    return values


OPERATING_POINTS = ("balanced_accuracy", "equal_error", "fpr=0.01", "fpr=0.001")
RATES = ("true_positive_rate", "false_positive_rate", "precision", "accuracy", "balanced_accuracy")
DEFAULT_RULE = "balanced_accuracy"
_TINY = 1e-7


def with_thresholds(task: Task, validation: Predictions) -> Task:
    """The task with thresholds chosen on a validation table, where it had none but assumed ones.

    An attribute or task of which the validation table has one class only keeps 0.5.
    """
    if task.kind not in ("binary", "multilabel") or task.threshold_rule not in (None, ASSUMED):
        return task
    names = task.classes[1:] if task.kind == "binary" else task.classes
    thresholds = {}
    for name in names:
        samples = task_samples(validation, task) if task.kind == "binary" else attribute_samples(validation, task, name)
        thresholds[name] = 0.5
        if samples is not None and len(np.unique(samples.true)) == 2:
            thresholds[name] = choose_threshold(samples.true, samples.score, rule=DEFAULT_RULE)
    return Task(task.name, task.kind, task.classes, thresholds, f"{DEFAULT_RULE} on the validation table")


def measure_operating_points(
    audited: TaskAudit, table: Predictions, validation: Predictions, cluster: np.ndarray, resampling: Resampling
) -> None:
    """Choose a threshold per named rule on ``validation``, measure it on ``table``, add both to ``audited``.

    Only binary tasks have operating points; a rule that allows one false alarm in so many needs as many negatives in
    the validation table, and is left out where these are fewer.
    """
    task = audited.task
    if task.kind != "binary":
        return
    samples = task_samples(validation, task)
    if len(np.unique(samples.true)) < 2:
        return
    negatives = int((samples.true == 0).sum())
    for rule in OPERATING_POINTS:
        if rule.startswith("fpr=") and negatives * float(rule.removeprefix("fpr=")) < 1:
            continue
        threshold = choose_threshold(samples.true, samples.score, rule=rule)
        chosen = Task(task.name, task.kind, task.classes, {task.classes[1]: threshold}, rule)
        found = measure(table, chosen, whole(table), cluster, resampling).levels[""]
        audited.operating_points[rule] = OperatingPoint(threshold, estimates({name: found[name] for name in RATES}))


def measure_calibrated(
    audited: TaskAudit, table: Predictions, validation: Predictions, cluster: np.ndarray, resampling: Resampling
) -> None:
    """Fit a temperature on ``validation`` and add the calibration that it gives on ``table`` to ``audited``."""
    task = audited.task
    if task.kind not in ("binary", "class"):
        return
    samples = task_samples(validation, task)
    if len(np.unique(samples.true)) < 2:
        return
    temperature = fit_temperature(_logits(samples.score), samples.true)
    score = np.stack([table.frame[name].to_numpy(float, na_value=np.nan) for name in task.score_columns()], axis=1)
    scaled = _logits(score if task.kind == "class" else score[:, 0]) / temperature
    scaled = softmax(scaled, axis=1) if task.kind == "class" else expit(scaled)[:, None]
    columns = dict(zip(task.score_columns(), scaled.T))
    other = Predictions(table.frame.assign(**columns), table.tasks)
    found = measure(other, task, whole(other), cluster, resampling).levels[""]
    kept = {name: found[name] for name in ("expected_calibration_error", "brier_score") if name in found}
    audited.calibrated = estimates(kept)
    audited.temperature = temperature


def _logits(score: np.ndarray) -> np.ndarray:
    clipped = np.clip(score, _TINY, 1 - _TINY)
    return logit(clipped) if score.ndim == 1 else np.log(clipped)


MOST_CONFUSED = 200


def audit_tables(
    tables: Mapping[str, Predictions],
    *,
    robustness: Mapping[str, Conditions] | None = None,
    baseline: str | None = None,
    validation: Mapping[str, Predictions] | None = None,
    clusters: Clusters = "auto",
    resamples: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Audit:
    """Measure one or several models.

    Args:
        tables: model name to its predictions.
        robustness: model name to corruption to severity to the predictions on damaged images. Severities are
            1, 2, ... or names, such as ``"c40"`` of a codec.
        baseline: the model that mean corruption errors are relative to.
        validation: model name to its predictions on a validation split, from which thresholds are chosen where the
            table has none, and operating points and a temperature in any case.
        clusters: what is resampled, see :func:`~auxface.evaluation.intervals.cluster_codes`.
        resamples: bootstrap resamples behind each interval.
        seed: of the resamples; the same seed and tables give the same numbers.
        progress: called with steps done and steps in all.

    Raises:
        TableError: no table, or one that cannot be measured; a model name that none of the tables has.
    """
    if not tables:
        raise TableError("no table to measure")
    corrupted = {
        (name, corruption, severity): table
        for name, corruptions in (robustness or {}).items()
        for corruption, steps in corruptions.items()
        for severity, table in steps.items()
    }
    _check(tables, corrupted, validation or {}, baseline)
    tables = {name: _with_thresholds(table, (validation or {}).get(name)) for name, table in tables.items()}
    codes, kinds = cluster_codes([table.frame for table in [*tables.values(), *corrupted.values()]], clusters)
    draw = draw_resamples(1 + max(int(code.max()) for code in codes), resamples, seed)
    own = dict(zip(tables, codes))
    several = len({level for table in tables.values() for level in _datasets(table)}) > 1
    runs = [_Run(name, table, own[name], draw, several, (validation or {}).get(name)) for name, table in tables.items()]
    count = _Progress(
        progress, sum(run.steps() for run in runs) + sum(len(table.tasks) for table in corrupted.values())
    )
    for run in runs:
        run.measure(count)
    curves: dict[tuple[str, str], Curves] = {}
    by_name = {run.name: run for run in runs}
    for (key, table), code in zip(corrupted.items(), codes[len(tables) :]):
        name, corruption, severity = key
        for task in table.tasks:
            audited = by_name[name].audited.get(task.name)
            if audited is not None:
                found = measure_corrupted(audited, table, corruption, severity, code, draw)
                curves.setdefault((name, task.name), {})[corruption, severity] = found
            count.advance()
    for (name, task), curve in curves.items():
        base = None if baseline is None else by_name[baseline].overall.get(task)
        audited = by_name[name].audited[task]
        audited.robustness_summary = summarize(
            audited.task, by_name[name].overall[task], curve, baseline, base, curves.get((baseline or "", task), {})
        )
    comparisons, notes = compare(
        tables,
        {run.name: run.overall for run in runs},
        {run.name: run.gaps for run in runs},
        own,
        draw,
    )
    method = {
        "resamples": resamples,
        "seed": seed,
        "confidence": CONFIDENCE,
        "clusters": list(kinds),
        "minimum_group": MINIMUM_GROUP,
    }
    return Audit({run.name: run.result() for run in runs}, comparisons, _notes(tables) + notes, method)


@dataclass
class _Progress:
    report: Callable[[int, int], None] | None
    total: int
    done: int = 0

    def advance(self) -> None:
        self.done += 1
        if self.report:
            self.report(self.done, self.total)


@dataclass
class _Run:
    """One model's table on its way through the audit."""

    name: str
    table: Predictions
    cluster: np.ndarray
    draw: Resampling
    several_datasets: bool
    validation: Predictions | None
    audited: dict[str, TaskAudit] = field(default_factory=dict)
    overall: dict[str, Metrics] = field(default_factory=dict)
    gaps: dict[str, dict[str, Metrics]] = field(default_factory=dict)

    def steps(self) -> int:
        """Per task the whole, every partition, and the rest."""
        parts = len(single_partitions(self.table)) + len(crossed_partitions(self.table))
        return len(self.table.tasks) * (2 + parts)

    def measure(self, count: _Progress) -> None:
        for task in self.table.tasks:
            found, self.overall[task.name], self.gaps[task.name] = _audit_task(
                self.table, task, self.cluster, self.draw, count.advance
            )
            self._add_left_out(found)
            if self.several_datasets and "dataset" in self.table.frame.columns:
                partition = by_column("dataset", self.table.frame["dataset"])
                levels = measure(self.table, task, partition, self.cluster, self.draw).levels
                found.datasets = {level: estimates(metrics) for level, metrics in levels.items()}
            if self.validation is not None and task.name in {known.name for known in self.validation.tasks}:
                measure_operating_points(found, self.table, self.validation, self.cluster, self.draw)
                measure_calibrated(found, self.table, self.validation, self.cluster, self.draw)
                measure_group_thresholds(found, self.table, self.validation, self.cluster, self.draw)
            videos = video_level(self.table, task)
            if videos is not None:
                found.videos = _audit_task(videos[0], task, self.cluster[videos[1]], self.draw)[0]
            self.audited[task.name] = found
            count.advance()

    def result(self) -> ModelAudit:
        clusters = len(np.unique(self.cluster))
        left_out, provenance = dict(self.table.left_out), dict(self.table.provenance)
        return ModelAudit(self.audited, left_out, provenance, len(self.table.frame), clusters)

    def _add_left_out(self, found: TaskAudit) -> None:
        missing = sum(self.table.left_out.values()) + found.unscored
        found.counted_as_errors = counted_as_errors(found.overall, missing)


def _audit_task(
    table: Predictions,
    task: Task,
    cluster: np.ndarray,
    draw: Resampling,
    advance: Callable[[], None] = lambda: None,
) -> tuple[TaskAudit, Metrics, dict[str, Metrics]]:
    everybody = measure(table, task, whole(table), cluster, draw)
    overall = everybody.levels[""]
    result = TaskAudit(task, estimates(overall))
    for name, levels in everybody.attributes.items():
        result.attributes[name] = TaskAudit(task.alone(name), estimates(levels[""]))
    _describe(result, table, task)
    advance()
    by_group: dict[str, Metrics] = {}
    for partition in [*single_partitions(table), *crossed_partitions(table)]:
        measured = measure(table, task, partition, cluster, draw)
        by_group[partition.name] = _add_group(result, partition.name, measured.levels, overall)
        for name, levels in measured.attributes.items():
            _add_group(result.attributes[name], partition.name, levels, everybody.attributes[name][""])
        advance()
    return result, overall, by_group


def _describe(result: TaskAudit, table: Predictions, task: Task) -> None:
    """What needs no resamples: counts, confusion, the reliability diagram."""
    if task.kind == "multilabel":
        parts = [attribute_samples(table, task, name) for name in task.classes]
        result.unscored = max((part.unscored for part in parts if part is not None), default=0)
        result.unlabeled = min((part.unlabeled for part in parts if part is not None), default=0)
        return
    samples = task_samples(table, task)
    result.unlabeled, result.unscored = samples.unlabeled, samples.unscored
    if task.kind == "ordinal" or not len(samples.rows):
        return
    if len(task.classes) <= MOST_CONFUSED:
        result.confusion = confusion(samples.true, predicted_classes(task, samples), len(task.classes))
    if are_probabilities(samples.score):
        result.reliability = reliability_bins(samples.true, samples.score)


def _add_group(result: TaskAudit, group: str, levels: Mapping[str, Metrics], overall: Metrics) -> dict[str, Draws]:
    found = gaps(levels, overall)
    result.groups[group] = {level: estimates(metrics) for level, metrics in levels.items()}
    result.gaps[group] = estimates(found)
    return found


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
        strange = sorted(names - set(tables))
        if strange:
            raise TableError(f"{what} of '{strange[0]}', which is none of the models ({', '.join(tables)})")


def _with_thresholds(table: Predictions, validation: Predictions | None) -> Predictions:
    if validation is None:
        return table
    known = {task.name for task in validation.tasks}
    tasks = tuple(with_thresholds(task, validation) if task.name in known else task for task in table.tasks)
    return Predictions(table.frame, tasks, table.left_out, table.provenance)


def _datasets(table: Predictions) -> list[str]:
    return list(map(str, table.frame["dataset"].dropna().unique())) if "dataset" in table.frame.columns else []


def _notes(tables: Mapping[str, Predictions]) -> list[str]:
    notes = []
    for name, table in tables.items():
        assumed = [task.name for task in table.tasks if task.threshold_rule == ASSUMED or _lacks_threshold(task)]
        if assumed:
            notes.append(
                f"{name}: no threshold is stored for {', '.join(assumed)}; 0.5 is assumed, and every number that "
                "needs a decision depends on it."
            )
        for group in {task.level_thresholds.group: None for task in table.tasks if task.level_thresholds is not None}:
            notes.append(_says_whom_it_must_know(name, table, group))
    return notes


def _says_whom_it_must_know(name: str, table: Predictions, group: str) -> str:
    tasks = [task.name for task in table.tasks if task.level_thresholds and task.level_thresholds.group == group]
    if group not in table.groups():
        return (
            f"{name} has thresholds for each {group} on {', '.join(tasks)}; the table does not state it, so that one "
            "threshold decides for everybody."
        )
    return (
        f"{name} decides {', '.join(tasks)} by a threshold for each {group}: it must be told everybody's {group} at "
        "test time, which may be unknown, and which it may be forbidden to use."
    )


def _lacks_threshold(task: Task) -> bool:
    needed = task.classes[1:] if task.kind == "binary" else task.classes if task.kind == "multilabel" else ()
    return any(name not in task.thresholds for name in needed)
