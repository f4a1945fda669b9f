"""Unlabeled training images: the training rows of other manifests (``auxface train --unlabeled``).

Labels and groups of these rows are ignored. A source that is also in the validation or test split raises an error.
Near-duplicates of validation and test images are listed.

Example::

    others = read_unlabeled(["celeba.parquet"])
    pooled = add_unlabeled("utkface.parquet", read_manifest("utkface.parquet"), others, recipe)
    small_unlabeled(others, recipe)       # manifests whose images are smaller than the encoder's input
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from auxface.data.images.decode import shorter_side
from auxface.data.leaks import find_near_duplicates, thumbnail
from auxface.data.manifest import COLUMNS, Manifest, read_manifest
from auxface.data.merge import join_manifests
from auxface.data.samples import LoadedSamples, load_samples, without_crop
from auxface.errors import InputError
from auxface.progress import progress_bar
from auxface.recipe import Recipe

LEAKS_FILE = "leaks.csv"
_MEASURED = 64


def read_unlabeled(paths: Iterable[str | Path]) -> dict[str, Manifest]:
    """Read the manifests whose training images are used without labels, and return them by path.

    Raises:
        InputError: a manifest is not valid, is named twice, or has no training rows.
    """
    manifests: dict[str, Manifest] = {}
    for path in map(str, paths):
        if path in manifests:
            raise InputError(f"--unlabeled names {path} twice; name each manifest only once")
        manifests[path] = read_manifest(Path(path))
        splits = manifests[path].table["split"]
        if not (splits == "train").any():
            raise InputError(
                f"{path}: no rows in split 'train' (splits: {', '.join(sorted(splits.unique()))}); only training rows "
                "are used as unlabeled training images"
            )
    return manifests


def add_unlabeled(name: str, manifest: Manifest, unlabeled: Mapping[str, Manifest], recipe: Recipe) -> Manifest:
    """Return a manifest with the training rows of other manifests appended, without their labels and groups.

    All paths in the result are absolute.

    Args:
        name: file name of the manifest, used in messages.
        manifest: manifest with labels.
        unlabeled: manifests of unlabeled images, by file. If empty, ``manifest`` is returned unchanged.
        recipe: the recipe of the run.

    Raises:
        InputError: a sample, file or source occurs in several manifests, faces were cropped in different ways, images
            are stored in shards, or the recipe itself labels every training image (``train.self_blend``).
    """
    if not unlabeled:
        return manifest
    if recipe.train.self_blend is not None:
        raise InputError("train.self_blend labels every training image; remove train.self_blend or --unlabeled")
    parts = {name: manifest}
    for other, part in unlabeled.items():
        rows = part.table.loc[part.table["split"] == "train", list(COLUMNS)]
        parts[f"{other} (--unlabeled)"] = replace(part, table=rows, labels={}, groups=())
    return join_manifests(parts)


def small_unlabeled(unlabeled: Mapping[str, Manifest], recipe: Recipe) -> list[str]:
    """Return a warning for each manifest whose images are smaller than the encoder's input and thus lack texture."""
    warnings: list[str] = []
    for name, manifest in unlabeled.items():
        paths = manifest.paths()
        sides = [side for path in paths[:: max(1, len(paths) // _MEASURED)] if (side := shorter_side(path)) is not None]
        size = recipe.encoder.image_size
        if sides and np.median(sides) < size:
            warnings.append(
                f"{name}: the shorter side of most images has at most {np.median(sides):.0f} pixels, but "
                f"encoder.image_size is {size}; upsampled images lack fine texture"
            )
    return warnings


def unlabeled_leaks(
    pooled: Manifest, splits: Mapping[str, LoadedSamples], unlabeled: Mapping[str, Manifest], recipe: Recipe
) -> pd.DataFrame:
    """Return the unlabeled training images that are near-duplicates of validation or test images.

    Test images are read only for this purpose. Videos are not compared.

    Args:
        pooled: the result of :func:`add_unlabeled`.
        splits: usable images of the training and validation splits.
        unlabeled: manifests of unlabeled images, by file.
        recipe: the recipe of the run.

    Returns:
        A table with the columns path, other_path, other_split and correlation, in descending order of correlation.
    """
    columns = ["path", "other_path", "other_split", "correlation"]
    if recipe.encoder.num_frames is not None or not unlabeled:
        return pd.DataFrame(columns=columns)
    compared = dict(splits)
    recipe = without_crop(recipe)
    if "val" in splits:
        # Training images are uncropped; validation images may have been cropped.
        compared["val"] = load_samples(pooled.only("val"), "val", recipe)
    if (pooled.table["split"] == "test").any():
        compared["test"] = load_samples(pooled.only("test"), "test", recipe)
    added = {os.path.abspath(path) for manifest in unlabeled.values() for path in manifest.paths()}
    rows: list[tuple[str, str]] = []
    thumbnails: list[np.ndarray] = []
    with progress_bar("compare", sum(len(part.images) for part in compared.values()), "images") as advance:
        for split, part in compared.items():
            for path, image in zip(part.manifest.table["path"], part.images, strict=True):
                if split != "train" or path in added:
                    rows.append((path, split))
                    thumbnails.append(thumbnail(np.ascontiguousarray(image.transpose(1, 2, 0))))
                advance(1)
    found: list[tuple[str, str, str, float]] = []
    for first, second, correlation in find_near_duplicates(np.stack(thumbnails)).to_numpy():
        # Training images come first, so the first image of a pair between splits is the training image.
        (path, split), other = rows[int(first)], rows[int(second)]
        if split == "train" != other[1]:
            found.append((path, *other, round(float(correlation), 4)))
    return pd.DataFrame(found, columns=columns)
