"""The mean of any number per level, with its interval: for what is measured of samples besides their scores."""

import numpy as np

from auxface.evaluation.bootstrap import Draws, Estimate, Resampling


def level_means(
    values: np.ndarray, level: np.ndarray, levels: int, cluster: np.ndarray, resampling: Resampling
) -> tuple[list[Estimate], Estimate | None]:
    """Means of ``values`` per level, and of two levels the second less the first.

    Args:
        values: float64 [N].
        level: int64 [N] in 0..levels-1.
        levels: how many.
        cluster: cluster of each value, int64 [N].
        resampling: the resamples.

    Returns:
        An estimate per level, and one of the difference; None where there are not two levels.
    """
    above = resampling.sums(level, cluster, levels, values.astype(np.float64))
    below = resampling.sums(level, cluster, levels)
    parts = []
    for part in resampling.chunks(levels):
        weights = resampling.columns(part)
        with np.errstate(invalid="ignore", divide="ignore"):
            parts.append((above @ weights) / (below @ weights))
    means = np.concatenate(parts, axis=1)
    draws = [
        Draws(means[place], int((level == place).sum()), len(np.unique(cluster[level == place])))
        for place in range(levels)
    ]
    if levels != 2:
        return [one.estimate() for one in draws], None
    smaller = min(draws, key=lambda one: one.clusters)
    difference = Draws(means[1] - means[0], smaller.n, smaller.clusters)
    return [one.estimate() for one in draws], difference.estimate()
