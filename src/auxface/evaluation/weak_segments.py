"""Weak segments: regions of known properties where a model performs worse, found on one table and tested on another.

A property is a column ``property.<name>``, such as the brightness of an image; groups are properties too. Numeric
properties are divided at the quartiles of the searched table, and other properties by value. Segments are the levels of
one property and the combinations of levels of two properties.

1. Search: every segment with enough clusters is compared with the whole table. Up to :data:`MOST_TESTED` segments are
   chosen: those with the largest difference, if it is at least two standard errors. A combination is chosen only if it
   is worse than both of its parts by more than a standard error.
2. Test: on samples that were not searched, each chosen segment is compared with the rest of the table. The one-sided
   p-values are corrected by Holm's method (1979). A segment is confirmed if its corrected p-value is below 0.05. If the
   model is equally good everywhere, at least one segment is falsely confirmed in at most one of 20 tables.

The search may compare any number of segments without correction, because the test uses other samples.

>>> generator = np.random.default_rng(0)
>>> frame = pd.DataFrame({"true.t": generator.integers(0, 2, 2000), "property.brightness": generator.random(2000)})
>>> wrong = generator.random(2000) < np.where(frame["property.brightness"] < 0.25, 0.4, 0.1)
>>> table = Predictions(frame.assign(**{"score.t.yes": abs(frame["true.t"] - wrong)}), ())
>>> task = ScoredTask("t", "binary", ("no", "yes"))
>>> segments = weak_segments(task, "accuracy", table, np.arange(2000), draw_resamples(2000, 200, seed=0))
>>> [(one.name, one.confirmed) for one in segments.segments]
[('brightness under 0.262', True)]
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
from scipy import stats

from auxface.evaluation.clusters import Clusters, cluster_codes
from auxface.evaluation.fairness import differences_to_reference, in_gaps
from auxface.evaluation.groups import CROSS, MOST_CROSSED, NOT_STATED, Partition, natural_order, whole
from auxface.evaluation.intervals import SIGNIFICANT, Draws, Estimate, rounded
from auxface.evaluation.measure import measure
from auxface.evaluation.metrics import METRICS
from auxface.evaluation.predictions import KEY, Predictions, ScoredTask, text_of
from auxface.evaluation.resampling import Resampling, draw_resamples

PROPERTY = "property."
UNITS = {
    "brightness": "0 to 1",
    "contrast": "0 to 1",
    "sharpness": "variance of the Laplacian of luma from 0 to 255",
    "shorter_side": "px",
    "bytes": "bytes",
    "jpeg_quality": "1 to 100",
}
"""Units of the properties that ``auxface evaluate`` measures."""
# At most this many segments are tested: with more, the correction would hide true weaknesses.
MOST_TESTED = 10
# A segment is chosen if it is worse than the whole table by at least this many standard errors.
_WORSE_BY = 2.0
_SEARCH_RESAMPLES = 200
# A numeric property with at most this many distinct values has one level per value.
_FEW_NUMBERS = 8
_SEGMENT, _REST = "segment", "rest"


@dataclass(frozen=True)
class Segment:
    """A segment that was chosen in the search, and the result of its test.

    Attributes:
        name: description of its levels, such as ``brightness under 0.21 × sex F``.
        found: metric in the segment, on the samples of the search.
        value: metric in the segment, on the samples of the test.
        rest: metric on all other samples of the test.
        difference: ``value`` minus ``rest``.
        p: one-sided p-value of the test; None if the segment was not tested.
        p_holm: p-value corrected for all tested segments.
    """

    name: str
    found: Estimate
    value: Estimate
    rest: Estimate
    difference: Estimate
    p: float | None
    p_holm: float | None = None

    @property
    def not_tested(self) -> str:
        """Reason why the segment was not tested; "" if it was."""
        return "" if self.p is not None else self.difference.why or ""

    @property
    def confirmed(self) -> bool:
        """Whether the segment is significantly worse than the rest, after correction."""
        return self.p_holm is not None and self.p_holm < SIGNIFICANT

    def to_dict(self) -> dict[str, object]:
        """Return the segment in the form of ``report.json``."""
        numbers: dict[str, object] = {
            "segment": self.name,
            "found": self.found.to_dict(),
            "value": self.value.to_dict(),
            "rest": self.rest.to_dict(),
            "difference": self.difference.to_dict(),
        }
        tests = {name: None if p is None else rounded(p) for name, p in (("p", self.p), ("p_holm", self.p_holm))}
        why = {"why": self.not_tested} if self.not_tested else {}
        return numbers | tests | {"confirmed": self.confirmed} | why


@dataclass(frozen=True)
class WeakSegments:
    """The weak segments of one task.

    Attributes:
        metric: name of the metric that is compared.
        searched: description of the samples used for the search.
        properties: names of the properties and groups that form the compared segments.
        tried: number of segments compared in the search.
        segments: chosen segments, in order of their p-values.
        units: units of the properties, where they are known, by name.
    """

    metric: str
    searched: str
    properties: tuple[str, ...]
    tried: int
    segments: tuple[Segment, ...]
    units: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """Return the segments in the form of ``report.json``."""
        facts: dict[str, object] = {"metric": self.metric, "searched": self.searched}
        facts |= {"properties": list(self.properties), "units": self.units, "tried": self.tried}
        return facts | {"segments": [one.to_dict() for one in self.segments]}


def property_names(predictions: Predictions) -> list[str]:
    """Return the names of the properties of a table."""
    columns = map(str, predictions.frame.columns)
    return [name.removeprefix(PROPERTY) for name in columns if name.startswith(PROPERTY)]


def weak_segments(
    task: ScoredTask,
    metric: str,
    table: Predictions,
    cluster: np.ndarray,
    resampling: Resampling,
    search: Predictions | None = None,
    *,
    clusters: Clusters = "auto",
    seed: int = 0,
) -> WeakSegments | None:
    """Find the segments of a table in which the model performs worse on a task than elsewhere.

    Args:
        task: task with the thresholds in use.
        metric: name of the metric that is compared.
        table: table on which segments are tested.
        cluster: cluster of each row of ``table``, int64 [rows].
        resampling: resamples of the clusters of ``table``.
        search: other samples in which to search for segments, such as those of a validation split. If None, a random
            half of the clusters of ``table`` is searched, and segments are tested on the other half.
        clusters: unit of resampling in ``search``.
        seed: seed of the random split into halves and of the resampling in the search.

    Returns:
        The segments; None if there are no properties, or if there are only groups and ``search`` is None, since the
        levels of groups are compared elsewhere.
    """
    columns = {name for name in table.frame.columns if str(name).startswith((PROPERTY, "group."))}
    if search is not None:
        columns &= set(search.frame.columns)
        searched, codes = _without_shared(search, table, clusters)
        text = f"the validation table ({len(searched.frame):,} samples)"
        confirm = _Table(table, cluster, resampling)
    else:
        own = np.unique(cluster)
        half = np.isin(cluster, np.random.default_rng(seed).permutation(own)[: len(own) // 2])
        searched, codes = _rows(table, half), cluster[half]
        text = f"a random half of the clusters ({int(half.sum()):,} samples)"
        confirm = _Table(_rows(table, ~half), cluster[~half], resampling)
    order = sorted(columns, key=lambda name: (not name.startswith(PROPERTY), list(table.frame.columns).index(name)))
    features = list(_features(searched.frame[order]))
    own_properties = any(one.column.startswith(PROPERTY) for one in features)
    if not own_properties and (search is None or len(features) < 2):
        return None
    codes = np.unique(codes, return_inverse=True)[1]
    where = _Table(searched, codes, draw_resamples(int(codes.max()) + 1, _SEARCH_RESAMPLES, seed))
    candidates, tried, compared = _search(task, metric, features, where)
    tested = [_test(task, metric, one, confirm) for one in candidates]
    ordered = sorted(tested, key=lambda one: (one.p is None, one.p or 0.0))
    names = tuple(one.name for one in features if one.column in compared)
    # A column from another program may have the name of a measured property but a different unit.
    units = {name: UNITS[name] for name in names if name in UNITS and "manifest_hash" in table.provenance}
    return WeakSegments(metric, text, names, tried, tuple(_holm(ordered)), units)


@dataclass(frozen=True)
class _Table:
    """A table with the cluster of each row, int64 [rows], and the resamples of the clusters."""

    predictions: Predictions
    cluster: np.ndarray
    resampling: Resampling


def _rows(table: Predictions, kept: np.ndarray) -> Predictions:
    return replace(table, frame=table.frame[kept].reset_index(drop=True))


def _without_shared(search: Predictions, table: Predictions, clusters: Clusters) -> tuple[Predictions, np.ndarray]:
    """Return the rows of ``search`` whose clusters do not occur in ``table``, and the cluster of each of these rows."""
    (codes, others), used = cluster_codes([search.frame, table.frame], clusters)
    if "row" in used and not all(name in one.frame.columns for one in (search, table) for name in KEY):
        # Rows without key columns cannot be matched with those of another table.
        return search, cluster_codes([search.frame], clusters)[0][0]
    own = ~np.isin(codes, others)
    return (search, codes) if own.all() or not own.any() else (_rows(search, own), codes[own])


@dataclass(frozen=True)
class _Feature:
    """A property or group: its column, the names of its levels, and the mapping from values to levels.

    ``edges`` are the limits between the levels of a numeric property; the level is the number of edges that are not
    above the value. ``texts`` maps the values of any other property to their levels.
    """

    column: str
    levels: tuple[str, ...]
    edges: np.ndarray | None = None
    texts: dict[str, int] | None = None

    @property
    def name(self) -> str:
        return self.column.split(".", 1)[1]

    def codes(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the level of each row, int64 [rows]; -1 where it is unknown."""
        column = frame[self.column]
        if self.edges is not None:
            values = pd.to_numeric(column, errors="coerce").to_numpy(float, na_value=np.nan)
            return np.where(np.isfinite(values), np.searchsorted(self.edges, values, side="right"), -1)
        codes, values = pd.factorize(column)
        places = [(self.texts or {}).get(text_of(value), -1) for value in values]
        return np.array([*places, -1], dtype=np.int64)[codes]


