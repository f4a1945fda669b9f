"""Measure how much of each reconstruction target can be predicted from the patches around a hidden patch.

A masked autoencoder can learn only the part of a target that the visible patches determine. This module estimates a
rough lower bound of this part without training a network: a ridge regression (Hoerl and Kennard, 1970) predicts the
target of a patch from the 24 surrounding patches (their RGB values and their mean targets), and is scored on held-out
faces. A target with a score near 0 is noise for the auxiliary: an encoder learns little from this target, regardless of
the loss weight.

    >>> import numpy as np
    >>> from auxface.recipe import Target
    >>> rows = np.linspace(0, 255, 48)[None, :] + np.random.default_rng(0).uniform(-40, 40, (60, 1))
    >>> faces = np.repeat(np.repeat(rows.clip(0, 255).astype(np.uint8)[:, None, :, None], 3, axis=1), 48, axis=3)
    >>> [found] = learnable(faces[:40], faces[40:], [Target(name="rgb")], patch_size=8)
    >>> found.r2 > 0.9
    True
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
import yaml
from pydantic import ValidationError
from torch import Tensor

from auxface.atomic import atomic_file, refuse_existing
from auxface.data.manifest import Manifest, read_manifest
from auxface.data.samples import load_image_samples
from auxface.errors import InputError
from auxface.evaluation.csv_cells import escape_cells
from auxface.objectives.reconstruction.targets import PatchTarget
from auxface.progress import Advance, progress_bar
from auxface.recipe import Target
from auxface.recipe.validation import sentence

LDP, LBP = "local_directional_pattern", "local_binary_pattern"
DEFAULT_TARGETS = (
    Target(name="rgb"),
    Target(name=LBP, encoding="bits"),
    Target(name=LBP, encoding="histogram"),
    Target(name=LDP, encoding="bits"),
    Target(name=LDP, encoding="bits", smooth=2),
    Target(name=LDP, encoding="bits", smooth=2, scale=2),
    Target(name=LDP, encoding="histogram"),
    Target(name=LDP),
    Target(name="histogram_of_oriented_gradients"),
)
"""The targets that :func:`texture_learnable` compares by default."""
REACH = 2
"""Number of patches that the regression uses on each side of the hidden patch: 5 x 5 - 1 = 24 patches in total."""
RELATIVE_PENALTIES = tuple(10.0**power for power in range(-4, 3))
"""Candidate ridge penalties, as multiples of the mean eigenvalue of the features' covariance matrix."""
MOST_FACES = 2000
"""Default maximum number of faces for fitting, and also for scoring."""
COMPONENTS = 512
"""Number of principal components of the RGB values that the regression uses."""
TARGET_COMPONENTS = 32
"""Number of principal components of each surrounding patch's mean target that the regression uses."""
_SELECTION = 0.25
_BATCH = 64
_HOW = "write it as in a recipe: a name, or {name: local_directional_pattern, encoding: bits, smooth: 2}"


@dataclass(frozen=True)
class Learnable:
    """The accuracy with which one target can be predicted from the neighborhood of a patch.

    Attributes:
        target: the target.
        r2: R² on held-out faces, relative to the mean target of the faces used for fitting at the same position: 1 is
            perfect, 0 is no better than this mean, and nan means that the target is the same in all scored faces. Bits
            and histograms are scored as probabilities.
        faces: number of faces used for fitting, including the faces used for selecting the penalty.
        held_out: number of faces used for scoring.
    """

    target: Target
    r2: float
    faces: int
    held_out: int

    def to_dict(self) -> dict[str, Any]:
        """Return name, encoding, smooth, scale and parameters of the target, and the other attributes (nan as None)."""
        target = self.target.model_dump(include={"name", "encoding", "smooth", "scale", "parameters"})
        r2 = None if np.isnan(self.r2) else self.r2
        return target | {"r2": r2, "faces": self.faces, "held_out": self.held_out}


