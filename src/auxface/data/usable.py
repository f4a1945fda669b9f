"""The rows of a manifest whose pictures could be read, with those pictures; the others are kept as a list."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from auxface.atomic import atomic_file
from auxface.data.cache import load_pictures
from auxface.data.manifest import Manifest
from auxface.errors import InputError
from auxface.progress import progress_steps


@dataclass(frozen=True)
class Usable:
    """Rows and pictures of the same length, and what was left out.

    Attributes:
        manifest: the rows that can be used.
        pictures: uint8 [N, 3, S, S].
        rejected: columns path, reason.
    """

    manifest: Manifest
    pictures: np.ndarray
    rejected: pd.DataFrame


def usable_pictures(manifest: Manifest, name: str, size: int) -> Usable:
    """Decode every picture of a manifest (or find it decoded), showing progress.

    Raises:
        InputError: not one picture can be read.
    """
    with progress_steps(f"read {name}", "pictures") as progress:
        loaded = load_pictures(manifest, size=size, progress=progress)
    if not loaded.usable.any():
        first, count = loaded.rejected.iloc[0], len(manifest.table)
        raise InputError(
            f"not one of the {count} pictures of '{name}' can be read ({first['path']}: {first['reason']})"
        )
    if loaded.usable.all():
        return Usable(manifest, loaded.array, loaded.rejected)
    rows = manifest.table[loaded.usable].reset_index(drop=True)
    return Usable(replace(manifest, table=rows), loaded.array[loaded.usable], loaded.rejected)


def write_rejected(parts: dict[str, Usable], path: Path) -> int:
    """List the pictures that could not be read, with split and reason; returns how many there are."""
    tables = [part.rejected.assign(split=name) for name, part in parts.items() if len(part.rejected)]
    if not tables:
        return 0
    with atomic_file(path) as beside:
        pd.concat(tables)[["split", "path", "reason"]].to_csv(beside, index=False)
    return sum(map(len, tables))
