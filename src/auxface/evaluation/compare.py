"""Paired comparisons of models: differences in every metric on the same samples, with p-values.

Both models are evaluated on the same resamples. Within each metric, p-values are corrected by Holm's method (1979).
From the corrected p-values, :func:`ranks` derives which ranks each model may have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from auxface.evaluation.clusters import column_codes, combine_codes
from auxface.evaluation.fairness import comparable, gaps, in_gaps
from auxface.evaluation.groups import NOT_STATED, Partition, by_group, whole
from auxface.evaluation.intervals import SIGNIFICANT, Draws, Estimate
from auxface.evaluation.measure import LevelDraws, measure
from auxface.evaluation.metrics import METRICS, decision_metric
from auxface.evaluation.predictions import KEY, SAMPLE, Predictions, ScoredTask, scored_rows
from auxface.evaluation.resampling import Resampling

# Summing in a different order changes a value by at most this much; smaller differences count as zero.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Comparison:
    """The difference between two models in one metric of one task.

    Attributes:
        task: name of the task.
        metric: name of the metric, or of the gap between the levels of a group.
        first: name of the first model.
        second: name of the second model; the difference is first minus second.
        difference: difference with its paired interval.
        p: two-sided p-value for a difference of 0; None if there is no interval.
        p_holm: p-value corrected by Holm's method (1979) for all pairs of models, tasks and groups in this metric.
        group: name of the group whose gap is compared; "" for a metric of all samples.
        level: for the gap in the decision metric, the level at which the models are compared. ``difference`` is then
            the difference between the models at this level minus their difference at ``reference``.
        reference: level with the most samples, with which ``level`` is compared.
    """

    task: str
    metric: str
    first: str
    second: str
    difference: Estimate
    p: float | None
    p_holm: float | None = None
    group: str = ""
    level: str = ""
    reference: str = ""

    def to_dict(self) -> dict[str, object]:
        """Return the comparison in the form of ``report.json``."""
        facts: dict[str, object] = {"metric": self.metric, "first": self.first, "second": self.second}
        facts |= {"group": self.group} if self.group else {}
        facts |= {"level": self.level, "reference": self.reference} if self.level else {}
        return facts | {"difference": self.difference.to_dict(), "p": self.p, "p_holm": self.p_holm}


def compare(
    tables: Mapping[str, Predictions],
    *,
    overall: Mapping[str, Mapping[str, LevelDraws]],
    group_gaps: Mapping[str, Mapping[str, Mapping[str, LevelDraws]]],
    clusters: Mapping[str, np.ndarray],
    resampling: Resampling,
) -> tuple[list[Comparison], list[str]]:
    """Compare all pairs of models in every metric of every task that both have, on the samples that both scored.

    Args:
        tables: predictions of each model, by model name.
        overall: metrics of the whole table, by model name and task name.
        group_gaps: gaps of the whole table, by model name, task name and group.
        clusters: cluster of each row, by model name; clusters are numbered jointly over all tables.
        resampling: resamples that all models share.

    Returns:
        The comparisons, and a note on each pair that cannot be compared or shares only some of its samples.
    """
    found: list[Comparison] = []
    notes: list[str] = []
    assumed: dict[str, list[tuple[str, str]]] = {}
    for first, second in combinations(tables, 2):
        matched, how = _matched(tables[first], tables[second])
        if how:
            assumed.setdefault(how, []).append((first, second))
        if matched is None:
            continue
        for task in tables[first].tasks:
            if task.name not in {other.name for other in tables[second].tasks}:
                continue
            if not same_task(task, tables[second].task(task.name)):
                notes.append(
                    f"{first} and {second} are not compared on {task.name}: their classes or their positive "
                    "classes differ."
                )
                continue
            both = np.logical_and(
                *(scored_rows(tables[name], task)[rows] for name, rows in zip((first, second), matched))
            )
            if not both.any():
                notes.append(f"{first} and {second} are not compared on {task.name}: no sample was scored by both.")
                continue
            conflicts = _conflicting_labels(tables[first], tables[second], [rows[both] for rows in matched], task)
            if conflicts:
                have = "has" if conflicts == 1 else "have"
                notes.append(
                    f"{first} and {second} are not compared on {task.name}: {conflicts:,} of the {int(both.sum()):,} "
                    f"shared samples {have} different true labels in the two tables. Correct the labels, or the values "
                    "that identify the samples."
                )
                continue
            if both.sum() < max(int(scored_rows(tables[name], task).sum()) for name in (first, second)):
                count = f"{int(both.sum()):,} samples of {task.name}"
                notes.append(f"{first} and {second} are compared on the {count} that both scored.")
            sides = [
                _Side(
                    tables[name],
                    task.name,
                    rows[both],
                    overall[name][task.name],
                    group_gaps[name][task.name],
                    clusters[name],
                )
                for name, rows in zip((first, second), matched)
            ]
            found += _compared(task, first, second, sides, resampling)
    return holm(found), [*_matching_notes(assumed), *notes]


def _matching_notes(assumed: Mapping[str, Sequence[tuple[str, str]]]) -> list[str]:
    """Return one note per way of matching rows; its pairs are named together if they are all pairs of their models."""
    notes = []
    for how, pairs in assumed.items():
        names = list(dict.fromkeys(name for pair in pairs for name in pair))
        if len(pairs) == len(names) * (len(names) - 1) // 2:
            notes.append(f"{', '.join(names[:-1])} and {names[-1]}{how}.")
        else:
            notes += [f"{first} and {second}{how}." for first, second in pairs]
    return notes


def same_task(first: ScoredTask, second: ScoredTask) -> bool:
    """Return whether two tasks have the same kind and classes.

    The order matters only for two classes, because the second is the positive class.
    """
    if first.kind == second.kind == "class" and len(first.classes) > 2:
        return sorted(first.classes) == sorted(second.classes)
    return (first.kind, first.classes) == (second.kind, second.classes)


def holm(found: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons with ``p_holm``, corrected per metric over pairs, tasks and groups (Holm, 1979)."""
    corrected: dict[int, float] = {}
    for metric in {item.metric for item in found}:
        family = [(item.p, place) for place, item in enumerate(found) if item.metric == metric and item.p is not None]
        largest = 0.0
        for rank, (p, place) in enumerate(sorted(family)):
            largest = max(largest, min(1.0, p * (len(family) - rank)))
            corrected[place] = largest
    return [replace(item, p_holm=corrected.get(place)) for place, item in enumerate(found)]


