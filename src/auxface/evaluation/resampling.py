"""Bootstrap over clusters: resamples that all metrics of all models share, so differences between them are paired.

>>> resampling = draw_resamples(clusters=3, resamples=1000, seed=0)
>>> resampling.weights.shape
(3, 1001)
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

RESAMPLES = 1000
"""Default number of bootstrap resamples."""
# If there are more clusters than this, they are assigned at random to this many bundles, which are resampled. The
# standard error is then known to within 1/sqrt(2 * 8192) = 0.8%, less than the error of 1,000 resamples, and the
# weights need 33 MB at most.
BUNDLES = 8192
# Tables of up to this many sums, and up to this many sums per value, are dense. A sparse table with a value in most of
# its places takes longer to build and to use.
_DENSE_SUMS, _DENSE_SUMS_PER_VALUE = 50_000, 8
# Double-precision weights of up to this many bytes are cached: converting them takes as long as using them once.
KEPT_BYTES = 16 << 20


@dataclass(frozen=True)
class Resampling:
    """The number of times each cluster occurs in each resample.

    Attributes:
        bundle: bundle of each cluster, int64 [K]; with few clusters, each cluster is its own bundle.
        weights: number of times each bundle is drawn, float32 [B, 1+R]; column 0 is the original data (all ones).
    """

    bundle: np.ndarray
    weights: np.ndarray
    _kept: dict[tuple[int, int], np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def sums(
        self, cell: np.ndarray, cluster: np.ndarray, cells: int, values: np.ndarray | None = None
    ) -> np.ndarray | sparse.csr_matrix:
        """Return sums of ``values`` [N] (default: ones) by cell, int64 [N], and bundle as float64 [cells, B]."""
        bundles = self.weights.shape[0]
        bundle = self.bundle[cluster]
        if cells * bundles <= min(_DENSE_SUMS, _DENSE_SUMS_PER_VALUE * len(cell)):
            return np.bincount(cell * bundles + bundle, values, cells * bundles).reshape(cells, bundles).astype(float)
        data = np.ones(len(cell)) if values is None else values
        return sparse.csr_matrix((data, (cell, bundle)), shape=(cells, bundles))

    def ratios(
        self,
        numerator: np.ndarray,
        denominator: np.ndarray | None,
        *,
        level: np.ndarray,
        levels: int,
        cluster: np.ndarray,
    ) -> np.ndarray:
        """Return ratios of sums per level and resample, float64 [levels, 1+R]; by default, sums divided by counts."""
        above = self.sums(level, cluster, levels, numerator.astype(float))
        below = self.sums(level, cluster, levels, None if denominator is None else denominator.astype(float))
        parts = []
        for part in self.chunks(levels):
            weights = self.columns(part)
            with np.errstate(invalid="ignore", divide="ignore"):
                parts.append((above @ weights) / (below @ weights))
        return np.concatenate(parts, axis=1)

    def chunks(self, cells: int, budget: int = 2_000_000) -> list[slice]:
        """Return column ranges of :attr:`weights` for which ``cells`` numbers per column do not exceed ``budget``."""
        # With powers of two, tables of similar size use the same ranges, most of which :meth:`columns` has cached.
        step = 1 << (int(np.clip(budget // max(cells, 1), 1, 512)).bit_length() - 1)
        return [slice(start, start + step) for start in range(0, self.weights.shape[1], step)]

    def columns(self, part: slice) -> np.ndarray:
        """Return a range of :attr:`weights` as a contiguous float64 array [B, r], which must not be modified."""
        key = part.start, part.stop
        found = self._kept.get(key)
        if found is None:
            found = np.ascontiguousarray(self.weights[:, part], dtype=np.float64)
            if 8 * self.weights.size <= KEPT_BYTES:
                self._kept[key] = found
        return found


def draw_resamples(clusters: int, resamples: int, seed: int) -> Resampling:
    """Draw ``resamples`` samples of ``clusters`` clusters with replacement.

    Raises:
        ValueError: ``clusters`` or ``resamples`` is less than 1.
    """
    if clusters < 1 or resamples < 1:
        raise ValueError("the bootstrap needs at least one cluster and one resample")
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
