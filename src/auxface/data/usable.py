"""The rows of a manifest whose images (or clips) could be read, with those; the others are kept as a list."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from auxface.atomic import atomic_file
from auxface.data.images.cache import load_images
from auxface.data.layouts.tree import VIDEO_SUFFIXES
from auxface.data.manifest import KEY, Manifest
from auxface.data.shards import is_sharded, shard_images
from auxface.data.video.clips import ClipSampling, LoadedClips, load_clips
from auxface.errors import InputError
from auxface.progress import progress_steps
from auxface.recipe import Recipe


@dataclass(frozen=True)
class Usable:
    """Rows and images of the same length, and what was left out.

    Attributes:
        manifest: the rows that can be used; of clips a row each.
        images: uint8 [N, 3, S, S], or clips [N, T, 3, S, S].
        rejected: columns path, reason.
    """

    manifest: Manifest
    images: np.ndarray
    rejected: pd.DataFrame


def usable_samples(manifest: Manifest, name: str, recipe: Recipe) -> Usable:
    """The images, or the clips, that a recipe's encoder sees of a manifest.

    Raises:
        InputError: as :func:`usable_images` and :func:`usable_clips`.
    """
    if recipe.encoder.num_frames is None:
        return usable_images(manifest, name, recipe.encoder.image_size)
    return usable_clips(manifest, name, sampling_of(recipe))


def sampling_of(recipe: Recipe) -> ClipSampling:
    """Which frames a recipe of clips looks at.

    Raises:
        ValueError: the recipe is one of images.
    """
    if recipe.encoder.num_frames is None:
        raise ValueError("a recipe of images takes no clips")
    chosen = recipe.sampled_clips
    return ClipSampling(recipe.encoder.num_frames, chosen.stride, chosen.per_video, recipe.encoder.image_size)


def usable_images(manifest: Manifest, name: str, size: int) -> Usable:
    """Decode every image of a manifest (or find it decoded), showing progress; those of shards only when used.

    Raises:
        InputError: not one image can be read.
    """
    if is_sharded(manifest):
        with progress_steps(f"look through {name}", "shards") as progress:
            found = shard_images(manifest, size, progress)
        # Indexed and sliced as an array is, which is all that is done with it.
        return Usable(manifest, cast(np.ndarray, found), manifest.table[["path"]].iloc[:0].assign(reason=""))
    with progress_steps(f"read {name}", "images") as progress:
        loaded = load_images(manifest, size=size, progress=progress)
    if not loaded.usable.any():
        first, count = loaded.rejected.iloc[0], len(manifest.table)
        hint = ""
        if str(first["path"]).lower().endswith(VIDEO_SUFFIXES):
            hint = "; take frames of videos with 'auxface prepare ... --frames', or clips with recipe l_ssat_video"
        raise InputError(
            f"not one of the {count} images of '{name}' can be read ({first['path']}: {first['reason']}){hint}"
        )
    if loaded.usable.all():
        return Usable(manifest, loaded.array, loaded.rejected)
    rows = manifest.table[loaded.usable].reset_index(drop=True)
    return Usable(replace(manifest, table=rows), loaded.array, loaded.rejected)


def usable_clips(manifest: Manifest, name: str, sampling: ClipSampling) -> Usable:
    """Decode the clips of every video of a manifest (or find them decoded), showing progress.

    The result has a row per clip, with the number of its first frame; a video without a name is named by its path.

    Raises:
        InputError: not one clip can be read, or as :func:`auxface.data.video.clips.load_clips`.
    """
    with progress_steps(f"read {name}", "videos") as progress:
        loaded = load_clips(manifest, sampling, progress=progress)
    if not len(loaded.rows):
        first, count = loaded.rejected.iloc[0], len(manifest.table)
        raise InputError(
            f"not one clip of the {count} videos of '{name}' can be read ({first['path']}: {first['reason']})"
        )
    return Usable(replace(manifest, table=_rows(manifest, loaded)), loaded.array, loaded.rejected)


def _rows(manifest: Manifest, loaded: LoadedClips) -> pd.DataFrame:
    rows = manifest.table.iloc[loaded.rows].reset_index(drop=True)
    rows["video"] = rows["video"].where(rows["video"] != "", rows["path"])
    rows["frame"] = rows["frame"] + loaded.first
    if rows.duplicated(list(KEY)).any():
        # Rows of one video that were told apart by their frames alone.
        rows["frame"] = rows.groupby(list(KEY[:-1]), sort=False).cumcount()
    return rows


def write_rejected(parts: dict[str, Usable], path: Path) -> int:
    """List the images that could not be read, with split and reason; returns how many there are."""
    tables = [part.rejected.assign(split=name) for name, part in parts.items() if len(part.rejected)]
    if not tables:
        return 0
    with atomic_file(path) as beside:
        pd.concat(tables)[["split", "path", "reason"]].to_csv(beside, index=False)
    return sum(map(len, tables))
