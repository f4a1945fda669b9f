"""Which samples hang together: frames of one video, images of one person.

95% confidence intervals of a metric's true value, by resampling clusters of samples (videos or people).

Efron's percentile bootstrap over clusters, at the quantiles that Hesterberg (2015, "What Teachers Should Know About the
Bootstrap") gives for few clusters. All metrics of all models share the same resamples, so differences are paired.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import sparse, stats
from scipy.special import expit, logit

from auxface.evaluation.predictions import KEY, text_of

Clusters = Literal["auto", "source", "row"]
VIDEO = ("dataset", "method", "source", "video")


def cluster_codes(frames: Sequence[pd.DataFrame], by: Clusters = "auto") -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Number the clusters of several tables together, so that one cluster has one number in all of them.

    A cluster is a video (dataset, method, source and video together: the same video name under another method is
    another video) where the row names one, else a source of a dataset, else the row itself. Numbers follow the sorted
    names, so the order of rows does not matter.

    Args:
        frames: tables with any of the columns :data:`~auxface.evaluation.predictions.KEY`.
        by: ``auto`` as above; ``source`` joins all videos of a source; ``row`` takes every row by itself, which is
            right only where no two rows show the same person or video.

    Returns:
        Per table int64 [N] numbers from 0 without holes, and which of "video", "source" and "row" were used.
    """
    lengths = [len(frame) for frame in frames]
    columns = {name: column_codes(frames, name) for name in VIDEO}
    video = (columns["video"] > 0) & (by == "auto")
    source = ~video & (columns["source"] > 0) & (by != "row")
    parts = {
        "video": (video, [columns[name] for name in VIDEO]),
        "source": (source, [columns["dataset"], columns["source"]]),
        "row": (~video & ~source, []),
    }
    if parts["row"][0].any():
        parts["row"][1].extend(_rows(frames))
    codes = np.empty(sum(lengths), dtype=np.int64)
    offset = 0
    for where, names in parts.values():
        if where.any():
            codes[where] = combine_codes([name[where] for name in names]) + offset
            offset = int(codes[where].max()) + 1
    used = tuple(name for name, (where, _) in parts.items() if where.any())
    return np.split(codes, np.cumsum(lengths)[:-1]), used


def combine_codes(columns: Sequence[np.ndarray]) -> np.ndarray:
    """One number per distinct row of several int64 columns [N], in sorted order, without holes."""
    combined = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        _, combined = np.unique(combined * (int(column.max(initial=0)) + 1) + column, return_inverse=True)
    return combined


def column_codes(frames: Sequence[pd.DataFrame], name: str) -> np.ndarray:
    """Numbers of a column over all tables, int64 [all rows]: equal where the text is; 0 where nothing is stated."""
    columns = [frame[name] if name in frame.columns else None for frame in frames]
    if all(column is not None and pd.api.types.is_integer_dtype(column.dtype) for column in columns):
        values = np.concatenate([column.to_numpy() for column in columns if column is not None])
        return np.unique(values, return_inverse=True)[1].astype(np.int64) + 1
    found = [None if column is None else _levels(column) for column in columns]
    texts = sorted({text for item in found if item is not None for text in item[1]} - {""})
    places = {text: place for place, text in enumerate(texts, start=1)} | {"": 0}
    parts = []
    for frame, item in zip(frames, found):
        if item is None:
            parts.append(np.zeros(len(frame), dtype=np.int64))
        else:
            parts.append(np.array([places[text] for text in item[1]] + [0], dtype=np.int64)[item[0]])
    return np.concatenate(parts)


def _rows(frames: Sequence[pd.DataFrame]) -> list[np.ndarray]:
    """What names a single row: its key where every table has one, else its position in its table."""
    if all(name in frame.columns for frame in frames for name in KEY):
        return [column_codes(frames, name) for name in KEY]
    return [np.concatenate([np.arange(len(frame)) for frame in frames])]


