"""Analyze the finished runs of a study: means over seeds, differences from the baseline, groups, corruption and cost.

Example::

    study, planned = read_plan([folder])
    analysis = analyze_study(study, merge_results([folder]).values(), planned)
    analysis.data[0].methods["l_ssat"].overall["balanced_accuracy"].value
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

import numpy as np
from scipy import stats

from auxface.errors import InputError
from auxface.evaluation.clusters import cluster_codes
from auxface.evaluation.fairness import gaps
from auxface.evaluation.groups import by_group, whole
from auxface.evaluation.intervals import CONFIDENCE, Estimate
from auxface.evaluation.io import read_predictions
from auxface.evaluation.measure import measure
from auxface.evaluation.metrics import METRICS, decision_metric
from auxface.evaluation.predictions import Predictions, ScoredTask, TableError
from auxface.evaluation.resampling import RESAMPLES, Resampling, draw_resamples
from auxface.studies.auxiliary_check import AuxiliaryCheck
from auxface.studies.comparisons import (
    MeasuredRun,
    MeasuredSeeds,
    StudyComparison,
    check_methods,
    compare_methods,
    correct_for_all,
)
from auxface.studies.definition import Study
from auxface.studies.results_file import DONE, RunRecord, predictions_path
from auxface.studies.statistics import (
    ONE_SEED,
    Ranks,
    mean_over_seeds,
    rank_methods,
    student_interval,
)

Estimates = dict[str, Estimate]


@dataclass
class MethodSummary:
    """Results of one method on one data set.

    Attributes:
        name: name of the method, including its varied settings.
        label_fraction: fraction of the training labels that were used.
        records: finished runs of the method, by seed.
        overall: means over seeds, by metric.
        worst: metric of the worst group level, by group column.
        gap: gap between group levels, by group column.
        under_corruption: mean of the decision metric under corruption; None if no corruption was tested.
        auxiliary: strength of the auxiliary; None if it was not measured, as in supervised training.
    """

    name: str
    label_fraction: float
    records: dict[int, RunRecord]
    overall: Estimates
    worst: Estimates = field(default_factory=dict)
    gap: Estimates = field(default_factory=dict)
    under_corruption: Estimate | None = None
    auxiliary: AuxiliaryCheck | None = None

    def training_seconds(self) -> float:
        """Return the training time of a run in seconds, averaged over seeds."""
        return mean(record["training_seconds"] for record in self.records.values())

    def peak_memory_gib(self) -> float:
        """Return the peak memory of a run in GiB, as the maximum over seeds."""
        return max(record["memory_gib"] for record in self.records.values())

    def encoder_parameters(self) -> int:
        """Return the number of parameters of the encoder, which is the part that is used after training."""
        return next(iter(self.records.values()))["encoder_parameters"]


@dataclass
class DataAnalysis:
    """Results on one task of a data set with one fraction of the labels.

    Attributes:
        name: name of the data set.
        task: the task.
        metric: metric of the comparisons.
        several_tasks: whether the models of this data set learn several tasks together.
        label_fraction: fraction of the training labels that were used.
        methods: summaries by method name.
        baselines: values of simple baselines, by baseline and metric.
        comparisons: comparisons of every method with the baseline, and with its control, by the metric.
        gap_comparisons: comparisons with the baseline by the gap of each group column.
        samples: number of test samples.
        clusters: number of clusters of test samples.
    """

    name: str
    task: ScoredTask
    metric: str
    several_tasks: bool
    label_fraction: float
    methods: dict[str, MethodSummary]
    baselines: Mapping[str, Mapping[str, float]]
    comparisons: list[StudyComparison]
    gap_comparisons: list[StudyComparison]
    samples: int
    clusters: int

    @property
    def title(self) -> str:
        """The heading: the data set, the task if there are several, and, if below 100%, the fraction of the labels."""
        task = f": {self.task.name.replace('_', ' ')}" if self.several_tasks else ""
        fraction = "" if self.label_fraction == 1 else f", {self.label_fraction:.0%} of the labels"
        return self.name + task + fraction


@dataclass
class StudyAnalysis:
    """All results that a report shows.

    Attributes:
        study: the study.
        data: one entry per data set, task and label fraction.
        ranks: mean ranks over data sets, or the reason why there are no ranks.
        failed: records of failed runs.
        done: number of finished runs.
        planned: number of planned runs.
        notes: sentences about seeds whose runs are not finished.
        resamples: number of bootstrap resamples.
    """

    study: Study
    data: list[DataAnalysis]
    ranks: Ranks | str
    failed: list[RunRecord]
    done: int
    planned: int
    notes: list[str]
    resamples: int


def analyze_study(
    study: Study,
    results: Iterable[tuple[RunRecord, Path]],
    planned: int,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> StudyAnalysis:
    """Evaluate the predictions of every run on the same resamples, and compute the comparisons of the study.

    Args:
        study: the study; runs on data sets or with methods that the study does not contain are excluded.
        results: records of the runs, each with its folder.
        planned: number of planned runs.
        resamples: number of bootstrap resamples of the test clusters.
        seed: seed for the resampling.
        progress: callable that receives the number of evaluated runs and the total number of runs.

    Raises:
        InputError: predictions are missing or invalid, the runs on one data set have different test samples, or the
            metric is not defined for the task.
    """
    records = [(record, folder) for record, folder in results if record["study"] == study.name]
    done = [(record, folder) for record, folder in records if record["status"] == DONE]
    cells: dict[tuple[str, float], list[tuple[RunRecord, Path]]] = {}
    for data in study.data:
        for fraction in sorted(study.label_fractions, reverse=True):
            found = [one for one in done if (one[0]["data"], one[0]["label_fraction"]) == (data.name, fraction)]
            if found:
                cells[data.name, fraction] = found
    measured = 0

    def advance() -> None:
        nonlocal measured
        measured += 1
        if progress:
            progress(measured, sum(map(len, cells.values())))

    baselines = {data.name: data.baselines for data in study.data}
    analyses = [
        one
        for (name, fraction), found in cells.items()
        for one in _analyze_data(study, name, fraction, found, baselines[name], resamples, seed, advance)
    ]
    correct_for_all([one.comparisons for one in analyses])
    correct_for_all([one.gap_comparisons for one in analyses])
    failed = [record for record, _ in records if record["status"] != DONE]
    ranks = rank_methods({one.title: _ranked_values(one) for one in analyses if one.label_fraction == 1})
    return StudyAnalysis(study, analyses, ranks, failed, len(done), planned, _seed_notes(analyses, study), resamples)


def _analyze_data(
    study: Study,
    name: str,
    fraction: float,
    found: Sequence[tuple[RunRecord, Path]],
    baselines: Mapping[str, Mapping[str, float]],
    resamples: int,
    seed: int,
    advance: Callable[[], None],
) -> list[DataAnalysis]:
    tables = [_predictions(folder, record) for record, folder in found]
    codes, _ = cluster_codes([table.frame for table in tables])
    first = np.sort(codes[0])
    for (record, folder), code in zip(found, codes):
        if not np.array_equal(np.sort(code), first):
            raise InputError(
                f"{folder}: run {record['key']} has different test samples of '{name}' than the other runs; give "
                "different data sets different names"
            )
    draw = draw_resamples(1 + int(first.max()), resamples, seed)
    tasks, metric = tables[0].tasks, study.metric_of(name)
    measured: dict[str, dict[str, dict[int, MeasuredRun]]] = {task.name: {} for task in tasks}
    for (record, _), table, code in zip(found, tables, codes):
        for task in tasks:
            run = _measure_run(record, table, task, code, draw)
            if metric not in run.overall:
                raise InputError(
                    f"{study.name}: the metric of the comparisons is {metric}, which is not defined for task "
                    f"'{task.name}' of {name}; expected one of {', '.join(run.overall)}"
                )
            measured[task.name].setdefault(record["row"], {})[record["seed"]] = run
        advance()
    samples, clusters = len(tables[0].frame), len(np.unique(first))
    analyses = []
    for task in tasks:
        rows = measured[task.name]
        checks = check_methods(study, name, rows)
        methods = {row: _summarize(row, fraction, by_seed, task) for row, by_seed in rows.items()}
        for row, check in checks.items():
            methods[row].auxiliary = check
        compared = compare_methods(study, name, task, rows, checks)
        analyses.append(
            DataAnalysis(name, task, metric, len(tasks) > 1, fraction, methods, baselines, *compared, samples, clusters)
        )
    return analyses


def _measure_run(
    record: RunRecord, table: Predictions, task: ScoredTask, code: np.ndarray, draw: Resampling
) -> MeasuredRun:
    overall = measure(table, task, whole(table), code, draw).levels[""]
    by_level = {group: measure(table, task, by_group(table, group), code, draw).levels for group in table.groups()}
    return MeasuredRun(record, overall, {group: gaps(levels, overall) for group, levels in by_level.items()})


def _predictions(folder: Path, record: RunRecord) -> Predictions:
    try:
        return read_predictions(predictions_path(folder, record["key"]))
    except TableError as error:
        raise InputError(f"{error}; remove the run's line from {folder} to run it again") from None


def _summarize(name: str, fraction: float, by_seed: MeasuredSeeds, task: ScoredTask) -> MethodSummary:
    seeds = sorted(by_seed)
    runs = [by_seed[seed] for seed in seeds]
    overall = {metric: mean_over_seeds([run.overall[metric] for run in runs]).estimate for metric in runs[0].overall}
    metric = decision_metric(task.kind)
    records = {seed: by_seed[seed].record for seed in seeds}
    summary = MethodSummary(name, fraction, records, overall)
    for group in runs[0].gaps:
        for estimates, target in ((summary.worst, f"worst_group_{metric}"), (summary.gap, f"{metric}_difference")):
            if all(target in run.gaps[group] for run in runs):
                estimates[group] = mean_over_seeds([run.gaps[group][target] for run in runs]).estimate
    summary.under_corruption = _under_corruption(records, task.name, runs[0].overall[metric].bounds)
    return summary


def _under_corruption(records: Mapping[int, RunRecord], task: str, bounds: tuple[float, float]) -> Estimate | None:
    """Return the metric under corruption, averaged over seeds.

    A record contains an interval, but no resamples. Therefore, the variance over samples is computed for a single seed,
    from the width of the intervals.
    """
    found = [record["tasks"][task]["robustness_summary"].get("mean_under_corruption") for record in records.values()]
    if not found or any(one is None or one.get("value") is None for one in found):
        return None
    values = np.array([one["value"] for one in found])
    value, n, clusters = float(values.mean()), int(found[0]["n"]), int(found[0]["clusters"])
    more: dict[str, object] = {"seeds": len(found), "corruptions": found[0].get("corruptions")}
    if any(one["low"] is None for one in found):
        return Estimate(value, None, None, n, clusters, found[0].get("why"), more)
    between = float(values.std(ddof=1)) if len(found) > 1 else None
    half_width = mean((one["high"] - one["low"]) / 2 for one in found)
    # The width of a record's interval already includes Student's t quantile for its clusters.
    error = half_width / float(stats.t.ppf((1 + CONFIDENCE) / 2, clusters - 1))
    low, high, _ = student_interval(
        value, sample_variance=error**2, between_seeds=between, seeds=len(found), clusters=clusters, bounds=bounds
    )
    return Estimate(value, low, high, n, clusters, ONE_SEED if between is None else None, more)


def _ranked_values(one: DataAnalysis) -> dict[str, float]:
    """Return the mean of each method, with the sign changed for metrics of which a lower value is better."""
    sign = 1 if METRICS[one.metric].higher_is_better else -1
    values = {name: summary.overall[one.metric].value for name, summary in one.methods.items()}
    return {name: sign * value for name, value in values.items() if value is not None}


def _seed_notes(analyses: Sequence[DataAnalysis], study: Study) -> list[str]:
    """Return a sentence about the seeds whose runs are not finished."""
    target = len(study.seeds)
    counts = {(one.title, name): len(summary.records) for one in analyses for name, summary in one.methods.items()}
    short = {place: count for place, count in counts.items() if count < target}
    if not short:
        return []
    if len(set(short.values())) == 1 and len(short) == len(counts):
        return [f"{next(iter(short.values()))} of {target} seeds are finished."]
    listed = "; ".join(f"{title}, {name}: {count}" for (title, name), count in short.items())
    return [f"Not all of the {target} seeds are finished: {listed}."]
