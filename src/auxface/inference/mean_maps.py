"""Saliency maps and reconstruction errors of many faces, and their means by class or group.

Example::

    maps = saliency_maps(model, images, "emotion", outputs)
    png = mean_map_figure(images, maps.values, [FaceSet("happy", rows)])
"""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from auxface.inference.explain import heat_map
from auxface.inference.reconstruction_error import reconstruction_errors
from auxface.inference.saliency import attention_rollout, input_gradients
from auxface.model.joint import JointModel

_BATCH = 32
_COLUMNS = 6

# (left, top, right, bottom) as fractions of the sides of a face crop. A patch belongs to the first region that contains
# its center. The regions of the eyes and mouth are those that auxface.data.corruptions.weather_digital covers.
REGIONS = {
    "eyes": (0.11, 0.32, 0.89, 0.58),
    "mouth": (0.20, 0.59, 0.80, 0.91),
    "forehead": (0.15, 0.05, 0.85, 0.32),
    "cheeks": (0.08, 0.58, 0.92, 0.85),
    "surroundings": (0.0, 0.0, 1.0, 1.0),
}


@dataclass(frozen=True)
class Maps:
    """One map for each of N faces.

    Attributes:
        values: value of each patch, float32 [N, rows, columns].
        kind: kind of map: ``attention rollout`` or ``gradients``; for reconstruction errors, the name of the target.
        unit: unit of the values.
    """

    values: np.ndarray
    kind: str
    unit: str


@dataclass(frozen=True)
class FaceSet:
    """A named set of faces to average, given by int64 indices or a bool mask over the N faces."""

    name: str
    rows: np.ndarray


def saliency_maps(
    model: JointModel,
    images: np.ndarray,
    task: str,
    outputs: np.ndarray,
    advance: Callable[[int], None] | None = None,
) -> Maps:
    """Return attention rollout if the encoder has attention over its patches, otherwise gradients of the given outputs.

    Args:
        model: joint model in evaluation mode.
        images: face crops, uint8 [N, 3, S, S].
        task: name of the task whose logits are differentiated.
        outputs: index of the logit to differentiate for each face, such as that of the predicted class, int64 [N].
        advance: callback that receives the number of processed faces.
    """
    device = next(model.parameters()).device
    collected, rollout = np.zeros((len(images), *model.encoder.grid), np.float32), True
    for start in range(0, len(images), _BATCH):
        batch = torch.from_numpy(np.array(images[start : start + _BATCH])).to(device).float() / 255
        maps = attention_rollout(model, batch) if rollout else None
        rollout = maps is not None
        if maps is None:
            maps = torch.zeros(len(batch), *model.encoder.grid, device=device)
            for output in np.unique(outputs[start : start + _BATCH]):
                rows = torch.from_numpy(np.flatnonzero(outputs[start : start + _BATCH] == output)).to(device)
                maps[rows] = input_gradients(model, batch[rows], task, int(output))
        collected[start : start + _BATCH] = maps.float().cpu().numpy()
        if advance is not None:
            advance(len(batch))
    return Maps(collected, "attention rollout" if rollout else "gradients", "fraction of the total")


def reconstruction_error_maps(
    model: JointModel, images: np.ndarray, *, seed: int = 0, advance: Callable[[int], None] | None = None
) -> list[Maps]:
    """Return the reconstruction error of each patch while it is hidden, as one :class:`Maps` per target.

    Args:
        model: joint model in evaluation mode.
        images: face crops, uint8 [N, 3, S, S].
        seed: seed of the masks.
        advance: callback that receives the number of processed faces.

    Returns:
        The maps; empty for a model without reconstruction.
    """
    device = next(model.parameters()).device
    parts: dict[str, list[np.ndarray]] = {}
    units: dict[str, str] = {}
    for start in range(0, len(images), _BATCH):
        batch = torch.from_numpy(np.array(images[start : start + _BATCH])).to(device)
        for result in reconstruction_errors(model, batch, seed=seed):
            parts.setdefault(result.target.key, []).append(result.error.float().cpu().numpy())
            units[result.target.key] = result.unit
        if advance is not None:
            advance(len(batch))
    return [Maps(np.concatenate(errors), name, units[name]) for name, errors in parts.items()]


def patch_regions(grid: tuple[int, int]) -> np.ndarray:
    """Return the index of each patch's region in :data:`REGIONS`, int64 [rows, columns]."""
    rows, columns = grid
    y, x = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij")
    regions = np.full(grid, -1)
    for index, (left, top, right, bottom) in enumerate(REGIONS.values()):
        inside = (x >= left) & (x <= right) & (y >= top) & (y <= bottom) & (regions < 0)
        regions[inside] = index
    return regions


def mean_map_figure(images: np.ndarray, maps: np.ndarray, sets: Sequence[FaceSet]) -> bytes:
    """Return a PNG image with one panel per set, showing the mean map over the mean face; all panels share one scale.

    Args:
        images: face crops, uint8 [N, 3, S, S].
        maps: maps of the faces, float [N, rows, columns].
        sets: sets to show; empty sets are skipped.
    """
    import matplotlib
    from matplotlib.figure import Figure

    shown = [one for one in sets if len(maps[one.rows])]
    columns = min(_COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    means = [maps[one.rows].mean(axis=0) for one in shown]
    limits = min(float(mean.min()) for mean in means), max(float(mean.max()) for mean in means)
    with matplotlib.rc_context({"font.size": 9, "font.family": "DejaVu Sans", "text.parse_math": False}):
        figure = Figure(figsize=(1.75 * columns, 2.15 * rows), dpi=110, layout="constrained", facecolor="white")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for one, mean, axes in zip(shown, means, panels, strict=False):
            face = images[one.rows].mean(axis=0, dtype=np.float64).round().astype(np.uint8).transpose(1, 2, 0)
            axes.imshow(heat_map(np.ascontiguousarray(face), mean, limits))
            axes.set_title(f"{one.name}\n{len(maps[one.rows])} faces", fontsize=8.5)
        for axes in panels:
            axes.axis("off")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return buffer.getvalue()
