"""Where a model looks on the average face of a class or group, and what it cannot rebuild where: over many faces.

What ``auxface evaluate`` shows of how a model answers: where it looks, and what it rebuilds wrongly, by class.
"""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from auxface import evaluation
from auxface.evaluation.clusters import cluster_codes
from auxface.evaluation.groups import NOT_STATED, by_column, level_means
from auxface.evaluation.intervals import Estimate, Resampling, draw_resamples
from auxface.evaluation.report.sentences import words
from auxface.inference.explain import heat
from auxface.inference.reconstruction_error import reconstruction_surprise
from auxface.inference.saliency import attention_rollout, input_gradients
from auxface.model.joint import JointModel
from auxface.progress import Advance, progress_bar

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
    images: np.ndarray,
    task: str,
    outputs: np.ndarray,
    advance: Callable[[int], None] | None = None,
) -> Maps:
    """Attention rollout where the encoder has attention over its patches, else gradients of the given outputs.

    Args:
        model: in evaluation mode.
        images: uint8 [N, 3, S, S].
        task: whose logits the gradients are taken of.
        outputs: int64 [N], which logit of each face, such as that of the class it was given.
        advance: told how many faces were done.
    """
    device = next(model.parameters()).device
    collected, rollout = np.zeros((len(images), *model.encoder.grid), np.float32), True
    for start in range(0, len(images), _BATCH):
        batch = torch.from_numpy(np.array(images[start : start + _BATCH])).to(device).float() / 255
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
    model: JointModel, images: np.ndarray, *, seed: int = 0, advance: Callable[[int], None] | None = None
) -> list[Maps]:
    """How wrong each patch was rebuilt while it was hidden, per target; empty for a model that rebuilds nothing.

    Args:
        model: in evaluation mode.
        images: uint8 [N, 3, S, S].
        seed: of the masks.
        advance: told how many faces were done.
    """
    device = next(model.parameters()).device
    parts: dict[str, list[np.ndarray]] = {}
    units: dict[str, str] = {}
    for start in range(0, len(images), _BATCH):
        batch = torch.from_numpy(np.array(images[start : start + _BATCH])).to(device)
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


def average_figure(images: np.ndarray, maps: np.ndarray, panels: Sequence[Panel]) -> bytes:
    """A PNG: per panel the mean map over the mean face of its set; all on one scale.

    Args:
        images: uint8 [N, 3, S, S].
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
            face = images[panel.rows].mean(axis=0, dtype=np.float64).round().astype(np.uint8).transpose(1, 2, 0)
            place.imshow(heat(np.ascontiguousarray(face), mean, (low, high)))
            place.set_title(f"{panel.name}\n{len(maps[panel.rows])} faces", fontsize=8.5)
        for place in axes:
            place.axis("off")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


_SHOWN_LEVELS = 11


@dataclass(frozen=True)
class Faces:
    """Some of a split's samples: images uint8 [N, 3, S, S], and the table of the same N."""

    images: np.ndarray
    table: evaluation.Predictions


def explanation_sections(
    name: str, model: JointModel, faces: Faces, *, label: str, resamples: int, seed: int
) -> list[evaluation.Section]:
    """A section on where the model looks, and one on what it cannot rebuild if it rebuilds anything.

    Args:
        name: of the model.
        model: in evaluation mode.
        faces: a few hundred of the split.
        label: put before the names of the CSV files; empty for a report of one model.
        resamples: behind each interval.
        seed: of masks and resamples.
    """
    rebuilds = "reconstruction" in model.auxiliaries
    rounds = (len(faces.table.tasks) + rebuilds) * len(faces.images)
    with progress_bar(f"explain {name}", rounds, "faces") as advance:
        sections = [_looking(name, model, faces, label, advance)]
        if rebuilds:
            found = rebuilding_maps(model, faces.images, seed=seed, advance=advance)
            sections.append(_rebuilding(name, found, faces, label, resamples, seed))
    return sections


def _looking(name: str, model: JointModel, faces: Faces, label: str, advance: Advance) -> evaluation.Section:
    table, images = faces.table, faces.images
    figures: list[evaluation.Figure] = []
    rows: list[pd.DataFrame] = []
    kind = ""
    for task in table.tasks:
        maps = looking_maps(model, images, task.name, _outputs(table, task), advance)
        divisions = [(f"class of {task.name}", _by_truth(table, task))]
        divisions += [(f"group {group}", _levels(table.frame[f"group.{group}"])) for group in table.groups()]
        divisions = [(what, panels) for what, panels in divisions if panels]
        everyone = Panel("everybody", np.arange(len(images)))
        # Rollout does not know tasks: its maps by group are the same for each, and are drawn once.
        shown = divisions if maps.kind == "gradients" or not kind else divisions[:1]
        for what, panels in shown:
            caption = f"{name}, {task.name}: mean {maps.kind} by {words(what)}, over the mean face."
            image = average_figure(images, maps.values, [everyone, *panels])
            figures.append(evaluation.Figure(image, caption, caption))
        rows += [_numbers(maps, what, panels, task.name) for what, panels in [("everybody", [everyone]), *divisions]]
        kind = maps.kind
    how = (
        "gradients (Smilkov et al., 2017) of the answer it gave: how strongly each patch moves it"
        if kind == "gradients"
        else "attention rollout (Abnar and Zuidema, 2020): how much of each patch reaches the summary that is judged"
    )
    text = (
        f"On average over {len(images):,} faces of this split, by {how}. The brighter, the more; the panels of one "
        "figure share a scale. A map shows what is used, not whether it is used rightly; over faces that are not "
        "aligned it is blurred."
    )
    files = {f"{label}looking": pd.concat(rows)}
    return evaluation.Section(f"Where {name} looks", text, tuple(figures), None, files)


