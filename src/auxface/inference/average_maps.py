"""Where a model looks on the average face of a class or group, and what it cannot rebuild where: over many faces."""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from auxface.inference.attention import attention_rollout, input_gradients
from auxface.inference.explain_figure import heat
from auxface.inference.surprise import reconstruction_surprise
from auxface.model.joint import JointModel

_BATCH = 32
_ACROSS = 6

# Of a square cut to the face, as shares of its sides: (left, top, right, bottom). What lies in several counts for the
# first; the eyes and the mouth are where auxface.data.corruptions.occlusion covers them.
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
        values: float32 [N, rows, columns].
        kind: ``attention rollout`` or ``gradients``; of what was rebuilt: the target's name.
        unit: what the values are counted in.
    """

    values: np.ndarray
    kind: str
    unit: str


@dataclass(frozen=True)
class Panel:
    """A named set of faces to be shown as one: which of the N, bool or int64 indices."""

    name: str
    rows: np.ndarray


def looking_maps(
    model: JointModel,
    pictures: np.ndarray,
    task: str,
    outputs: np.ndarray,
    advance: Callable[[int], None] | None = None,
) -> Maps:
    """Attention rollout where the encoder has attention over its patches, else gradients of the given outputs.

    Args:
        model: in evaluation mode.
        pictures: uint8 [N, 3, S, S].
        task: whose logits the gradients are taken of.
        outputs: int64 [N], which logit of each face, such as that of the class it was given.
        advance: told how many faces were done.
    """
    device = next(model.parameters()).device
    collected, rollout = np.zeros((len(pictures), *model.encoder.grid), np.float32), True
    for start in range(0, len(pictures), _BATCH):
        batch = torch.from_numpy(np.array(pictures[start : start + _BATCH])).to(device).float() / 255
        found = attention_rollout(model, batch) if rollout else None
        rollout = found is not None
        if found is None:
            found = torch.zeros(len(batch), *model.encoder.grid, device=device)
            for output in np.unique(outputs[start : start + _BATCH]):
                own = torch.from_numpy(np.flatnonzero(outputs[start : start + _BATCH] == output)).to(device)
                found[own] = input_gradients(model, batch[own], task, int(output))
        collected[start : start + _BATCH] = found.float().cpu().numpy()
        if advance is not None:
            advance(len(batch))
    return Maps(collected, "attention rollout" if rollout else "gradients", "share of the whole")


def rebuilding_maps(
    model: JointModel, pictures: np.ndarray, *, seed: int = 0, advance: Callable[[int], None] | None = None
) -> list[Maps]:
    """How wrong each patch was rebuilt while it was hidden, per target; empty for a model that rebuilds nothing.

    Args:
        model: in evaluation mode.
        pictures: uint8 [N, 3, S, S].
        seed: of the masks.
        advance: told how many faces were done.
    """
    device = next(model.parameters()).device
    parts: dict[str, list[np.ndarray]] = {}
    units: dict[str, str] = {}
    for start in range(0, len(pictures), _BATCH):
        batch = torch.from_numpy(np.array(pictures[start : start + _BATCH])).to(device)
        for made in reconstruction_surprise(model, batch, seed=seed):
            parts.setdefault(made.target.name, []).append(made.error.float().cpu().numpy())
            units[made.target.name] = made.unit
        if advance is not None:
            advance(len(batch))
    return [Maps(np.concatenate(found), name, units[name]) for name, found in parts.items()]


def region_of_patches(grid: tuple[int, int]) -> np.ndarray:
    """The place in :data:`REGIONS` of each patch, by its middle; int64 [rows, columns]."""
    rows, columns = grid
    y, x = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij")
    found = np.full(grid, -1)
    for place, (left, top, right, bottom) in enumerate(REGIONS.values()):
        inside = (x >= left) & (x <= right) & (y >= top) & (y <= bottom) & (found < 0)
        found[inside] = place
    return found


def average_figure(pictures: np.ndarray, maps: np.ndarray, panels: Sequence[Panel]) -> bytes:
    """A PNG: per panel the mean map over the mean face of its set; all on one scale.

    Args:
        pictures: uint8 [N, 3, S, S].
        maps: float [N, rows, columns].
        panels: what to show; empty sets are left out.
    """
    import matplotlib
    from matplotlib.figure import Figure

    shown = [panel for panel in panels if len(maps[panel.rows])]
    across = min(_ACROSS, len(shown))
    down = math.ceil(len(shown) / across)
    means = [maps[panel.rows].mean(axis=0) for panel in shown]
    low, high = min(float(mean.min()) for mean in means), max(float(mean.max()) for mean in means)
    with matplotlib.rc_context({"font.size": 9, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(1.75 * across, 2.15 * down), dpi=110, layout="constrained", facecolor="white")
        axes = figure.subplots(down, across, squeeze=False).ravel()
        for panel, mean, place in zip(shown, means, axes, strict=False):
            face = pictures[panel.rows].mean(axis=0, dtype=np.float64).round().astype(np.uint8).transpose(1, 2, 0)
            place.imshow(heat(np.ascontiguousarray(face), mean, (low, high)))
            place.set_title(f"{panel.name}\n{len(maps[panel.rows])} faces", fontsize=8.5)
        for place in axes:
            place.axis("off")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return buffer.getvalue()
