"""What the finished runs of a study say: means over seeds, differences from the baseline, groups, damage, cost."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean

import numpy as np
from scipy import stats

from auxface.errors import InputError
from auxface.evaluation.clusters import cluster_codes
from auxface.evaluation.compare import Comparison, holm
from auxface.evaluation.fairness import gaps
from auxface.evaluation.groups import by_group, whole
from auxface.evaluation.intervals import CONFIDENCE, Draws, Estimate, draw_resamples
from auxface.evaluation.io import read_predictions
from auxface.evaluation.measure import measure
from auxface.evaluation.metrics import METRICS, decision_metric
from auxface.evaluation.predictions import Predictions, TableError, Task
from auxface.studies.definition import Study
from auxface.studies.grid import methods_of, row_name
from auxface.studies.results import DONE, Line, predictions_file
from auxface.studies.statistics import ONE_SEED, Ranks, difference_over_seeds, mean_over_seeds, rank, student_interval

LEVEL = 0.05


@dataclass(frozen=True)
class StudyComparison(Comparison):
    """A method less its baseline.

    Attributes:
        not_tested: why the difference says nothing about what the study asks, as the study file has it; "" where it
            does.
    """

    not_tested: str = ""

    def to_dict(self) -> dict[str, object]:
        """As the study's JSON document has it."""
        return super().to_dict() | ({"not_tested": self.not_tested} if self.not_tested else {})


Estimates = dict[str, Estimate]
Drawn = dict[str, Draws]


@dataclass
class Row:
    """One method on one data set.

    Attributes:
        name: the method with the values of what varies.
        label_fraction: share of the training labels.
        lines: its finished runs, by seed.
        overall: metric to mean over seeds.
        worst: group to the worst level's figure.
        gap: group to the gap between levels.
        damaged: mean of the decision metric under damage; None where none was tested.
    """

    name: str
    label_fraction: float
    lines: dict[int, Line]
    overall: Estimates
    worst: Estimates = field(default_factory=dict)
    gap: Estimates = field(default_factory=dict)
    damaged: Estimate | None = None

    def seconds(self) -> float:
        """Training time of one run, mean over seeds."""
        return mean(line["training_seconds"] for line in self.lines.values())

    def memory(self) -> float:
        """Peak memory of one run in GiB, the most over seeds."""
        return max(line["memory_gib"] for line in self.lines.values())

    def parameters(self) -> int:
        """Parameters of the encoder, which is what is used after the training."""
        return next(iter(self.lines.values()))["encoder_parameters"]


@dataclass
class DataEvidence:
    """One data set (at one share of the labels): its rows, and what the study compares."""

    name: str
    task: Task
    label_fraction: float
    rows: dict[str, Row]
    baselines: Mapping[str, Mapping[str, float]]
    comparisons: list[StudyComparison]
    gap_comparisons: list[StudyComparison]
    samples: int
    clusters: int

    @property
    def title(self) -> str:
        """As headings call it."""
        share = "" if self.label_fraction == 1 else f", {self.label_fraction:.0%} of the labels"
        return self.name + share


@dataclass
class Evidence:
    """All that a report shows."""

    study: Study
    data: list[DataEvidence]
    ranks: Ranks | str
    failed: list[Line]
    done: int
    planned: int
    notes: list[str]
    resamples: int

    @property
    def metric(self) -> str:
        """The metric that comparisons are made in."""
        return self.study.compare.metric


