"""Two models on the same samples: how far apart, and whether this set of samples can tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from auxface.evaluation.bootstrap import Draws, Estimate, Resampling
from auxface.evaluation.clusters import combine_codes
from auxface.evaluation.measuring import Metrics, measure
from auxface.evaluation.partition import whole
from auxface.evaluation.table import KEY, Predictions, Task, text_of


@dataclass(frozen=True)
class Comparison:
    """The difference of two models in one metric of one task.

    Attributes:
        task: the task.
        metric: the metric.
        first: a model.
        second: another; the difference is first minus second.
        difference: with its paired interval.
        p: two-sided, of the difference being nought; None without an interval.
        p_holm: corrected by Holm (1979) for all pairs of models and all tasks in this metric.
    """

    task: str
    metric: str
    first: str
    second: str
    difference: Estimate
    p: float | None
    p_holm: float | None = None

    def to_dict(self) -> dict[str, object]:
        """As it stands in ``report.json``."""
        facts = {"metric": self.metric, "first": self.first, "second": self.second}
        return facts | {"difference": self.difference.to_dict(), "p": self.p, "p_holm": self.p_holm}


def compare(
    tables: Mapping[str, Predictions],
    overall: Mapping[str, Mapping[str, Metrics]],
    clusters: Mapping[str, np.ndarray],
    resampling: Resampling,
) -> tuple[list[Comparison], list[str]]:
    """All pairs of models, in every metric of every task that both have, on the samples that both have.

    Args:
        tables: model name to table.
        overall: model name to task name to metrics of the whole table.
        clusters: model name to the cluster of each row, numbered alike in all tables.
        resampling: the shared resamples.

    Returns:
        The comparisons, and a sentence for every pair that cannot be compared or that shares some samples only.
    """
    found: list[Comparison] = []
    notes: list[str] = []
    for first, second in combinations(tables, 2):
        matched = _matched(tables[first], tables[second])
        if matched is None:
            notes.append(f"{first} and {second} are not compared: nothing says which rows are the same samples.")
            continue
        partial = min(len(tables[first].frame), len(tables[second].frame), len(matched[0]))
        if partial < max(len(tables[first].frame), len(tables[second].frame)):
            notes.append(f"{first} and {second} are compared on the {len(matched[0]):,} samples that both have.")
        for task in tables[first].tasks:
            if not len(matched[0]) or task.name not in {other.name for other in tables[second].tasks}:
                continue
            if not same_task(task, tables[second].task(task.name)):
                notes.append(f"{first} and {second} are not compared on {task.name}: their classes differ.")
                continue
            pair = [
                _on(tables[name], task.name, rows, overall[name], clusters[name], resampling)
                for name, rows in zip((first, second), matched)
            ]
            found += [_comparison(task.name, metric, first, second, *pair) for metric in pair[0] if metric in pair[1]]
    return holm(found), notes


def same_task(first: Task, second: Task) -> bool:
    """Whether two tasks ask the same question."""
    return (first.kind, first.classes) == (second.kind, second.classes)


def holm(found: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with ``p_holm`` set, correcting within each metric over pairs and tasks (Holm, 1979)."""
    corrected: dict[int, float] = {}
    for metric in {item.metric for item in found}:
        family = [(item.p, place) for place, item in enumerate(found) if item.metric == metric and item.p is not None]
        largest = 0.0
        for rank, (p, place) in enumerate(sorted(family)):
            largest = max(largest, min(1.0, p * (len(family) - rank)))
            corrected[place] = largest
    return [
        Comparison(item.task, item.metric, item.first, item.second, item.difference, item.p, corrected.get(place))
        for place, item in enumerate(found)
    ]


def _comparison(task: str, metric: str, first: str, second: str, a: Metrics, b: Metrics) -> Comparison:
    one, other = a[metric], b[metric]
    n, clusters = min(one.n, other.n), min(one.clusters, other.clusters)
    draws = Draws(one.values - other.values, n, clusters, why=one.why or other.why)
    difference = draws.estimate()
    if difference.value is None or difference.low is None:
        return Comparison(task, metric, first, second, difference, None)
    return Comparison(task, metric, first, second, difference, p_value(draws))


def p_value(draws: Draws) -> float:
    """Two-sided p of a value being nought, from its bootstrap standard error and Student's t over the clusters."""
    error = float(np.nanstd(draws.values[1:], ddof=1))
    value = float(draws.values[0])
    if error == 0:
        return 1.0 if value == 0 else 0.0
    return float(2 * stats.t.sf(abs(value) / error, draws.clusters - 1))


def _on(
    table: Predictions,
    task: str,
    rows: np.ndarray,
    overall: Mapping[str, Metrics],
    cluster: np.ndarray,
    resampling: Resampling,
) -> Metrics:
    """The metrics on some rows; those of the whole table where the rows are all of it."""
    if len(rows) == len(table.frame):
        return overall[task]
    part = Predictions(table.frame.iloc[rows], table.tasks)
    return measure(part, table.task(task), whole(part), cluster[rows], resampling).levels[""]


def _matched(first: Predictions, second: Predictions) -> tuple[np.ndarray, np.ndarray] | None:
    """Positions of the same samples in two tables; None where nothing says which they are."""
    frames = (first.frame, second.frame)
    if not all(name in frame.columns for frame in frames for name in KEY):
        rows = np.arange(len(frames[0]))
        return (rows, rows) if _same_truth(first, second) else None
    columns = []
    for name in KEY:
        texts = [[text_of(value) for value in frame[name].astype(object)] for frame in frames]
        places = {text: place for place, text in enumerate(sorted(set(texts[0]) | set(texts[1])))}
        columns.append(np.array([places[text] for part in texts for text in part], dtype=np.int64))
    codes = combine_codes(columns)
    _, one, other = np.intersect1d(codes[: len(frames[0])], codes[len(frames[0]) :], return_indices=True)
    return one, other


def _same_truth(first: Predictions, second: Predictions) -> bool:
    if len(first.frame) != len(second.frame):
        return False
    columns = [name for name in first.frame.columns if name.startswith("true.") and name in second.frame.columns]
    return bool(columns) and all(
        first.frame[name].astype(str).tolist() == second.frame[name].astype(str).tolist() for name in columns
    )
