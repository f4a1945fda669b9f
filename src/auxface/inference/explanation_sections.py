"""Report sections for ``auxface evaluate --explain``: mean saliency and mean reconstruction error by class and group.

Example::

    sections = explanation_sections("run", model, LabeledFaces(images, table), prefix="", resamples=1000, seed=0)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from auxface import evaluation
from auxface.evaluation.clusters import cluster_codes
from auxface.evaluation.groups import NOT_STATED, by_column, level_means
from auxface.evaluation.intervals import Estimate
from auxface.evaluation.report.wording import words
from auxface.evaluation.resampling import Resampling, draw_resamples
from auxface.inference.mean_maps import (
    REGIONS,
    FaceSet,
    Maps,
    mean_map_figure,
    patch_regions,
    reconstruction_error_maps,
    saliency_maps,
)
from auxface.model.joint import JointModel
from auxface.progress import Advance, progress_bar

_MAX_LEVELS = 11


@dataclass(frozen=True)
class LabeledFaces:
    """Faces of a split: images, uint8 [N, 3, S, S], and the N corresponding rows of the predictions table."""

    images: np.ndarray
    table: evaluation.Predictions


def explanation_sections(
    name: str, model: JointModel, faces: LabeledFaces, *, prefix: str, resamples: int, seed: int
) -> list[evaluation.Section]:
    """Return a section on saliency and, for a model with reconstruction, one on reconstruction errors.

    Args:
        name: name of the model.
        model: joint model in evaluation mode.
        faces: a few hundred faces of the split.
        prefix: prefix for the names of the CSV files; empty for a report on one model.
        resamples: number of bootstrap resamples for each interval.
        seed: seed of the masks and the resampling.
    """
    reconstructs = "reconstruction" in model.auxiliaries
    total = (len(faces.table.tasks) + reconstructs) * len(faces.images)
    with progress_bar(f"explain {name}", total, "images") as advance:
        sections = [_saliency_section(name, model, faces, prefix, advance)]
        if reconstructs:
            errors = reconstruction_error_maps(model, faces.images, seed=seed, advance=advance)
            sections.append(_reconstruction_section(name, errors, faces, prefix, resamples, seed))
    return sections


def _saliency_section(
    name: str, model: JointModel, faces: LabeledFaces, prefix: str, advance: Advance
) -> evaluation.Section:
    table, images = faces.table, faces.images
    figures: list[evaluation.Figure] = []
    rows: list[pd.DataFrame] = []
    kind = ""
    for task in table.tasks:
        maps = saliency_maps(model, images, task.name, _explained_outputs(table, task), advance)
        partitions = [(f"class of {task.name}", _by_class(table, task))]
        partitions += [(f"group {group}", _by_level(table.frame[f"group.{group}"])) for group in table.groups()]
        partitions = [(what, sets) for what, sets in partitions if sets]
        everybody = FaceSet("everybody", np.arange(len(images)))
        # Attention rollout does not depend on the task, so its maps by group are drawn once.
        shown = partitions if maps.kind == "gradients" or not kind else partitions[:1]
        for what, sets in shown:
            caption = f"{name}, {task.name}: mean {maps.kind} by {words(what)}, over the mean image."
            image = mean_map_figure(images, maps.values, [everybody, *sets])
            figures.append(evaluation.Figure(image, caption, caption))
        rows += [_patch_table(maps, what, sets, task.name) for what, sets in [("everybody", [everybody]), *partitions]]
        kind = maps.kind
    method = (
        "input gradients of the predicted class (Smilkov et al., 2017): how strongly each patch changes its logit"
        if kind == "gradients"
        else "attention rollout (Abnar and Zuidema, 2020): how much each patch contributes to the pooled features"
    )
    text = (
        f"The maps show {method}. They are averaged over {len(images):,} images of this split. Brighter patches have "
        "higher values; the panels of one figure share a scale. A map shows which parts of the image the model uses, "
        "not whether it should use them. If the images are not aligned, the mean map is blurred."
    )
    files = {f"{prefix}saliency": pd.concat(rows)}
    return evaluation.Section(f"Mean saliency maps of {name}", text, tuple(figures), None, files)


def _explained_outputs(table: evaluation.Predictions, task: evaluation.ScoredTask) -> np.ndarray:
    """Return the logit index of the predicted class in each row, int64 [N]."""
    if task.kind in ("binary", "ordinal"):
        return np.zeros(len(table.frame), dtype=np.int64)
    return table.frame[task.score_columns()].to_numpy(float).argmax(axis=1)


def _by_class(table: evaluation.Predictions, task: evaluation.ScoredTask) -> list[FaceSet]:
    if task.kind not in ("class", "binary"):
        return []
    labels = table.frame[f"true.{task.name}"]
    if task.kind == "binary":
        return [FaceSet(name, np.flatnonzero(labels.to_numpy() == value)) for value, name in enumerate(task.classes)]
    found = [FaceSet(name, np.flatnonzero(labels.astype(str).to_numpy() == name)) for name in task.classes]
    return [one for one in found if len(one.rows)][:_MAX_LEVELS]


def _by_level(column: pd.Series) -> list[FaceSet]:
    partition = by_column("", column)
    return [
        FaceSet(level, np.flatnonzero(partition.code == code))
        for code, level in enumerate(partition.levels)
        if level != NOT_STATED
    ][:_MAX_LEVELS]


def _patch_table(maps: Maps, what: str, sets: Sequence[FaceSet], task: str) -> pd.DataFrame:
    """Return a table of mean values with one row per set and patch."""
    _, rows, columns = maps.values.shape
    row, column = np.indices((rows, columns))
    parts = []
    for one in sets:
        if not len(one.rows):
            continue
        mean = maps.values[one.rows].mean(axis=0)
        facts = {"task": task, "map": maps.kind, "by": what, "level": one.name, "faces": len(one.rows)}
        parts.append(
            pd.DataFrame(facts | {"row": row.ravel(), "column": column.ravel(), "value": mean.ravel().round(6)})
        )
    return pd.concat(parts) if parts else pd.DataFrame()


def _reconstruction_section(
    name: str, errors: Sequence[Maps], faces: LabeledFaces, prefix: str, resamples: int, seed: int
) -> evaluation.Section:
    images, table = faces.images, faces.table
    cluster = cluster_codes([table.frame])[0][0]
    draw = draw_resamples(int(cluster.max()) + 1, resamples, seed)
    figures: list[evaluation.Figure] = []
    rows: list[dict[str, object]] = []
    for maps in errors:
        for task in table.tasks:
            sets = _by_class(table, task) or [FaceSet("everybody", np.arange(len(images)))]
            caption = (
                f"{name}: mean reconstruction error of {words(maps.kind)} by {words(task.name)}. Unit: {maps.unit}."
            )
            figures.append(evaluation.Figure(mean_map_figure(images, maps.values, sets), caption, caption))
            rows += _region_rows(maps, task.name, sets, cluster, draw)
    numbers = pd.DataFrame(rows)
    text = (
        f"This section shows the error with which {name} reconstructs each hidden patch from the visible patches, "
        f"averaged over {len(images):,} images of this split. If the error differs between classes, the auxiliary task "
        "carries information about the classes; if the error does not differ, no conclusion can be drawn.\n\n"
        "Regions are fixed parts of the image; their names apply only to images cropped to the face. The values in "
        "parentheses are 95% bootstrap intervals, with resampling by video, source or sample."
    )
    title = f"Reconstruction errors of {name} by class"
    files = {f"{prefix}reconstruction_error": numbers}
    return evaluation.Section(title, text, tuple(figures), _summary_table(numbers), files)


def _region_rows(
    maps: Maps, task: str, sets: Sequence[FaceSet], cluster: np.ndarray, draw: Resampling
) -> list[dict[str, object]]:
    """Return rows with the mean error of each region and class and, for two classes, their difference."""
    region = patch_regions((maps.values.shape[1], maps.values.shape[2]))
    code = np.full(len(maps.values), -1)
    for index, one in enumerate(sets):
        code[one.rows] = index
    known = code >= 0
    rows: list[dict[str, object]] = []
    for index, name in enumerate(REGIONS):
        if not (region == index).any():
            continue
        error = maps.values[:, region == index].mean(axis=1)
        means, difference = level_means(error[known], code[known], len(sets), cluster[known], draw)
        named = [(one.name, mean) for one, mean in zip(sets, means, strict=True)]
        if difference is not None:
            named.append((f"{sets[1].name} minus {sets[0].name}", difference))
        facts = {"target": maps.kind, "task": task, "region": name, "unit": maps.unit}
        rows += [facts | {"class": level} | _estimate_columns(estimate) for level, estimate in named]
    return rows


def _estimate_columns(one: Estimate) -> dict[str, object]:
    return {"value": one.value, "low": one.low, "high": one.high, "n": one.n, "clusters": one.clusters}


def _summary_table(numbers: pd.DataFrame) -> pd.DataFrame:
    """Return the values as text, with one row per class and one column per region."""
    limits = numbers[["value", "low", "high"]].astype(float)
    text = [
        "–" if np.isnan(value) else f"{value:.3f}" + ("" if np.isnan(low) else f" ({low:.3f} to {high:.3f})")
        for value, low, high in limits.to_numpy()
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