def _rebuilding(
    name: str, found: Sequence[Maps], faces: Faces, label: str, resamples: int, seed: int
) -> evaluation.Section:
    images, table = faces.images, faces.table
    cluster = cluster_codes([table.frame])[0][0]
    draw = draw_resamples(int(cluster.max()) + 1, resamples, seed)
    figures: list[evaluation.Figure] = []
    rows: list[dict[str, object]] = []
    for maps in found:
        for task in table.tasks:
            panels = _by_truth(table, task) or [Panel("everybody", np.arange(len(images)))]
            of = words(maps.kind)
            caption = f"{name}: mean error of rebuilding {of}, by {words(task.name)}; in {maps.unit}."
            figures.append(evaluation.Figure(average_figure(images, maps.values, panels), caption, caption))
            rows += _errors(maps, task.name, panels, cluster, draw)
    numbers = pd.DataFrame(rows)
    text = (
        f"How wrong {name} rebuilds each patch from the others while it is hidden, over {len(images):,} faces of "
        "this split: high where a face is not what the rest of it would lead one to expect. Where classes differ, the "
        "auxiliary task carries information about them; where they do not, it does not show any.\n\n"
        "Regions are fixed parts of the square, and mean what they are called only if images are cut to the face. In "
        "brackets: 95% intervals, by whole videos, sources or samples."
    )
    files = {f"{label}rebuilding": numbers}
    return evaluation.Section(f"What {name} cannot rebuild, by class", text, tuple(figures), _readable(numbers), files)


def _errors(
    maps: Maps, task: str, panels: Sequence[Panel], cluster: np.ndarray, draw: Resampling
) -> list[dict[str, object]]:
    """The mean error of each region, of each class, and of two classes the difference."""
    region = region_of_patches((maps.values.shape[1], maps.values.shape[2]))
    code = np.full(len(maps.values), -1)
    for place, panel in enumerate(panels):
        code[panel.rows] = place
    known = code >= 0
    rows: list[dict[str, object]] = []
    for place, name in enumerate(REGIONS):
        if not (region == place).any():
            continue
        error = maps.values[:, region == place].mean(axis=1)
        means, difference = level_means(error[known], code[known], len(panels), cluster[known], draw)
        named = [(panel.name, one) for panel, one in zip(panels, means, strict=True)]
        if difference is not None:
            named.append((f"{panels[1].name} less {panels[0].name}", difference))
        where = {"target": maps.kind, "task": task, "region": name, "unit": maps.unit}
        rows += [where | {"class": of} | _flat(one) for of, one in named]
    return rows


def _readable(numbers: pd.DataFrame) -> pd.DataFrame:
    """A row per class, a column per region, as a person reads them."""
    ends = numbers[["value", "low", "high"]].astype(float)
    text = [
        "–" if np.isnan(value) else f"{value:.3f}" + ("" if np.isnan(low) else f" ({low:.3f} to {high:.3f})")
        for value, low, high in ends.to_numpy()
    ]
    shown = numbers.assign(text=[item.replace("-", "−") for item in text])
    keys = ["target", "task", "class"]
    table = shown.pivot(index=keys, columns="region", values="text")
    table = table.reindex(
        index=pd.MultiIndex.from_frame(shown[keys].drop_duplicates()), columns=shown["region"].unique()
    )
    faces = shown.drop_duplicates(keys).set_index(keys)["n"]
    table.insert(0, "faces", faces)
    table = table.reset_index()
    table["target"] = table["target"].map(words)
    return table.drop(columns=[name for name in ("target", "task") if table[name].nunique() == 1])


def _outputs(table: evaluation.Predictions, task: evaluation.Task) -> np.ndarray:
    """Which logit stands for the answer of each row."""
    if task.kind in ("binary", "ordinal"):
        return np.zeros(len(table.frame), dtype=np.int64)
    return table.frame[task.score_columns()].to_numpy(float).argmax(axis=1)


def _by_truth(table: evaluation.Predictions, task: evaluation.Task) -> list[Panel]:
    if task.kind not in ("class", "binary"):
        return []
    truth = table.frame[f"true.{task.name}"]
    if task.kind == "binary":
        return [Panel(name, np.flatnonzero(truth.to_numpy() == place)) for place, name in enumerate(task.classes)]
    found = [Panel(name, np.flatnonzero(truth.astype(str).to_numpy() == name)) for name in task.classes]
    return [panel for panel in found if len(panel.rows)][:_SHOWN_LEVELS]


def _levels(column: pd.Series) -> list[Panel]:
    division = by_column("", column)
    return [
        Panel(level, np.flatnonzero(division.code == place))
        for place, level in enumerate(division.levels)
        if level != NOT_STATED
    ][:_SHOWN_LEVELS]


def _numbers(maps: Maps, what: str, panels: Sequence[Panel], task: str) -> pd.DataFrame:
    """A line per patch of every mean map."""
    _, rows, columns = maps.values.shape
    row, column = np.indices((rows, columns))
    parts = []
    for panel in panels:
        if not len(panel.rows):
            continue
        mean = maps.values[panel.rows].mean(axis=0)
        facts = {"task": task, "map": maps.kind, "by": what, "level": panel.name, "faces": len(panel.rows)}
        parts.append(
            pd.DataFrame(facts | {"row": row.ravel(), "column": column.ravel(), "value": mean.ravel().round(6)})
        )
    return pd.concat(parts) if parts else pd.DataFrame()


def _flat(one: Estimate) -> dict[str, object]:
    return {"value": one.value, "low": one.low, "high": one.high, "n": one.n, "clusters": one.clusters}
