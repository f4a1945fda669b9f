"""Loading of images or clips from a manifest; only this module chooses between them, based on the recipe's encoder.

Example::

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
from auxface.data.images.decode import UnreadableImage, fit_square, read_image
from auxface.data.manifest import KEY, Manifest
from auxface.data.media import is_video
from auxface.data.shards import index_shards, is_sharded
from auxface.data.video.clips import ClipSampling, LoadedClips, load_clips, read_clips
from auxface.data.video.decoding import UnreadableVideo
from auxface.data.video.frames import recorded_clip
from auxface.errors import InputError
from auxface.evaluation.csv_cells import escape_cells
from auxface.progress import progress_steps
from auxface.recipe import Recipe
from auxface.sample_kind import kind_of

_MAX_FIRST = 8


@dataclass(frozen=True)
class LoadedSamples:
    """The rows of a manifest that could be read, with their images or clips.

    Attributes:
        manifest: manifest of the readable rows; for videos, one row per clip.
        images: RGB images, uint8 [N, 3, S, S], or clips, uint8 [N, T, 3, S, S].
        rejected: table with the columns path and reason, and one row per image, video or clip that could not be read.
    """

    manifest: Manifest
    images: np.ndarray
    rejected: pd.DataFrame

    @property
    def unit(self) -> str:
        """Return the word for several samples, for progress bars and messages: images, clips or excerpts."""
        return "clips" if self.images.ndim == 5 else kind_of(self.manifest.crop).images


def load_samples(manifest: Manifest, name: str, recipe: Recipe) -> LoadedSamples:
    """Load the images (or clips, for a video encoder) of all rows of a manifest, for evaluation.

    Args:
        manifest: manifest whose rows are loaded.
        name: name of the data in progress bars and messages, such as the split.
        recipe: recipe whose encoder determines image size, crop (``evaluation_crop``), number of frames and sampling.

    Raises:
        InputError: nothing can be read; see :func:`load_image_samples` and :func:`load_clip_samples`.
    """
    if recipe.encoder.num_frames is None:
        return load_image_samples(manifest, name, recipe.encoder.image_size, crop=recipe.encoder.evaluation_crop)
    return load_clip_samples(manifest, name, clip_sampling(recipe))


def load_training_samples(manifest: Manifest, name: str, recipe: Recipe) -> LoadedSamples:
    """Load training rows as in :func:`load_samples`, but with images large enough for cropped views.

    A training view is a crop. A crop from an image already reduced to the input size of the encoder would be enlarged
    and would have less fine detail than an image at evaluation. Images are therefore decoded at
    :func:`auxface.data.images.cache.training_side`; clips and shards are decoded at the input size of the encoder.

    Raises:
        InputError: nothing can be read; see :func:`load_image_samples` and :func:`load_clip_samples`.
    """
    size = recipe.encoder.image_size
    if recipe.encoder.num_frames is not None or is_sharded(manifest) or recipe.train.augment in UNCROPPED:
        return load_samples(manifest, name, without_crop(recipe))
    return load_image_samples(manifest, name, training_side(manifest.paths(), size))


def without_crop(recipe: Recipe) -> Recipe:
    """Return the recipe with ``encoder.evaluation_crop`` set to 1."""
    return recipe.model_copy(update={"encoder": recipe.encoder.model_copy(update={"evaluation_crop": 1.0})})


def load_first_samples(manifest: Manifest, name: str, recipe: Recipe) -> tuple[LoadedSamples, int]:
    """Read the first few images or clips of a manifest for a dry run, without a cache.

    Args:
        manifest: manifest whose first rows are read.
        name: name of the data in messages.
        recipe: recipe whose encoder determines image size, number of frames and sampling.

    Returns:
        Samples for all rows, in which the images that were read are repeated in place of the others, and the number of
        images that were read.

    Raises:
        InputError: none of the first files can be read.
    """
    size = recipe.encoder.image_size
    sampling = None if recipe.encoder.num_frames is None else clip_sampling(recipe)
    images: list[np.ndarray] = []
    reason = ""
    if sampling is not None:
        sampling.check(manifest)
    elif is_sharded(manifest):
        images = list(np.asarray(load_image_samples(manifest, name, size).images[:_MAX_FIRST]))
    for path in [] if images else manifest.paths()[:_MAX_FIRST]:
        try:
            if sampling is None:
                images.append(fit_square(read_image(path), size).transpose(2, 0, 1))
            else:
                images += [clip for _, clip in read_clips(path, sampling) if clip is not None]
        except (UnreadableImage, UnreadableVideo) as error:
            reason = f"{path}: {error}"
    if not images:
        unit = kind_of(manifest.crop).images if sampling is None else "videos"
        raise InputError(f"none of the first {_MAX_FIRST} {unit} of split '{name}' can be read ({reason})")
    if sampling is not None and not recorded_clip(manifest.crop):
        # Every video is counted with the maximum number of clips.
        repeated = manifest.table.index.repeat(sampling.per_video)
        manifest = replace(manifest, table=manifest.table.loc[repeated].reset_index(drop=True))
    rows = np.arange(len(manifest.table)) % len(images)
    return LoadedSamples(manifest, np.stack(images)[rows], manifest.table.iloc[:0]), len(images)


def clip_sampling(recipe: Recipe) -> ClipSampling:
    """Return the settings with which a recipe with a video encoder samples frames.

    Raises:
        ValueError: the recipe has an image encoder.
    """
    chosen, encoder = recipe.sampled_clips, recipe.encoder
    if encoder.num_frames is None:
        raise ValueError("a recipe with an image encoder cannot sample clips")
    return ClipSampling(
        encoder.num_frames, chosen.stride, chosen.per_video, encoder.image_size, encoder.evaluation_crop
    )


def load_image_samples(manifest: Manifest, name: str, size: int, *, crop: float = 1.0) -> LoadedSamples:
    """Decode all images of a manifest or open their cache; images in shards are decoded only when indexed.

    Args:
        manifest: manifest whose rows are loaded.
        name: name of the data in progress bars and messages.
        size: side of the images in pixels.
        crop: side of the central square that is kept, as a fraction of the shorter side.

    Raises:
        InputError: none of the images can be read.
    """
    if is_sharded(manifest):
        with progress_steps(f"index {name}", "shards") as progress:
            found = index_shards(manifest, size, progress, crop=crop)
        # ShardImages is only indexed and sliced, like an array.
        return LoadedSamples(manifest, cast(np.ndarray, found), manifest.table[["path"]].iloc[:0].assign(reason=""))
    unit = kind_of(manifest.crop).images
    with progress_steps(f"read {name}", unit) as progress:
        loaded = load_images(manifest, size=size, crop=crop, progress=progress)
    if not loaded.usable.any():
        first, count = loaded.rejected.iloc[0], len(manifest.table)
        hint = ""
        if is_video(str(first["path"])):
            hint = (
                "; extract frames with 'auxface prepare ... --frames 32 --crops FOLDER', or train on clips with "
                "recipe l_ssat_video"
            )
        raise InputError(
            f"none of the {count} {unit} of '{name}' can be read ({first['path']}: {first['reason']}){hint}"
        )
    if loaded.usable.all():
        return LoadedSamples(manifest, loaded.array, loaded.rejected)
    rows = manifest.table[loaded.usable].reset_index(drop=True)
    return LoadedSamples(replace(manifest, table=rows), loaded.array, loaded.rejected)


def load_clip_samples(manifest: Manifest, name: str, sampling: ClipSampling) -> LoadedSamples:
    """Decode the clips of all videos of a manifest or open their cache.

    The result has one row per clip, with the number of its first frame. A video without a name is named after its path.

    Args:
        manifest: manifest whose rows are loaded.
        name: name of the data in progress bars and messages.
        sampling: settings that determine the frames of a clip.

    Raises:
        InputError: none of the clips can be read, or :func:`auxface.data.video.clips.load_clips` raises an error.
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
        # The manifest has several rows of one video that differ only in their frame.
        rows["frame"] = rows.groupby(list(KEY[:-1]), sort=False).cumcount()
    return rows


def write_rejected(parts: dict[str, LoadedSamples], path: Path) -> int:
    """Write a CSV file with split, path and reason of each unreadable image, if any, and return their number.

    Args:
        parts: samples of each split, by split name.
        path: CSV file to write.
    """
    tables = [part.rejected.assign(split=name) for name, part in parts.items() if len(part.rejected)]
    if not tables:
        return 0
    with atomic_file(path) as temporary:
        escape_cells(pd.concat(tables)[["split", "path", "reason"]]).to_csv(temporary, index=False)
    return sum(map(len, tables))