def gather(
    study: Study,
    results: Iterable[tuple[Line, Path]],
    planned: int,
    *,
    resamples: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Evidence:
    """Measure every run's predictions again, on shared resamples, and compare.

    Args:
        study: whose comparisons are made; runs of data or methods that it does not have are left out.
        results: lines with the folder that each is of.
        planned: how many runs the study asks for.
        resamples: bootstrap resamples of the test clusters.
        seed: of the resamples.
        progress: called with runs measured and runs in all.

    Raises:
        InputError: predictions that are missing or broken; one data set with two sets of test samples; a metric that
            the task has not.
    """
    lines = [(line, folder) for line, folder in results if line["study"] == study.name]
    done = [(line, folder) for line, folder in lines if line["status"] == DONE]
    cells: dict[tuple[str, float], list[tuple[Line, Path]]] = {}
    for data in study.data:
        for fraction in sorted(study.label_fractions, reverse=True):
            found = [one for one in done if (one[0]["data"], one[0]["label_fraction"]) == (data.name, fraction)]
            if found:
                cells[data.name, fraction] = found
    counted = 0

    def advance() -> None:
        nonlocal counted
        counted += 1
        if progress:
            progress(counted, sum(map(len, cells.values())))

    plain = {data.name: data.baselines for data in study.data}
    evidence = [
        _data_evidence(study, name, fraction, found, plain[name], resamples, seed, advance)
        for (name, fraction), found in cells.items()
    ]
    _correct(evidence)
    failed = [line for line, _ in lines if line["status"] != DONE]
    full = [one for one in evidence if one.label_fraction == 1]
    values = {one.name: _values(one, study.compare.metric) for one in full}
    ranks = rank(values, METRICS[study.compare.metric].higher_is_better)
    return Evidence(study, evidence, ranks, failed, len(done), planned, _notes(evidence, study), resamples)


def _data_evidence(
    study: Study,
    name: str,
    fraction: float,
    found: Sequence[tuple[Line, Path]],
    baselines: Mapping[str, Mapping[str, float]],
    resamples: int,
    seed: int,
    advance: Callable[[], None],
) -> DataEvidence:
    tables = [_predictions(folder, line) for line, folder in found]
    codes, _ = cluster_codes([table.frame for table in tables])
    first = np.sort(codes[0])
    for (line, folder), code in zip(found, codes):
        if not np.array_equal(np.sort(code), first):
            raise InputError(
                f"{folder}: the run {line['key']} was tested on other samples of '{name}' than the others; give data "
                "that differ different names"
            )
    draw = draw_resamples(1 + int(first.max()), resamples, seed)
    drawn: dict[str, dict[int, tuple[Line, Drawn, dict[str, Drawn]]]] = {}
    task = tables[0].tasks[0]
    if study.compare.metric not in METRICS:
        raise InputError(f"{study.name}: unknown metric '{study.compare.metric}'")
    for (line, _), table, code in zip(found, tables, codes):
        overall = measure(table, task, whole(table), code, draw).levels[""]
        if study.compare.metric not in overall:
            raise InputError(f"{study.name}: {name} has no {study.compare.metric}; it has: {', '.join(overall)}")
        by_level = {group: measure(table, task, by_group(table, group), code, draw).levels for group in table.groups()}
        spread = {group: gaps(levels, overall) for group, levels in by_level.items()}
        drawn.setdefault(line["row"], {})[line["seed"]] = (line, overall, spread)
        advance()
    rows = {row: _row(row, fraction, by_seed, task) for row, by_seed in drawn.items()}
    comparisons, gap_comparisons = _compare(study, name, task, drawn)
    return DataEvidence(
        name, task, fraction, rows, baselines, comparisons, gap_comparisons, len(tables[0].frame), len(np.unique(first))
    )


def _predictions(folder: Path, line: Line) -> Predictions:
    path = predictions_file(folder, line["key"])
    try:
        return read_predictions(path)
    except TableError as error:
        raise InputError(f"{error}; the run can be done again once its line is removed from {folder}") from None


def _row(name: str, fraction: float, by_seed: Mapping[int, tuple[Line, Drawn, dict[str, Drawn]]], task: Task) -> Row:
    seeds = sorted(by_seed)
    lines = {seed: by_seed[seed][0] for seed in seeds}
    overall = {
        metric: mean_over_seeds([by_seed[seed][1][metric] for seed in seeds]).estimate
        for metric in by_seed[seeds[0]][1]
    }
    metric = decision_metric(task.kind)
    row = Row(name, fraction, lines, overall)
    for group in by_seed[seeds[0]][2]:
        found = [by_seed[seed][2][group] for seed in seeds]
        for place, wanted in ((row.worst, f"worst_group_{metric}"), (row.gap, f"{metric}_difference")):
            if all(wanted in one for one in found):
                place[group] = mean_over_seeds([one[wanted] for one in found]).estimate
    row.damaged = _damaged(lines, task.name, by_seed[seeds[0]][1][metric].bounds)
    return row


def _damaged(lines: Mapping[int, Line], task: str, bounds: tuple[float, float]) -> Estimate | None:
    """Mean under damage over seeds, within the metric's ``bounds``.

    The lines have no resamples, so the samples' part of its error is that of one seed, read off the lines' intervals.
    """
    found = [line["tasks"][task]["robustness_summary"].get("mean_under_corruption") for line in lines.values()]
    if not found or any(one is None or one["value"] is None for one in found):
        return None
    values = np.array([one["value"] for one in found])
    value, n, clusters = float(values.mean()), int(found[0]["n"]), int(found[0]["clusters"])
    more: dict[str, object] = {"seeds": len(found), "corruptions": found[0].get("corruptions")}
    if any(one["low"] is None for one in found):
        return Estimate(value, None, None, n, clusters, found[0].get("why"), more)
    between = float(values.std(ddof=1)) if len(found) > 1 else None
    half = mean((one["high"] - one["low"]) / 2 for one in found)
    # A line's interval is already widened to Student's quantile over its clusters.
    error = half / float(stats.t.ppf((1 + CONFIDENCE) / 2, clusters - 1))
    low, high, _ = student_interval(
        value, of_samples=error**2, between_seeds=between, seeds=len(found), clusters=clusters, bounds=bounds
    )
    return Estimate(value, low, high, n, clusters, ONE_SEED if between is None else None, more)


def _compare(
    study: Study,
    data: str,
    task: Task,
    drawn: Mapping[str, Mapping[int, tuple[Line, Drawn, dict[str, Drawn]]]],
) -> tuple[list[StudyComparison], list[StudyComparison]]:
    """Every method less its baseline: in the study's metric, and in the gap of every group."""
    found: list[StudyComparison] = []
    of_gaps: list[StudyComparison] = []
    gap = f"{decision_metric(task.kind)}_difference"
    methods = methods_of(study)
    for row, by_seed in drawn.items():
        line = next(iter(by_seed.values()))[0]
        against = row_name(study.compare.baseline, line["factors"])
        if line["method"] == study.compare.baseline or against not in drawn:
            continue
        base = drawn[against]
        here = _difference(data, study.compare.metric, row, against, _each(by_seed), _each(base))
        gaps_here = [
            item
            for group in next(iter(by_seed.values()))[2]
            for item in _difference(data, gap, row, against, _each(by_seed, group), _each(base, group), group)
        ]
        method = methods.get(line["method"])
        why = "" if method is None else method.not_tested.get(data, "")
        found += [replace(item, not_tested=why) for item in here]
        of_gaps += [replace(item, not_tested=why) for item in gaps_here]
    return found, of_gaps


def _each(by_seed: Mapping[int, tuple[Line, Drawn, dict[str, Drawn]]], group: str = "") -> dict[int, Drawn]:
    return {seed: spread[group] if group else overall for seed, (_, overall, spread) in by_seed.items()}


def _difference(
    data: str,
    metric: str,
    row: str,
    against: str,
    ours: Mapping[int, Drawn],
    theirs: Mapping[int, Drawn],
    group: str = "",
) -> list[StudyComparison]:
    sides = [{seed: found[metric] for seed, found in side.items() if metric in found} for side in (ours, theirs)]
    difference = difference_over_seeds(*sides)
    if difference is None:
        return []
    return [StudyComparison(data, metric, row, against, difference.estimate, difference.p, group=group)]


def _correct(evidence: Sequence[DataEvidence]) -> None:
    """Holm's correction over all comparisons of the study, whatever the data; gaps are a family of their own."""
    for name in ("comparisons", "gap_comparisons"):
        corrected = iter(holm([item for one in evidence for item in getattr(one, name)]))
        for one in evidence:
            setattr(one, name, [next(corrected) for _ in getattr(one, name)])


def _values(one: DataEvidence, metric: str) -> dict[str, float]:
    found = {name: row.overall[metric].value for name, row in one.rows.items()}
    return {name: value for name, value in found.items() if value is not None}


def _notes(evidence: Sequence[DataEvidence], study: Study) -> list[str]:
    """What a reader must know of seeds that are not done."""
    wanted = len(study.seeds)
    short = {(one.title, name): len(row.lines) for one in evidence for name, row in one.rows.items()}
    short = {place: count for place, count in short.items() if count < wanted}
    if not short:
        return []
    if len(set(short.values())) == 1 and len(short) == sum(len(one.rows) for one in evidence):
        return [f"Of {wanted} seeds {next(iter(short.values()))} are done."]
    listed = "; ".join(f"{title}, {name}: {count}" for (title, name), count in short.items())
    return [f"Not all of {wanted} seeds are done: {listed}."]