def is_significant(item: Comparison) -> bool:
    """Return whether two models differ significantly, after correction for all comparisons of the metric."""
    found = item.difference
    if item.p_holm is None or found.low is None or found.high is None:
        return False
    return item.p_holm < SIGNIFICANT and not found.low <= 0 <= found.high


@dataclass(frozen=True)
class Rank:
    """The ranks that a model may have in a metric; 1 is the best rank.

    Attributes:
        best: one more than the number of models that are significantly better.
        worst: the number of models minus the number of models that are significantly worse.
        tied: models from which the model does not differ significantly, or with which it cannot be compared.
    """

    best: int
    worst: int
    tied: tuple[str, ...]


def ranks(names: Sequence[str], comparisons: Sequence[Comparison], task: str, metric: str) -> dict[str, Rank]:
    """Return the ranks of models in a metric that all significant differences permit (Mogstad et al., 2024).

    Since the p-values are corrected for all pairs, all ranks are true at once in 95% of tables. If a pair was not
    compared, there are no ranks, and the result is empty.

    Args:
        names: names of the models.
        comparisons: comparisons of all pairs of these models, with ``p_holm``.
        task: name of the task.
        metric: name of the metric.
    """
    better: dict[str, set[str]] = {name: set() for name in names}
    worse: dict[str, set[str]] = {name: set() for name in names}
    own = [item for item in comparisons if (item.task, item.metric, item.group) == (task, metric, "")]
    if sum(item.p_holm is not None for item in own) < len(names) * (len(names) - 1) // 2:
        return {}
    for item in own:
        if is_significant(item):
            upper, lower = item.first, item.second
            if ((item.difference.value or 0) > 0) != METRICS[metric].higher_is_better:
                upper, lower = lower, upper
            better[lower].add(upper)
            worse[upper].add(lower)
    return {
        name: Rank(
            1 + len(better[name]),
            len(names) - len(worse[name]),
            tuple(other for other in names if other not in better[name] | worse[name] | {name}),
        )
        for name in names
    }