def texture_learnable(
    data: str | Path,
    out: str | Path | None = None,
    *,
    targets: Iterable[Target | str] = (),
    size: int = 64,
    patch_size: int = 8,
    faces: int = MOST_FACES,
    overwrite: bool = False,
) -> list[Learnable]:
    """Measure how well each target of a hidden patch can be predicted from the patches around it.

    A regression is fitted on faces of the training split and scored on faces of the validation split. No label is read.

    Args:
        data: manifest of images, or folder of shards.
        out: CSV file to which the results are written; None to write no file.
        targets: targets as in a recipe's ``auxiliary.target``, or as YAML text such as ``rgb`` or ``{name:
            local_directional_pattern, encoding: bits, smooth: 2}``. Default: :data:`DEFAULT_TARGETS`.
        size: side length of the faces in pixels; use the input size of the encoder.
        patch_size: side length of a patch in pixels; must divide ``size``.
        faces: maximum number of faces from each split, evenly spaced over the rows of the split.
        overwrite: whether to replace ``out`` if it exists.

    Returns:
        One result per target, in descending order of predictability.

    Raises:
        InputError: the manifest, a target or a size is invalid, there are too few faces, or the output exists.

    Example:
        >>> import auxface
        >>> found = auxface.texture_learnable("faces.parquet", targets=["rgb", "local_binary_pattern"], size=40)
        >>> [one.target.name for one in found]
        ['rgb', 'local_binary_pattern']
    """
    chosen = [read_target(target) for target in targets] or list(DEFAULT_TARGETS)
    if size % patch_size:
        raise InputError(f"size {size} must be a multiple of the patch size {patch_size}")
    for target in chosen:
        # An unknown descriptor raises an error here, before images are read.
        PatchTarget(target, patch_size)
    if out is not None:
        refuse_existing(Path(out), overwrite)
    manifest = read_manifest(Path(data))
    train_images, held_out_images = (
        load_image_samples(_spread_rows(manifest.only(split), faces), split, size).images for split in ("train", "val")
    )
    found = learnable(train_images, held_out_images, chosen, patch_size=patch_size, faces=faces)
    found.sort(key=lambda one: -np.nan_to_num(one.r2, nan=-np.inf))
    if out is not None:
        with atomic_file(Path(out)) as temporary:
            escape_cells(pd.DataFrame([one.to_dict() for one in found])).to_csv(temporary, index=False)
    return found


def read_target(target: Target | str) -> Target:
    """Return the target for text in the format of a recipe: a name, or a mapping in YAML.

    Raises:
        InputError: the text is not valid YAML, or has an unknown key or an invalid value.
    """
    if isinstance(target, Target):
        return target
    try:
        raw = yaml.safe_load(target)
        if not isinstance(raw, str | dict):
            raise InputError(f"target '{target}' is neither a name nor a mapping; {_HOW}")
        return Target.model_validate({"name": raw} if isinstance(raw, str) else raw)
    except yaml.YAMLError:
        raise InputError(f"target '{target}' is not valid YAML; {_HOW}") from None
    except ValidationError as error:
        raise InputError(f"target '{target}': {sentence(error, Target)}; {_HOW}") from None


def _spread_rows(manifest: Manifest, most: int) -> Manifest:
    table = manifest.table
    return replace(manifest, table=table.iloc[_places(len(table), most)].reset_index(drop=True))


