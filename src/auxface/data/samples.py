"""Load the images or clips that a recipe's encoder takes from a manifest. This module alone decides which of the two.

samples = load_samples(manifest.only("train"), "train", recipe)
samples.images    # uint8 [N, 3, S, S], or clips [N, T, 3, S, S]
samples.manifest  # the N rows that could be read
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from auxface.atomic import atomic_file
from auxface.data.augment.presets import UNCROPPED
from auxface.data.images.cache import load_images, training_side
from auxface.data.manifest import KEY, Manifest
from auxface.data.shards import index_shards, is_sharded
from auxface.data.video.clips import ClipSampling, LoadedClips, load_clips
from auxface.data.video.frames import is_video
from auxface.errors import InputError
from auxface.progress import progress_steps
from auxface.recipe import Recipe


@dataclass(frozen=True)
class LoadedSamples:
    """The rows of a manifest that could be read, with their images or clips.

    Attributes:
        manifest: the readable rows; of videos one row per clip.
        images: uint8 [N, 3, S, S], or clips [N, T, 3, S, S]; RGB.
        rejected: columns path and reason; one row per image, video or clip that could not be read.
    """

    manifest: Manifest
    images: np.ndarray
    rejected: pd.DataFrame


def load_samples(manifest: Manifest, name: str, recipe: Recipe) -> LoadedSamples:
    """Load the images, or the clips if the recipe has a video encoder, of every row of a manifest.

    Args:
        manifest: the rows to load.
        name: name of the data in progress bars and messages, such as the split.
        recipe: its encoder determines image size, number of frames and sampling.

    Raises:
        InputError: see :func:`load_image_samples` and :func:`load_clip_samples`.
    """
    if recipe.encoder.num_frames is None:
        return load_image_samples(manifest, name, recipe.encoder.image_size)
    return load_clip_samples(manifest, name, clip_sampling(recipe))


def load_training_samples(manifest: Manifest, name: str, recipe: Recipe) -> LoadedSamples:
    """Load the training rows as :func:`load_samples` does, with images large enough to crop views from.

    A training view is a crop. Cut from an image that was first shrunk to the input size of the encoder, it has to be
    enlarged again and has less fine detail than an image at evaluation. See
    :func:`auxface.data.images.cache.training_side` for the size that is used instead. Clips and shards keep the input
    size of the encoder.

    Raises:
        InputError: see :func:`load_image_samples` and :func:`load_clip_samples`.
    """
    size = recipe.encoder.image_size
    if recipe.encoder.num_frames is not None or is_sharded(manifest) or recipe.train.augment in UNCROPPED:
        return load_samples(manifest, name, recipe)
    return load_image_samples(manifest, name, training_side(manifest.paths(), size))


def clip_sampling(recipe: Recipe) -> ClipSampling:
    """Return which frames a recipe with a video encoder samples.

    Raises:
        ValueError: the recipe has an image encoder.
    """
    if recipe.encoder.num_frames is None:
        raise ValueError("a recipe with an image encoder samples no clips")
    chosen = recipe.sampled_clips
    return ClipSampling(recipe.encoder.num_frames, chosen.stride, chosen.per_video, recipe.encoder.image_size)


def load_image_samples(manifest: Manifest, name: str, size: int) -> LoadedSamples:
    """Decode every image of a manifest, or open the cache; images in shards are decoded only when they are indexed.

    Args:
        manifest: the rows to load.
        name: name of the data in progress bars and messages.
        size: side of the images in pixels.

    Raises:
        InputError: none of the images can be read.
    """
    if is_sharded(manifest):
        with progress_steps(f"index {name}", "shards") as progress:
            found = index_shards(manifest, size, progress)
        # ShardImages is indexed and sliced as an array, and nothing else is done with it.
        return LoadedSamples(manifest, cast(np.ndarray, found), manifest.table[["path"]].iloc[:0].assign(reason=""))
    with progress_steps(f"read {name}", "images") as progress:
        loaded = load_images(manifest, size=size, progress=progress)
    if not loaded.usable.any():
        first, count = loaded.rejected.iloc[0], len(manifest.table)
        hint = ""
        if is_video(str(first["path"])):
            hint = "; extract frames with 'auxface prepare ... --frames', or train on clips with recipe l_ssat_video"
        raise InputError(
            f"none of the {count} images of '{name}' can be read ({first['path']}: {first['reason']}){hint}"
        )
    if loaded.usable.all():
        return LoadedSamples(manifest, loaded.array, loaded.rejected)
    rows = manifest.table[loaded.usable].reset_index(drop=True)
    return LoadedSamples(replace(manifest, table=rows), loaded.array, loaded.rejected)


def load_clip_samples(manifest: Manifest, name: str, sampling: ClipSampling) -> LoadedSamples:
    """Decode the clips of every video of a manifest, or open the cache.

    The result has one row per clip, with the number of its first frame; a video without a name is named by its path.

    Args:
        manifest: the rows to load.
        name: name of the data in progress bars and messages.
        sampling: which frames.

    Raises:
        InputError: none of the clips can be read; further errors of :func:`auxface.data.video.clips.load_clips`.
    """
    with progress_steps(f"read {name}", "videos") as progress:
        loaded = load_clips(manifest, sampling, progress=progress)
    if not len(loaded.rows):
        first, count = loaded.rejected.iloc[0], len(manifest.table)
        raise InputError(
            f"none of the clips of the {count} videos of '{name}' can be read ({first['path']}: {first['reason']})"
        )
    return LoadedSamples(replace(manifest, table=_clip_rows(manifest, loaded)), loaded.array, loaded.rejected)


def _clip_rows(manifest: Manifest, loaded: LoadedClips) -> pd.DataFrame:
    rows = manifest.table.iloc[loaded.rows].reset_index(drop=True)
    rows["video"] = rows["video"].where(rows["video"] != "", rows["path"])
    rows["frame"] = rows["frame"] + loaded.first
    if rows.duplicated(list(KEY)).any():
        # The manifest has several rows of one video that differ in their frame only.
        rows["frame"] = rows.groupby(list(KEY[:-1]), sort=False).cumcount()
    return rows


def write_rejected(parts: dict[str, LoadedSamples], path: Path) -> int:
    """Write split, path and reason of all images that could not be read as CSV, if there are any; return their number.

    Args:
        parts: split name to its samples.
        path: the CSV file.
    """
    tables = [part.rejected.assign(split=name) for name, part in parts.items() if len(part.rejected)]
    if not tables:
        return 0
    with atomic_file(path) as temporary:
        pd.concat(tables)[["split", "path", "reason"]].to_csv(temporary, index=False)
    return sum(map(len, tables))