def p_value(draws: Draws) -> float:
    """Return the two-sided p-value for a true value of 0, from the bootstrap standard error and Student's t."""
    error = float(np.nanstd(draws.values[1:], ddof=1))
    value = float(draws.values[0])
    if error == 0:
        return 1.0 if value == 0 else 0.0
    return float(2 * stats.t.sf(abs(value) / error, draws.clusters - 1))


@dataclass(frozen=True)
class _Side:
    """One model of a pair, restricted to the rows that both models scored."""

    table: Predictions
    task: str
    rows: np.ndarray
    overall: LevelDraws
    group_gaps: Mapping[str, LevelDraws]
    cluster: np.ndarray

    def is_whole(self) -> bool:
        """Return whether all scored rows of the task are included; if so, the metrics are not recomputed."""
        return int(scored_rows(self.table, self.table.task(self.task)).sum()) == len(self.rows)

    def metrics(self, resampling: Resampling) -> LevelDraws:
        return self.overall if self.is_whole() else self._measure(whole(self.part()), resampling)[""]

    def gaps(self, group: str, overall: LevelDraws, resampling: Resampling) -> LevelDraws:
        if self.is_whole():
            return self.group_gaps[group]
        return gaps(self._measure(by_group(self.part(), group), resampling), overall)

    def levels(self, group: str, metric: str, resampling: Resampling) -> dict[str, Draws]:
        """Return the draws of one metric for every level of a group."""
        task = self.table.task(self.task)
        partition = by_group(self.part(), group)
        # Balanced accuracy shows which levels have only one class.
        metrics = [METRICS[name] for name in dict.fromkeys((metric, "balanced_accuracy"))]
        found = measure(self.part(), task, partition, self.cluster[self.rows], resampling, metrics).levels
        return {level: measured[metric] for level, measured in comparable(found).items() if metric in measured}

    def part(self) -> Predictions:
        return Predictions(self.table.frame.iloc[self.rows], self.table.tasks)

    def _measure(self, partition: Partition, resampling: Resampling) -> dict[str, LevelDraws]:
        task = self.table.task(self.task)
        return measure(self.part(), task, partition, self.cluster[self.rows], resampling).levels


def _compared(
    task: ScoredTask, first: str, second: str, sides: list[_Side], resampling: Resampling
) -> list[Comparison]:
    one, other = (side.metrics(resampling) for side in sides)
    found = [
        _comparison(task.name, metric, first, second, one[metric], other[metric]) for metric in one if metric in other
    ]
    metric = decision_metric(task.kind)
    for group in sides[0].table.groups():
        if group not in sides[1].table.groups():
            continue
        ours, theirs = (side.gaps(group, overall, resampling) for side, overall in zip(sides, (one, other)))
        found += _level_comparisons(task, metric, first, second, sides, group, resampling)
        for name in (f"worst_group_{metric}", "equalized_odds_difference"):
            if name in ours and name in theirs:
                # The upward bias of a maximum is about equal for both models and cancels out, so the difference needs
                # no mirroring.
                found.append(_comparison(task.name, name, first, second, ours[name], theirs[name], group))
    return found


