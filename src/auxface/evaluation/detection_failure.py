"""Failure to detect by group: the fraction of samples in which no face was found, with intervals over clusters.

ISO/IEC 19795-10 compares the failures of a biometric system between demographic groups. An image without a detected
face has no score, so no other metric includes it.

>>> frame = pd.DataFrame({"source": [f"p{number}" for number in range(200)], "sex": ["F", "M"] * 100})
>>> found = failure_to_detect(frame[:180], frame[180:], ["sex"], resamples=200)
>>> found.overall.value, list(found.groups["sex"])
(0.1, ['F', 'M'])
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from auxface.evaluation.clusters import cluster_codes
from auxface.evaluation.groups import Partition, by_column
from auxface.evaluation.intervals import Draws, Estimate, shrunk_wilson
from auxface.evaluation.measure import MINIMUM_CLUSTERS
from auxface.evaluation.resampling import RESAMPLES, Resampling, draw_resamples


@dataclass(frozen=True)
class DetectionFailures:
    """The fraction of samples without a detected face, overall and by group and level."""

    overall: Estimate
    groups: dict[str, dict[str, Estimate]]

    def to_dict(self) -> dict[str, object]:
        """Return the fractions in the form of ``report.json``."""
        groups = {name: {level: one.to_dict() for level, one in levels.items()} for name, levels in self.groups.items()}
        return {"overall": self.overall.to_dict(), "groups": groups}


def failure_to_detect(
    detected: pd.DataFrame,
    missed: pd.DataFrame,
    groups: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> DetectionFailures:
    """Return the fraction of samples in which no face was found.

    Args:
        detected: one row per sample with a detected face, with the key columns and one column per group.
        missed: one row per sample without a detected face, with the same columns.
        groups: names of the groups.
        resamples: number of bootstrap resamples.
        seed: seed of the resampling.
    """
    frame = pd.concat([detected, missed], ignore_index=True)
    failed = np.repeat([0.0, 1.0], [len(detected), len(missed)])
    cluster = cluster_codes([frame])[0][0]
    draw = draw_resamples(int(cluster.max()) + 1, resamples, seed)
    everything = Partition("", ("",), np.zeros(len(frame), dtype=np.int64))
    overall = _fractions(failed, everything, cluster, draw)[""]
    return DetectionFailures(
        overall, {name: _fractions(failed, by_column(name, frame[name]), cluster, draw) for name in groups}
    )


def _fractions(failed: np.ndarray, partition: Partition, cluster: np.ndarray, draw: Resampling) -> dict[str, Estimate]:
    values = draw.ratios(failed, None, level=partition.code, levels=len(partition.levels), cluster=cluster)
    found = {}
    for place, level in enumerate(partition.levels):
        rows = partition.code == place
        clusters = len(np.unique(cluster[rows]))
        few = f"only {clusters} clusters, fewer than {MINIMUM_CLUSTERS}" if clusters < MINIMUM_CLUSTERS else None
        draws = Draws(
            values[place], int(rows.sum()), clusters, rule=shrunk_wilson, bounds=(0.0, 1.0), why=few,
            more={"failures": int(failed[rows].sum())},
        )  # fmt: skip
        found[level] = draws.estimate()
    return found
