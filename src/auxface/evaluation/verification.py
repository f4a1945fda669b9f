"""Verification and retrieval with embeddings: metrics with intervals that resample people.

A pair of images is **genuine** if both show the same person; otherwise it is an **impostor** pair. A pair is accepted
if its similarity reaches a threshold. FMR (false match rate) is the fraction of impostor pairs that are accepted, and
FNMR (false non-match rate) is the fraction of genuine pairs that are rejected.

Pairs that share a person are not independent. Each resample therefore draws people with replacement: a genuine pair is
weighted by the number of times its person was drawn, and an impostor pair by the product of these numbers for its two
people (the subset bootstrap of Bolle et al., 2004, extended to two people).

>>> people = np.arange(40)
>>> same = people < 20
>>> pairs = ScoredPairs(np.where(same, 0.8, 0.3), same, people, np.where(same, people, people[::-1]))
>>> measure_pairs(pairs, resamples=100).estimates["auc"].value
1.0
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from auxface.evaluation.intervals import Draws, Estimate
from auxface.evaluation.measure import MINIMUM_CLUSTERS
from auxface.evaluation.resampling import RESAMPLES, Resampling, draw_resamples

FALSE_ACCEPT_RATES = (0.1, 0.01, 0.001)
RANKS = (1, 5, 10)
_BLOCK = 8_000_000


@dataclass(frozen=True)
class ScoredPairs:
    """Pairs of images with their similarities.

    Attributes:
        similarity: similarity of each pair, float [P].
        same: whether both images show the same person, bool [P].
        first: person of the first image, [P].
        second: person of the second image, [P].
        fold: fold of each pair in a cross-validation protocol, int64 [P]; None if there are no folds.
        groups: level of each pair, [P], by group: the level that both images share, or None if their levels differ or
            are unknown.
    """

    similarity: np.ndarray
    same: np.ndarray
    first: Sequence[object] | np.ndarray
    second: Sequence[object] | np.ndarray
    fold: np.ndarray | None = None
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class PairFigures:
    """The metrics of a set of pairs.

    Attributes:
        estimates: estimates of ``auc``, ``eer``, ``tar_at_far_0.1`` and so on; of ``fold_accuracy`` if there are folds;
            and of ``accuracy``, ``fmr`` and ``fnmr`` at the threshold, if one was given.
        folds: accuracy of each fold at the threshold that is best on the other folds.
        groups: estimates of ``fmr`` and ``fnmr``, by group and level.
        draws: ``auc`` on the data and on every resample, used to compare two models on the same pairs.
    """

    estimates: dict[str, Estimate]
    folds: list[float]
    groups: dict[str, dict[str, dict[str, Estimate]]]
    draws: np.ndarray


def measure_pairs(
    pairs: ScoredPairs, *, threshold: float | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> PairFigures:
    """Compute verification metrics on pairs of images.

    Args:
        pairs: genuine and impostor pairs.
        threshold: similarity at or above which a pair is accepted, chosen on other data; None if there is no threshold.
        resamples: number of bootstrap resamples of the people.
        seed: seed of the resampling.

    Raises:
        ValueError: all pairs are of one kind, or a similarity is not finite.
    """
    same = np.asarray(pairs.same, dtype=bool)
    if same.all() or not same.any() or not np.isfinite(pairs.similarity).all():
        raise ValueError("expected genuine and impostor pairs (same and different person) with finite similarities")
    people = _People(pairs, resamples, seed)
    curve = _Curve(pairs.similarity, same)
    names = ["auc", "eer", *(f"tar_at_far_{rate:g}" for rate in FALSE_ACCEPT_RATES)]
    values = people.map(lambda weights: curve.figures(weights), len(names))
    estimates: dict[str, Estimate] = {}
    impostors = int((~same).sum())
    for name, draws in zip(names, values):
        rate = float(name.rsplit("_", 1)[1]) if name.startswith("tar") else 1.0
        why = None
        if rate < 1 / impostors:
            why = f"needs {1 / rate:.0f} impostor pairs, but there are {impostors}"
        estimates[name] = people.estimate(draws, np.ones(len(same), bool), why)
    folds: list[float] = []
    if pairs.fold is not None and len(np.unique(pairs.fold)) > 1:
        protocol = _Folds(curve, pairs.fold)
        folds = protocol.accuracies(np.ones(len(same))).tolist()
        draws = people.map(lambda weights: [float(np.nanmean(protocol.accuracies(weights)))], 1)[0]
        estimates["fold_accuracy"] = people.estimate(draws, np.ones(len(same), bool))
    groups: dict[str, dict[str, dict[str, Estimate]]] = {}
    if threshold is not None:
        accepted = np.asarray(pairs.similarity) >= threshold
        estimates["accuracy"] = people.rate(accepted == same, np.ones(len(same), bool))
        estimates |= _error_rates(people, accepted, same, np.ones(len(same), bool))
        for group, levels in pairs.groups.items():
            levels = pd.Series(list(levels), dtype=object)
            groups[group] = {
                str(level): _error_rates(people, accepted, same, (levels == level).to_numpy())
                for level in sorted(levels.dropna().unique(), key=str)
            }
    return PairFigures(estimates, folds, groups, values[0])


def auc_difference(first: PairFigures, second: PairFigures) -> Estimate:
    """Return the AUC of the first model minus that of the second, computed on the same pairs and resamples."""
    known = first.estimates["auc"]
    draws = Draws(first.draws - second.draws, known.n, known.clusters, bounds=(-1.0, 1.0))
    return draws.estimate()


def choose_pair_threshold(similarity: np.ndarray, same: np.ndarray) -> float:
    """Return the threshold with the smallest mean of FMR and FNMR, midway between two neighboring similarities.

    Raises:
        ValueError: all pairs are of one kind.
    """
    same = np.asarray(same, dtype=bool)
    if same.all() or not same.any():
        raise ValueError("expected genuine and impostor pairs (same and different person)")
    curve = _Curve(np.asarray(similarity, dtype=float), same)
    fmr, fnmr = curve.error_rates(np.ones(len(same)))
    return float(curve.thresholds[int(np.argmin(fmr + fnmr))])


def measure_retrieval(
    embeddings: np.ndarray,
    identity: Sequence[object],
    *,
    clusters: Sequence[object] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Evaluate retrieval: each image is a query for the other images of the same person.

    ``recall_at_K`` is the fraction of queries with an image of the same person among the K most similar images.
    ``map_at_r`` is the mean average precision at R, where R is the number of other images of the person (Musgrave et
    al., 2020). Queries without any such image are excluded. The intervals resample people and treat the gallery as
    fixed.

    With ``clusters``, such as the tracks that music excerpts come from, the gallery of a query excludes its own
    cluster, and the intervals resample clusters. ``identity`` may then be a class, such as the instrument.

    Args:
        embeddings: embeddings of unit norm, float [N, D].
        identity: person of each image, [N]; images without a person (None or NaN) are only in the gallery.
        clusters: cluster of each image, [N]; all images of a cluster must have the same identity. If None, no images
            are excluded.
        resamples: number of bootstrap resamples of the people or clusters.
        seed: seed of the resampling.
    """
    persons = pd.Series(list(identity), dtype=object)
    codes = pd.factorize(persons)[0]
    own = np.arange(len(codes)) if clusters is None else pd.factorize(pd.Series(list(clusters), dtype=object))[0]
    values = _retrieval_values(np.asarray(embeddings, dtype=float), codes, own)
    asked = np.flatnonzero(~np.isnan(values["map_at_r"]))
    if not len(asked):
        why = "no identity has two samples"
        return {name: Estimate(None, None, None, 0, 0, why) for name in values}
    people, cluster = np.unique((codes if clusters is None else own)[asked], return_inverse=True)
    resampling = draw_resamples(len(people), resamples, seed)
    found: dict[str, Estimate] = {}
    for name, each in values.items():
        level = np.zeros(len(asked), dtype=np.int64)
        ratios = resampling.ratios(each[asked], None, level=level, levels=1, cluster=cluster)[0]
        found[name] = _estimate(ratios, len(asked), len(people))
    return found