def _level_comparisons(
    task: ScoredTask, metric: str, first: str, second: str, sides: list[_Side], group: str, resampling: Resampling
) -> list[Comparison]:
    """Compare the difference between two models at each level with their difference at the largest level.

    A signed difference of differences on the same resamples has far more power than the difference between two gaps,
    each of which is the largest difference between levels.
    """
    ours, theirs = (side.levels(group, metric, resampling) for side in sides)
    usable = [
        level
        for level in ours
        if level != NOT_STATED and level in theirs and in_gaps(ours[level]) and in_gaps(theirs[level])
    ]
    if len(usable) < 2:
        return []
    reference = max(usable, key=lambda level: ours[level].n)
    differences = {
        level: Draws(
            ours[level].values - theirs[level].values,
            min(ours[level].n, theirs[level].n),
            min(ours[level].degrees(), theirs[level].degrees()) + 1,
        )
        for level in usable
    }
    return [
        replace(
            _comparison(task.name, f"{metric}_difference", first, second, differences[level], differences[reference]),
            group=group,
            level=level,
            reference=reference,
        )
        for level in usable
        if level != reference
    ]


def _comparison(
    task: str, metric: str, first: str, second: str, one: Draws, other: Draws, group: str = ""
) -> Comparison:
    n, clusters = min(one.n, other.n), min(one.clusters, other.clusters)
    values = one.values - other.values
    values[np.abs(values) < _ROUNDING] = 0.0
    draws = Draws(values, n, clusters, why=one.why or other.why)
    difference = draws.estimate()
    known = difference.value is not None and difference.low is not None
    return Comparison(task, metric, first, second, difference, p_value(draws) if known else None, group=group)


def _matched(first: Predictions, second: Predictions) -> tuple[tuple[np.ndarray, np.ndarray] | None, str]:
    """Return the row positions of shared samples in both tables (None if unknown), and a note for the reader."""
    frames = [first.frame, second.frame]
    identifying = _identifying_columns(frames)
    for names in identifying:
        codes = combine_codes([column_codes(frames, name) for name in names])
        one, other = codes[: len(frames[0])], codes[len(frames[0]) :]
        _, at_one, at_other = np.intersect1d(one, other, assume_unique=True, return_indices=True)
        if len(at_one):
            return (at_one, at_other), ""
    if identifying:
        return None, " are not compared: they have no sample in common"
    if all(SAMPLE in frame.columns for frame in frames):
        codes = column_codes(frames, SAMPLE)
        if len(frames[0]) != len(frames[1]) or (codes[: len(frames[0])] != codes[len(frames[0]) :]).any():
            return None, (
                " are not compared: several rows have the same id or none, and the ids of the two tables are not in "
                "the same order; give every sample a unique id"
            )
    if not _same_truth(first, second):
        return None, (
            " are not compared: their rows cannot be matched; add a column 'id', 'video' or 'path' with the same "
            f"unique value for the same sample to every table, or the key columns {', '.join(KEY)}"
        )
    rows = np.arange(len(frames[0]))
    return (rows, rows), ": without key columns, their rows are assumed to be the same samples in the same order"


def _identifying_columns(frames: Sequence[pd.DataFrame]) -> list[tuple[str, ...]]:
    """Return the columns of two tables whose values identify a sample in both, in order of preference."""
    shared = [name for name in frames[0].columns if name in frames[1].columns]
    if {*KEY} <= {*shared}:
        return [KEY]
    samples = [name for name in (SAMPLE, *(name for name in shared if name.startswith(f"{SAMPLE}."))) if name in shared]
    return [(name,) for name in samples if all(frame[name].is_unique and frame[name].all() for frame in frames)]


def _conflicting_labels(first: Predictions, second: Predictions, rows: Sequence[np.ndarray], task: ScoredTask) -> int:
    """Return how many matched samples have different true labels in the two tables."""
    frames = [table.frame.iloc[at] for table, at in zip((first, second), rows)]
    halves = [np.split(column_codes(frames, name), 2) for name in task.true_columns()]
    return int(np.any([one != other for one, other in halves], axis=0).sum())


def _same_truth(first: Predictions, second: Predictions) -> bool:
    if len(first.frame) != len(second.frame):
        return False
    columns = [name for name in first.frame.columns if name.startswith("true.") and name in second.frame.columns]
    frames = [first.frame, second.frame]
    halves = [np.split(column_codes(frames, name), 2) for name in columns]
    return bool(columns) and all((one == other).all() for one, other in halves)
