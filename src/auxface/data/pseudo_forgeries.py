"""A deepfake training set from real faces alone: which pictures are blended with themselves, and what they are called.

Training pictures are blended anew in every epoch, validation pictures once, so that weights, threshold and calibration
are chosen without a single real forgery. The test split stays what it is.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from auxface.data.blending import self_blend
from auxface.data.manifest import Label, Manifest
from auxface.data.random import sample_seeds
from auxface.errors import InputError
from auxface.recipe import SelfBlend

_CHUNK = 256


def real_faces(manifest: Manifest, options: SelfBlend) -> Manifest:
    """The manifest to train on: with the label, and without known forgeries outside the test split.

    A manifest that lacks the label is taken to hold real faces alone. Rows whose label is unknown are left out too.

    Raises:
        InputError: the label is not binary, or a split has no real face.
    """
    name = options.label
    if name not in manifest.labels:
        if name in manifest.table:
            raise InputError(f"train.self_blend: the manifest has a column '{name}' that is not a label")
        real = manifest.table.assign(**{name: pd.array([0] * len(manifest.table), dtype="Int64")})
        return replace(manifest, table=real, labels={**manifest.labels, name: Label("binary", ("real", "fake"))})
    if manifest.labels[name].kind != "binary":
        raise InputError(f"train.self_blend: label '{name}' is {manifest.labels[name].kind}; expected a binary one")
    table = manifest.table
    kept = (table["split"] == "test") | (table[name] == 0).fillna(False).astype(bool)
    for split in ("train", "val"):
        if (table["split"] == split).any() and not (kept & (table["split"] == split)).any():
            raise InputError(f"train.self_blend: split '{split}' has no row with {name} 0, a real face, to blend")
    return replace(manifest, table=table[kept].reset_index(drop=True))


def blend_batch(
    pictures: Tensor, labels: Mapping[str, Tensor], seeds: Tensor, options: SelfBlend
) -> tuple[Tensor, dict[str, Tensor]]:
    """Blend a share of real pictures with themselves, and label those as forged; the other labels stay.

    Args:
        pictures: uint8 [B, 3, S, S], all real.
        labels: per task, among them a float [B] that is named ``options.label``.
        seeds: int64 [B]; a row depends on its own seed alone.
        options: the recipe's section.
    """
    blended = self_blend(pictures, seeds, fraction=options.fraction)
    return blended.pictures, {**labels, options.label: blended.forged.float()}


def blend_validation(
    pictures: np.ndarray, labels: Mapping[str, Tensor], seed: int, options: SelfBlend
) -> tuple[np.ndarray, dict[str, Tensor]]:
    """The validation split with a fixed share of its pictures blended with themselves.

    Args:
        pictures: uint8 [N, 3, S, S], all real.
        labels: per task, of length N.
        seed: of the run; the same pictures are blended whenever it is the same.
        options: the recipe's section.
    """
    seeds = sample_seeds(seed, -1, torch.arange(len(pictures)))
    result = np.empty(pictures.shape, np.uint8)
    forged = torch.zeros(len(pictures))
    for start in range(0, len(pictures), _CHUNK):
        rows = slice(start, start + _CHUNK)
        blended = self_blend(torch.from_numpy(np.array(pictures[rows])), seeds[rows], fraction=options.fraction)
        result[rows], forged[rows] = blended.pictures.numpy(), blended.forged.float()
    return result, {**labels, options.label: forged}
