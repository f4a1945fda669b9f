"""Several methods over several data sets: mean ranks, Friedman's test, and the critical difference of Nemenyi.

Demšar (2006), "Statistical Comparisons of Classifiers over Multiple Data Sets".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

FEWEST_METHODS, FEWEST_DATA = 3, 2
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Ranks:
    """Mean ranks over data sets, 1 the best.

    Attributes:
        mean: method to mean rank, the best first.
        data: the data sets, on which every method was measured.
        p: of Friedman's test that all methods are alike; None where all are equal everywhere.
        critical: two methods whose mean ranks differ by more are told apart.
        groups: runs of methods (the best first) within which none are told apart, longest ones alone.
    """

    mean: dict[str, float]
    data: tuple[str, ...]
    p: float | None
    critical: float
    groups: tuple[tuple[str, ...], ...]

    @property
    def can_tell(self) -> bool:
        """Whether so many data sets could tell apart even the best from the worst of so many methods."""
        return self.critical < len(self.mean) - 1


def rank(values: Mapping[str, Mapping[str, float]], higher_is_better: bool) -> Ranks | str:
    """Rank methods on each data set.

    Args:
        values: data set to method to value; methods that are missing somewhere are left out.
        higher_is_better: direction of the values.

    Returns:
        The ranks, or a sentence that says why there are none.
    """
    data = tuple(values)
    shared = [name for name in dict.fromkeys(n for found in values.values() for n in found)]
    shared = [name for name in shared if all(name in found for found in values.values())]
    if len(data) < FEWEST_DATA or len(shared) < FEWEST_METHODS:
        return (
            f"Ranks over data sets need {FEWEST_DATA} data sets and {FEWEST_METHODS} methods measured on all of them; "
            f"there are {len(data)} and {len(shared)}."
        )
    table = np.array([[values[name][method] for method in shared] for name in data])
    ranks = stats.rankdata(-table if higher_is_better else table, axis=1).mean(axis=0)
    order = np.argsort(ranks, kind="stable")
    mean = {shared[place]: float(ranks[place]) for place in order}
    p = None if np.ptp(table, axis=1).max() == 0 else float(stats.friedmanchisquare(*table.T).pvalue)
    critical = critical_difference(len(shared), len(data))
    return Ranks(mean, data, p, critical, _groups(list(mean.items()), critical))


def critical_difference(methods: int, data: int) -> float:
    """Nemenyi's critical difference of mean ranks at 5%."""
    q = stats.studentized_range.ppf(1 - SIGNIFICANCE, methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * data)))


def _groups(ranked: Sequence[tuple[str, float]], critical: float) -> tuple[tuple[str, ...], ...]:
    found: list[tuple[int, int]] = []
    for start in range(len(ranked)):
        end = max(at for at in range(start, len(ranked)) if ranked[at][1] - ranked[start][1] <= critical)
        if end > start and not any(first <= start and end <= last for first, last in found):
            found.append((start, end))
    return tuple(tuple(name for name, _ in ranked[start : end + 1]) for start, end in found)