def _features(frame: pd.DataFrame) -> Iterator[_Feature]:
    """Yield the properties and groups of a table that have at least two levels."""
    for column in map(str, frame.columns):
        if not column.startswith((PROPERTY, "group.")):
            continue
        values = frame[column].dropna()
        name = column.split(".", 1)[1]
        if column.startswith(PROPERTY) and f"group.{name}" in frame.columns:
            continue
        numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        if numeric and column.startswith(PROPERTY) and values.nunique() > _FEW_NUMBERS:
            quartiles = np.nanquantile(values.to_numpy(float), (0.25, 0.5, 0.75))
            edges = np.unique([rounded(float(one), 3) for one in quartiles])
            low, high = f"{edges[0]:,.10g}", f"{edges[-1]:,.10g}"
            between = [f"{name} {start:,.10g} to {end:,.10g}" for start, end in pairwise(edges)]
            levels = (f"{name} under {low}", *between, f"{name} from {high}")
            yield _Feature(column, levels, edges=edges)
            continue
        texts = sorted({text_of(value) for value in values.unique()} - {""}, key=natural_order)
        if 2 <= len(texts) <= MOST_CROSSED:
            yield _Feature(column, tuple(f"{name} {text}" for text in texts), texts={t: i for i, t in enumerate(texts)})


