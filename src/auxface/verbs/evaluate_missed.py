"""Samples of a split that never came as far as a model: their faces were not found, or their files not read."""

from pathlib import Path

import pandas as pd

_MISSED = ("no_face", "unreadable")


def missed_by_prepare(manifest: Path, split: str) -> dict[str, int]:
    """Counts by reason, from ``NAME.rejected.csv`` that ``auxface prepare`` wrote beside the manifest.

    A dropped copy is no miss, since its picture is there once; neither is a file that had no label or no split.

    Args:
        manifest: the manifest's path.
        split: which rows.
    """
    path = manifest.with_name(f"{manifest.stem}.rejected.csv")
    if not path.is_file():
        return {}
    try:
        rejected = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError):
        return {}
    if not {"status", "split"} <= set(rejected.columns):
        return {}
    counts = rejected.loc[rejected["split"] == split, "status"].value_counts()
    return {reason: int(counts[reason]) for reason in _MISSED if reason in counts}