class _People:
    """The people in the pairs, and the weights of the pairs on every resample of people."""

    def __init__(self, pairs: ScoredPairs, resamples: int, seed: int) -> None:
        both = pd.factorize(np.concatenate([np.asarray(pairs.first, object), np.asarray(pairs.second, object)]))[0]
        self.first, self.second = both[: len(pairs.same)], both[len(pairs.same) :]
        self.same = np.asarray(pairs.same, dtype=bool)
        self.resampling: Resampling = draw_resamples(int(both.max()) + 1, resamples, seed)

    def map(self, figures: Callable[[np.ndarray], Sequence[float]], count: int) -> np.ndarray:
        """Compute ``count`` metrics of the weighted pairs on the data and on every resample, float64 [count, 1+R]."""
        bundle, weights = self.resampling.bundle, self.resampling.weights
        columns = weights.shape[1]
        values = np.full((count, columns), np.nan)
        for column in range(columns):
            drawn = weights[bundle, column].astype(np.float64)
            pair = drawn[self.first] * np.where(self.same, 1.0, drawn[self.second])
            if pair[self.same].any() and pair[~self.same].any():
                values[:, column] = figures(pair)
        return values

    def rate(self, hit: np.ndarray, rows: np.ndarray) -> Estimate:
        """Return the fraction of the selected pairs that are hits."""
        bundle, weights = self.resampling.bundle, self.resampling.weights.astype(np.float64)
        first, second = weights[bundle[self.first[rows]]], weights[bundle[self.second[rows]]]
        pair = first * np.where(self.same[rows, None], 1.0, second)
        with np.errstate(invalid="ignore", divide="ignore"):
            draws = (pair * hit[rows, None]).sum(axis=0) / pair.sum(axis=0)
        return self.estimate(draws, rows)

    def estimate(self, draws: np.ndarray, rows: np.ndarray, why: str | None = None) -> Estimate:
        people = len(np.unique(np.concatenate([self.first[rows], self.second[rows]])))
        return _estimate(draws, int(rows.sum()), people, why)