@dataclass(frozen=True)
class _Cell:
    """A candidate segment: its features and their levels, its metric, and its difference from the whole table."""

    features: tuple[_Feature, ...]
    places: tuple[int, ...]
    draws: Draws
    error: float
    worse_by: float

    def name(self) -> str:
        return CROSS.join(feature.levels[place] for feature, place in zip(self.features, self.places))

    def rows(self, frame: pd.DataFrame) -> np.ndarray:
        parts = [feature.codes(frame) == place for feature, place in zip(self.features, self.places)]
        return np.logical_and.reduce(parts)


def _search(
    task: ScoredTask, metric: str, features: Sequence[_Feature], table: _Table
) -> tuple[list[_Cell], int, set[str]]:
    """Return the segments to test, the number of segments that were compared, and the columns that form them."""
    sign = 1.0 if METRICS[metric].higher_is_better else -1.0
    predictions = table.predictions
    found = measure(predictions, task, whole(predictions), table.cluster, table.resampling, [METRICS[metric]])
    overall = found.levels[""].get(metric)
    if overall is None or overall.why is not None:
        return [], 0, set()
    codes = {feature.column: feature.codes(predictions.frame) for feature in features}
    cells: dict[tuple[tuple[str, int], ...], _Cell] = {}
    for chosen in [*combinations(features, 1), *combinations(features, 2)]:
        if np.prod([len(one.levels) for one in chosen]) > MOST_CROSSED:
            continue
        partition, places = _partition([codes[one.column] for one in chosen])
        measured = measure(predictions, task, partition, table.cluster, table.resampling, [METRICS[metric]]).levels
        for level, place in zip(partition.levels, places):
            draws = measured[level].get(metric)
            if draws is None or place is None or not in_gaps(draws):
                continue
            difference = sign * (overall.values - draws.values)
            error = max(draws.standard_error(), 1e-12)
            paired = max(float(np.nanstd(difference[1:])), 1e-12)
            key = tuple((one.column, code) for one, code in zip(chosen, place))
            cells[key] = _Cell(chosen, place, draws, error, float(difference[0]) / paired)
    worst = sorted((one for one in cells.items() if one[1].worse_by >= _WORSE_BY), key=lambda one: -one[1].worse_by)
    kept = []
    for key, cell in worst:
        parts = [cells[part,].draws.values[0] for part in key if (part,) in cells] if len(key) > 1 else []
        if all(sign * (value - cell.draws.values[0]) > cell.error for value in parts):
            kept.append(cell)
    return kept[:MOST_TESTED], len(cells), {column for key in cells for column, _ in key}


