"""What ``auxface evaluate`` shows of how a model answers: where it looks, and what it rebuilds wrongly, by class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from auxface import evaluation
from auxface.evaluation.bootstrap import Estimate, Resampling, draw_resamples
from auxface.evaluation.clusters import cluster_codes
from auxface.evaluation.group_means import level_means
from auxface.evaluation.partition import NOT_STATED, by_column
from auxface.evaluation.phrasing import words
from auxface.inference.average_maps import (
    REGIONS,
    Maps,
    Panel,
    average_figure,
    looking_maps,
    rebuilding_maps,
    region_of_patches,
)
from auxface.model.joint import JointModel
from auxface.progress import Advance, progress_bar

_SHOWN_LEVELS = 11


@dataclass(frozen=True)
class Faces:
    """Some of a split's samples: pictures uint8 [N, 3, S, S], and the table of the same N."""

    pictures: np.ndarray
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
    rounds = (len(faces.table.tasks) + rebuilds) * len(faces.pictures)
    with progress_bar(f"explain {name}", rounds, "faces") as advance:
        sections = [_looking(name, model, faces, label, advance)]
        if rebuilds:
            found = rebuilding_maps(model, faces.pictures, seed=seed, advance=advance)
            sections.append(_rebuilding(name, found, faces, label, resamples, seed))
    return sections


def _looking(name: str, model: JointModel, faces: Faces, label: str, advance: Advance) -> evaluation.Section:
    table, pictures = faces.table, faces.pictures
    figures: list[evaluation.Figure] = []
    rows: list[pd.DataFrame] = []
    kind = ""
    for task in table.tasks:
        maps = looking_maps(model, pictures, task.name, _outputs(table, task), advance)
        divisions = [(f"class of {task.name}", _by_truth(table, task))]
        divisions += [(f"group {group}", _levels(table.frame[f"group.{group}"])) for group in table.groups()]
        divisions = [(what, panels) for what, panels in divisions if panels]
        everyone = Panel("everybody", np.arange(len(pictures)))
        # Rollout does not know tasks: its maps by group are the same for each, and are drawn once.
        shown = divisions if maps.kind == "gradients" or not kind else divisions[:1]
        for what, panels in shown:
            caption = f"{name}, {task.name}: mean {maps.kind} by {words(what)}, over the mean face."
            picture = average_figure(pictures, maps.values, [everyone, *panels])
            figures.append(evaluation.Figure(picture, caption, caption))
        rows += [_numbers(maps, what, panels, task.name) for what, panels in [("everybody", [everyone]), *divisions]]
        kind = maps.kind
    how = (
        "gradients (Smilkov et al., 2017) of the answer it gave: how strongly each patch moves it"
        if kind == "gradients"
        else "attention rollout (Abnar and Zuidema, 2020): how much of each patch reaches the summary that is judged"
    )
    text = (
        f"On average over {len(pictures):,} faces of this split, by {how}. The brighter, the more; the panels of one "
        "figure share a scale. A map shows what is used, not whether it is used rightly; over faces that are not "
        "aligned it is blurred."
    )
    files = {f"{label}looking": pd.concat(rows)}
    return evaluation.Section(f"Where {name} looks", text, tuple(figures), None, files)


def _rebuilding(
    name: str, found: Sequence[Maps], faces: Faces, label: str, resamples: int, seed: int
) -> evaluation.Section:
    pictures, table = faces.pictures, faces.table
    cluster = cluster_codes([table.frame])[0][0]
    draw = draw_resamples(int(cluster.max()) + 1, resamples, seed)
    figures: list[evaluation.Figure] = []
    rows: list[dict[str, object]] = []
    for maps in found:
        for task in table.tasks:
            panels = _by_truth(table, task) or [Panel("everybody", np.arange(len(pictures)))]
            of = words(maps.kind)
            caption = f"{name}: mean error of rebuilding {of}, by {words(task.name)}; in {maps.unit}."
            figures.append(evaluation.Figure(average_figure(pictures, maps.values, panels), caption, caption))
            rows += _errors(maps, task.name, panels, cluster, draw)
    numbers = pd.DataFrame(rows)
    text = (
        f"How wrong {name} rebuilds each patch from the others while it is hidden, over {len(pictures):,} faces of "
        "this split: high where a face is not what the rest of it would lead one to expect. Where classes differ, the "
        "auxiliary task carries information about them; where they do not, it does not show any.\n\n"
        "Regions are fixed parts of the square, and mean what they are called only if pictures are cut to the face. In "
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