def _estimate(draws: np.ndarray, n: int, people: int, why: str | None = None) -> Estimate:
    if why is None and people < MINIMUM_CLUSTERS:
        why = f"{people} {'identity' if people == 1 else 'identities'}; at least {MINIMUM_CLUSTERS} are needed"
    return Draws(draws, n, people, why=why, bounds=(0.0, 1.0)).estimate()


def _error_rates(people: _People, accepted: np.ndarray, same: np.ndarray, rows: np.ndarray) -> dict[str, Estimate]:
    found: dict[str, Estimate] = {}
    for name, hit, kind in (("fmr", accepted, ~same), ("fnmr", ~accepted, same)):
        chosen = rows & kind
        what = "impostor pairs" if name == "fmr" else "genuine pairs"
        empty = Estimate(None, None, None, 0, 0, f"no {what}")
        found[name] = people.rate(hit, chosen) if chosen.any() else empty
    return found


class _Curve:
    """Pairs sorted by similarity; pairs of equal similarity form one step of the curve.

    Attributes:
        thresholds: thresholds below the lowest similarity, between neighboring ones, and above the highest, float
            [K+1].
    """

    def __init__(self, similarity: np.ndarray, same: np.ndarray) -> None:
        similarity = np.asarray(similarity, dtype=float)
        self.order = np.argsort(similarity, kind="stable")
        ordered = similarity[self.order]
        self.starts = np.flatnonzero(np.concatenate([[True], np.diff(ordered) > 0]))
        self.same = same[self.order]
        steps = ordered[self.starts]
        self.thresholds = np.concatenate([[steps[0]], (steps[1:] + steps[:-1]) / 2, [np.nextafter(steps[-1], np.inf)]])

    def steps(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the total weights of genuine and of impostor pairs at each step, float [K] each."""
        ordered = weights[self.order]
        genuine = np.add.reduceat(ordered * self.same, self.starts)
        return genuine, np.add.reduceat(ordered * ~self.same, self.starts)

    def error_rates(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return FMR and FNMR at each threshold, float [K+1] each."""
        genuine, impostor = self.steps(weights)
        below = np.concatenate([[0.0], np.cumsum(impostor)])
        rejected = np.concatenate([[0.0], np.cumsum(genuine)])
        return 1 - below / below[-1], rejected / rejected[-1]

    def figures(self, weights: np.ndarray) -> list[float]:
        """Return the AUC, the EER, and the TAR at each of :data:`FALSE_ACCEPT_RATES`."""
        genuine, impostor = self.steps(weights)
        below = np.cumsum(impostor) - impostor / 2
        auc = float((genuine * below).sum() / (genuine.sum() * impostor.sum()))
        fmr, fnmr = self.error_rates(weights)
        at = int(np.argmax(fnmr >= fmr))
        gap, before = fnmr[at] - fmr[at], fmr[at - 1] - fnmr[at - 1]
        eer = (fmr[at - 1] * gap + fmr[at] * before) / (gap + before)
        return [auc, float(eer), *(float((1 - fnmr[fmr <= rate + 1e-9]).max()) for rate in FALSE_ACCEPT_RATES)]


class _Folds:
    """The LFW protocol: accuracy on each fold at the threshold with the best accuracy on the other folds."""

    def __init__(self, curve: _Curve, fold: np.ndarray) -> None:
        self.curve = curve
        self.folds = [np.asarray(fold) == number for number in np.unique(fold)]

    def accuracies(self, weights: np.ndarray) -> np.ndarray:
        """Return the accuracy of each fold, float [F]; NaN for a fold without weight."""
        correct, totals = [], []
        for rows in self.folds:
            genuine, impostor = self.curve.steps(weights * rows)
            rejected = np.concatenate([[0.0], np.cumsum(impostor)])
            missed = np.concatenate([[0.0], np.cumsum(genuine)])
            correct.append(rejected + missed[-1] - missed)
            totals.append(rejected[-1] + missed[-1])
        per_fold = np.stack(correct)
        best = np.argmax(per_fold.sum(axis=0) - per_fold, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return per_fold[np.arange(len(best)), best] / np.array(totals)


def _retrieval_values(embeddings: np.ndarray, codes: np.ndarray, own: np.ndarray) -> dict[str, np.ndarray]:
    """Return recall at each rank and average precision at R for each query; NaN where R is 0.

    Args:
        embeddings: embeddings of unit norm, float [N, D].
        codes: identity number of each image; -1 if it has none.
        own: cluster number of each image; the images of a query's cluster are excluded from its gallery.
    """
    counts, sizes = np.bincount(codes[codes >= 0], minlength=1), np.bincount(own)
    relevant = np.where(codes >= 0, counts[codes] - sizes[own], 0)
    depth = min(max(*RANKS, int(relevant.max(initial=0))), len(codes) - 1)
    values = {f"recall_at_{rank}": np.full(len(codes), np.nan) for rank in RANKS}
    values["map_at_r"] = np.full(len(codes), np.nan)
    step = max(1, _BLOCK // max(len(codes), 1))
    for start in range(0, len(codes), step):
        rows = np.arange(start, min(start + step, len(codes)))
        similarity = embeddings[rows] @ embeddings.T
        similarity[own[rows][:, None] == own] = -np.inf
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :depth]
        hits = (codes[nearest] == codes[rows, None]) & (own[nearest] != own[rows, None])
        precision = np.cumsum(hits, axis=1) / np.arange(1, depth + 1)
        for place, row in enumerate(rows):
            known = relevant[row]
            if known > 0:
                values["map_at_r"][row] = (precision[place, :known] * hits[place, :known]).sum() / known
                for rank in RANKS:
                    values[f"recall_at_{rank}"][row] = hits[place, :rank].any()
    return values