def _partition(codes: Sequence[np.ndarray]) -> tuple[Partition, list[tuple[int, ...] | None]]:
    """Return the partition by one or two codes [rows], and the codes of each level; None for the level "not stated"."""
    together = np.stack(codes, axis=1)
    together[(together < 0).any(axis=1)] = -1
    rows, code = np.unique(together, axis=0, return_inverse=True)
    places = [None if row[0] < 0 else tuple(map(int, row)) for row in rows]
    names = tuple(NOT_STATED if place is None else " ".join(map(str, place)) for place in places)
    return Partition("segments", names, code.reshape(-1).astype(np.int64)), places


def _test(task: ScoredTask, metric: str, cell: _Cell, table: _Table) -> Segment:
    inside = cell.rows(table.predictions.frame)
    partition = Partition("segments", (_SEGMENT, _REST), np.where(inside, 0, 1))
    measured = measure(table.predictions, task, partition, table.cluster, table.resampling, [METRICS[metric]]).levels
    own, rest = (measured[level][metric] for level in (_SEGMENT, _REST))
    difference = differences_to_reference(metric, measured, _REST).get(_SEGMENT)
    found, value, other = cell.draws.estimate(), own.estimate(), rest.estimate()
    if difference is None or difference.why is not None:
        why = value.why or other.why or (difference.why if difference is not None else None)
        unknown = Estimate(None, None, None, value.n, value.clusters, why)
        return Segment(cell.name(), found, value, other, unknown, None)
    sign = 1.0 if METRICS[metric].higher_is_better else -1.0
    # The resamples are scaled to the intervals of both sides, which allow for few clusters.
    error = max(float(np.nanstd(difference.values[1:])), 1e-12)
    p = float(stats.norm.cdf(sign * difference.values[0] / error))
    return Segment(cell.name(), found, value, other, replace(difference, more=None).estimate(), p)


def _holm(segments: Sequence[Segment]) -> Iterator[Segment]:
    """Yield the segments with ``p_holm`` (Holm, 1979), in order of their p-values."""
    count, largest = sum(one.p is not None for one in segments), 0.0
    for rank, one in enumerate(segments):
        if one.p is not None:
            largest = max(largest, min(1.0, one.p * (count - rank)))
            one = replace(one, p_holm=largest)
        yield one