def learnable(
    train_images: np.ndarray,
    held_out_images: np.ndarray,
    targets: Iterable[Target],
    *,
    patch_size: int,
    faces: int = MOST_FACES,
) -> list[Learnable]:
    """Measure how well each target of a hidden patch can be predicted from the patches around it.

    Args:
        train_images: faces for fitting, uint8 [N, 3, S, S].
        held_out_images: other faces of the same size for scoring, uint8 [M, 3, S, S].
        targets: targets that are defined for images, not only for video clips.
        patch_size: side length of a patch in pixels; a face needs at least 5 x 5 patches.
        faces: maximum number of faces from each of the two sets, evenly spaced.

    Returns:
        One result per target, in the given order.

    Raises:
        InputError: a descriptor, parameter or encoding is unknown, a target is defined only for video clips, faces have
            fewer than 5 x 5 patches, or there are fewer than eight faces for fitting or fewer than two for scoring.
    """
    chosen = [PatchTarget(target, patch_size) for target in targets]
    for target in chosen:
        if target.is_video:
            raise InputError(f"target {target.spec.name} requires video clips; for images, use local_binary_pattern")
    side = train_images.shape[-1] // patch_size
    if side < 2 * REACH + 1:
        raise InputError(
            f"with size {train_images.shape[-1]} and patch size {patch_size}, a face has {side} x {side} patches; at "
            f"least {2 * REACH + 1} x {2 * REACH + 1} are needed; use larger faces or smaller patches"
        )
    fitted, scored = (np.asarray(part[_places(len(part), faces)]) for part in (train_images, held_out_images))
    if len(fitted) < 8 or len(scored) < 2:
        raise InputError(
            f"found {len(fitted)} faces for fitting and {len(scored)} for scoring; at least 8 and 2 are needed"
        )
    # The faces used for selecting the penalty are not used for fitting the regression. Like the other faces, they are
    # sampled evenly from the data set.
    selects = np.arange(len(fitted)) % round(1 / _SELECTION) == 0
    mean = torch.from_numpy(fitted[~selects].astype(np.float32).mean(axis=0) / 255)
    batches = [-(-len(part) // _BATCH) for part in (fitted, scored)]
    with progress_bar("measure targets", sum(batches) * (1 + len(chosen)), "batches") as advance:
        rgb = [_surrounding_rgb(part, mean, patch_size, advance) for part in (fitted, scored)]
        rows = torch.from_numpy(np.repeat(~selects, (side - 2 * REACH) ** 2))
        vectors = _principal(rgb[0][rows], COMPONENTS)
        rgb = [part @ vectors for part in rgb]
        found: list[Learnable] = []
        for target in chosen:
            known, scoring = (_targets(part, target, advance) for part in (fitted, scored))
            place_mean = known[~torch.from_numpy(selects)].mean(dim=0)
            sides = [_split(part - place_mean, target.channels, side) for part in (known, scoring)]
            if target.channels > TARGET_COMPONENTS:
                sides = _reduce(sides, rows, target.channels)
            # Colors and targets have different units, so each of the two kinds of features is scaled to unit variance.
            color, mean_target = (part[rows].std() + 1e-6 for part in (rgb[0], sides[0][0]))
            features = [
                torch.cat([part / color, around / mean_target], dim=1)
                for part, (around, _) in zip(rgb, sides, strict=True)
            ]
            r2 = _ridge_r2(
                (features[0][rows], sides[0][1][rows]),
                (features[0][~rows], sides[0][1][~rows]),
                (features[1], sides[1][1]),
            )
            found.append(Learnable(target.spec, r2, len(fitted), len(scored)))
    return found


def _ridge_r2(fit: tuple[Tensor, Tensor], select: tuple[Tensor, Tensor], score: tuple[Tensor, Tensor]) -> float:
    """Return the R² on held-out faces with the penalty that is best on the selection faces.

    Each argument is a pair of features and targets.
    """
    x = fit[0]
    values, vectors = torch.linalg.eigh((x.T @ x / len(x)).double())
    values, vectors = values.clamp(min=0).float(), vectors.float()
    moments = vectors.T @ (x.T @ fit[1] / len(x))
    projected = select[0] @ vectors
    best, best_error = moments, float("inf")
    for relative in RELATIVE_PENALTIES:
        coefficients = moments / (values + relative * values.mean())[:, None]
        error = float((projected @ coefficients - select[1]).square().sum())
        if error < best_error:
            best, best_error = coefficients, error
    left = (score[0] @ vectors @ best - score[1]).square().sum()
    base = score[1].square().sum()
    return float(1 - left / base) if base > 0 else float("nan")


def _principal(rows: Tensor, count: int) -> Tensor:
    """Return the leading principal directions of rows, as columns."""
    if len(rows) < rows.shape[1]:
        return torch.linalg.svd(rows, full_matrices=False).Vh[:count].T
    # In single precision, the decomposition of nearly dependent columns may not converge.
    return torch.linalg.eigh((rows.T @ rows).double())[1][:, -count:].to(rows.dtype)


def _reduce(sides: list[tuple[Tensor, Tensor]], rows: Tensor, channels: int) -> list[tuple[Tensor, Tensor]]:
    """Project the mean target of each surrounding patch onto the leading principal components of the fitted rows."""
    means = sides[0][0][rows].unflatten(1, (channels, -1)).transpose(1, 2).flatten(0, 1)
    vectors = _principal(means, TARGET_COMPONENTS)
    return [((around.unflatten(1, (channels, -1)).transpose(1, 2) @ vectors).flatten(1), own) for around, own in sides]


def _places(count: int, most: int) -> np.ndarray:
    """Return the indices of at most ``most`` evenly spaced items out of ``count`` items."""
    return np.linspace(0, count - 1, min(count, most)).astype(int)


def _surrounding_rgb(images: np.ndarray, mean: Tensor, patch_size: int, advance: Advance) -> Tensor:
    """Return the RGB values around every inner patch minus the mean face, [rows, values].

    The outer ring of patches is downsampled to half the resolution.
    """
    parts: list[Tensor] = []
    for start in range(0, len(images), _BATCH):
        faces = torch.from_numpy(np.array(images[start : start + _BATCH])).float() / 255 - mean
        parts.append(_surroundings(faces, patch_size))
        advance(1)
    return torch.cat(parts)


def _surroundings(faces: Tensor, patch_size: int) -> Tensor:
    window = (2 * REACH + 1) * patch_size
    cut = faces.unfold(2, window, patch_size).unfold(3, window, patch_size)
    batch, channels, rows, columns = cut.shape[:4]
    cut = cut.permute(0, 2, 3, 1, 4, 5).reshape(batch * rows * columns, channels, window, window)
    inner = slice(patch_size, window - patch_size)
    ring = torch.ones(2 * REACH - 1, 2 * REACH - 1, dtype=torch.bool)
    ring[REACH - 1, REACH - 1] = False
    near = ring.repeat_interleave(patch_size, 0).repeat_interleave(patch_size, 1)
    far = torch.ones(2 * REACH + 1, 2 * REACH + 1, dtype=torch.bool)
    far[1:-1, 1:-1] = False
    half = max(1, patch_size // 2)
    pooled = F.adaptive_avg_pool2d(cut, (2 * REACH + 1) * half)
    outer = far.repeat_interleave(half, 0).repeat_interleave(half, 1)
    return torch.cat([cut[:, :, inner, inner][:, :, near].flatten(1), pooled[:, :, outer].flatten(1)], dim=1)


def _targets(images: np.ndarray, target: PatchTarget, advance: Advance) -> Tensor:
    """Return the target of every patch, [faces, patches, values]."""
    half = torch.full((1, 3, 1, 1), 0.5)
    parts: list[Tensor] = []
    for start in range(0, len(images), _BATCH):
        clean = torch.from_numpy(np.array(images[start : start + _BATCH]))
        parts.append(target.compute(clean, half, half))
        advance(1)
    return torch.cat(parts)


def _split(patches: Tensor, channels: int, side: int) -> tuple[Tensor, Tensor]:
    """Return the mean targets of the surrounding patches and the target itself of every inner patch, [rows, values]."""
    means = patches.unflatten(2, (-1, channels)).mean(dim=2).view(len(patches), side, side, channels)
    reach = 2 * REACH + 1
    windows = means.unfold(1, reach, 1).unfold(2, reach, 1).flatten(4)
    around = [place for place in range(reach * reach) if place != reach * reach // 2]
    own = patches.view(len(patches), side, side, -1)[:, REACH : side - REACH, REACH : side - REACH]
    return windows[..., around].flatten(0, 2).flatten(1), own.flatten(0, 2)