def _levels(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    codes, levels = pd.factorize(column)
    return codes, [text_of(level) for level in levels]


# Above this many clusters they are dealt at random into so many bundles, and the bundles are resampled. The standard
# error is then itself known to 1/sqrt(2 * 8192) = 0.8%, less than what 1,000 resamples leave open, and the weights
# stay in 33 MB whatever the size of the table.
BUNDLES = 8192
MINIMUM_FINITE = 0.9
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Resampling:
    """Which clusters stand in each resample, and how often.

    Attributes:
        bundle: int64 [K], the bundle of each cluster (its own number, while there are few clusters).
        weights: float32 [B, 1+R]: how often each bundle is drawn; column 0 is the data as they are (all ones).
    """

    bundle: np.ndarray
    weights: np.ndarray

    def sums(
        self, cell: np.ndarray, cluster: np.ndarray, cells: int, values: np.ndarray | None = None
    ) -> sparse.csr_matrix:
        """Per-bundle sums, float64 [cells, B], of ``values`` (ones) [N] whose cells are int64 [N]; times weights."""
        data = np.ones(len(cell)) if values is None else values
        return sparse.csr_matrix((data, (cell, self.bundle[cluster])), shape=(cells, self.weights.shape[0]))

    def chunks(self, cells: int, budget: int = 2_000_000) -> list[slice]:
        """Column ranges of :attr:`weights` such that ``cells`` numbers per column stay within ``budget`` numbers."""
        step = int(np.clip(budget // max(cells, 1), 1, 512))
        return [slice(start, start + step) for start in range(0, self.weights.shape[1], step)]

    def columns(self, part: slice) -> np.ndarray:
        """A range of :attr:`weights` as contiguous float64 [B, r]."""
        return np.ascontiguousarray(self.weights[:, part], dtype=np.float64)


def draw_resamples(clusters: int, resamples: int, seed: int) -> Resampling:
    """Draw ``resamples`` samples of ``clusters`` clusters with replacement.

    Raises:
        ValueError: no clusters, or fewer than 1 resample.
    """
    if clusters < 1 or resamples < 1:
        raise ValueError("a bootstrap needs at least one cluster and one resample")
    generator = np.random.default_rng(seed)
    bundle = np.arange(clusters)
    if clusters > BUNDLES:
        bundle = generator.permutation(clusters) % BUNDLES
    bundles = min(clusters, BUNDLES)
    weights = np.empty((bundles, 1 + resamples), dtype=np.float32)
    weights[:, 0] = 1
    for column in range(1, 1 + resamples):
        weights[:, column] = np.bincount(generator.integers(0, bundles, bundles), minlength=bundles)
    return Resampling(bundle, weights)


@dataclass(frozen=True)
class Estimate:
    """A number with its 95% interval and its count.

    Attributes:
        value: None where it cannot be measured; ``why`` then says so.
        low: lower end of the interval; None without one, ``why`` then says so.
        high: upper end.
        n: samples behind it.
        clusters: clusters behind it.
        why: why there is no value or no interval.
        more: further facts, such as the worst level of a gap.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    clusters: int
    why: str | None = None
    more: dict[str, object] | None = None

    def to_dict(self) -> dict[str, object]:
        """As it stands in ``report.json``."""
        entry: dict[str, object] = {"value": self.value, "low": self.low, "high": self.high, "n": self.n}
        entry["clusters"] = self.clusters
        return entry | ({"why": self.why} if self.why else {}) | (self.more or {})


@dataclass(frozen=True)
class Draws:
    """A metric on the data (``values[0]``) and on every resample (``values[1:]``), float64 [1+R].

    Attributes:
        values: the numbers; NaN where a resample leaves the metric undefined.
        n: samples behind it.
        clusters: clusters behind it.
        units: independent units of the rarest class behind a metric in [0, 1]. Where every resample gives one and the
            same number, such as no error at all, Wilson's interval for so many units stands in; None: none does.
        why: why it cannot be measured; None where it can.
        biased: resampling adds to the metric what noise adds to it (a maximum, a distance); the resamples are then
            mirrored at the value, which takes it off again.
        logit: a metric of ranking, whose noise is skewed near 0 and 1: the interval is Student's on the logit scale
            (Pepe, 2003; Boyd et al., 2013), with one degree of freedom fewer than ``units``.
        spread: of a biased metric, a standard error that the resamples' own must not fall below; the interval is then
            Student's, about the value less its bias. None: the mirrored quantiles stand.
        no_interval: why the resamples cannot say how sure the value is; None where they can.
        reach: (below, above): where the value is a maximum over levels, how far noise alone can move it; the interval
            begins or ends so far from the value, in place of the quantile. None: the quantile stands.
        bounds: the possible range.
        more: further facts for the estimate.
    """

    values: np.ndarray
    n: int
    clusters: int
    units: int | None = None
    why: str | None = None
    biased: bool = False
    logit: bool = False
    spread: float | None = None
    no_interval: str | None = None
    reach: tuple[float | None, float | None] = (None, None)
    bounds: tuple[float, float] = (-np.inf, np.inf)
    more: Mapping[str, object] | None = None

    def estimate(self) -> Estimate:
        """Value and interval."""
        if self.why or np.isnan(self.values[0]):
            return Estimate(None, None, None, self.n, self.clusters, self.why or "undefined on these samples")
        value = float(self.values[0])
        more = dict(self.more) if self.more else None
        # The few of a rare class say how much is known, not the many of the other.
        low, high, why = interval(self.values[1:], self.clusters, self.units)
        if low is None or high is None or self.no_interval:
            return Estimate(value, None, None, self.n, self.clusters, why or self.no_interval, more)
        if self.units is not None and high - low < 1e-9:
            low, high = wilson(value, self.units)
        elif self.logit:
            low, high = self._on_logits(value) or (low, high)
        elif self.biased and self.spread is not None:
            low, high = self._debiased(value, self.spread)
        elif self.biased:
            # Never without the value itself, which a reader expects inside.
            low, high = min(2 * value - high, value), max(2 * value - low, value)
        below, above = self.reach
        low = low if below is None else value - below
        high = high if above is None else value + above
        low, high = (float(np.clip(end, *self.bounds)) for end in (low, high))
        return Estimate(value, low, high, self.n, self.clusters, None, more)

    def _on_logits(self, value: float) -> tuple[float, float] | None:
        """None where the value, or more than a few resamples, are 0 or 1 and have no logit."""
        inside = self.values[1:][(self.values[1:] > 0) & (self.values[1:] < 1)]
        units = self.clusters if self.units is None else self.units
        if not 0 < value < 1 or units < 2 or len(inside) < MINIMUM_FINITE * (len(self.values) - 1):
            return None
        error = float(logit(inside).std()) * np.sqrt(self.clusters / (self.clusters - 1))
        half = float(stats.t.ppf(1 - (1 - CONFIDENCE) / 2, units - 1)) * error
        return float(expit(logit(value) - half)), float(expit(logit(value) + half))

    def _debiased(self, value: float, spread: float) -> tuple[float, float]:
        """Student's interval about the value less what resampling adds to it, which noise has added once already.

        The bias found is itself too small where the true value lies near its bound, so the lower end gives it twice.
        """
        known = self.values[1:][np.isfinite(self.values[1:])]
        bias = max(float(known.mean()) - value, 0.0)
        middle = max(value - bias, self.bounds[0])
        quantile = float(stats.t.ppf(1 - (1 - CONFIDENCE) / 2, self.clusters - 1))
        error = max(float(known.std()), spread) * np.sqrt(self.clusters / (self.clusters - 1))
        return min(middle - quantile * error - bias, value), max(middle + quantile * error, value)


def interval(
    resamples: np.ndarray, clusters: int, units: int | None = None
) -> tuple[float | None, float | None, str | None]:
    """Expanded percentile interval of resampled values [R]; (None, None, why) where none can be given.

    It is expanded for ``units``, where these are fewer than the clusters.
    """
    if clusters < 2:
        return None, None, "all samples are of one cluster: no interval"
    clusters = clusters if units is None else max(2, min(clusters, units))
    finite = resamples[np.isfinite(resamples)]
    if len(finite) < MINIMUM_FINITE * len(resamples):
        return None, None, f"undefined in {1 - len(finite) / len(resamples):.0%} of the resamples: no interval"
    tail = (1 - CONFIDENCE) / 2
    wide = stats.norm.cdf(-np.sqrt(clusters / (clusters - 1)) * stats.t.ppf(1 - tail, clusters - 1))
    # Weibull's positions: a further resample falls beyond each with just this chance, however few there are.
    low, high = np.quantile(finite, [wide, 1 - wide], method="weibull")
    return float(low), float(high), None


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's (1927) score interval of a share seen in ``n`` independent units."""
    z = float(stats.norm.ppf(1 - (1 - CONFIDENCE) / 2))
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))
