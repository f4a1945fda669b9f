"""The model card: what a stranger should know before using the weights.

What an audit found, for the model card: figures with intervals, groups, gaps.
"""

from collections.abc import Mapping
from typing import Any

from auxface.data.video.frames import recorded_clip
from auxface.model.config import ModelConfig, TaskRecord
from auxface.recipe import Recipe, ReconstructionOptions

_SHOWN = 4
_GAPS = 4


def measured_lines(report: Mapping[str, Any]) -> list[str]:
    """Markdown of a ``report.json`` of one model; empty for one that is none.

    Args:
        report: as :mod:`auxface.evaluation` writes it; of a side-by-side report nothing is taken, since it does not say
            which of its models this is.
    """
    tasks = report.get("tasks")
    if not isinstance(tasks, Mapping) or not tasks:
        return []
    lines = ["## Measured", "", "Value with its 95% interval, and the number of samples.", ""]
    for task, content in tasks.items():
        figures = [(name, one) for name, one in content.get("overall", {}).items() if one.get("value") is not None]
        lines += [f"| {task} | value | samples |", "|---|---|---|"]
        lines += [f"| {_words(name)} | {_figure(one)} | {one.get('n', '')} |" for name, one in figures[:_SHOWN]]
        for group, gaps in content.get("gaps", {}).items():
            shown = [(name, one) for name, one in gaps.items() if one.get("value") is not None][:_GAPS]
            lines += [
                f"| {_words(name)} by {_words(group)} | {_figure(one)} | {one.get('n', '')} |" for name, one in shown
            ]
        levels = {group: list(found) for group, found in content.get("groups", {}).items() if found}
        lines += [""]
        if levels:
            named = "; ".join(f"{_words(group)} ({', '.join(map(str, found))})" for group, found in levels.items())
            lines += [f"Groups that were compared: {named}.", ""]
    left_out = {name: count for name, count in (report.get("left_out") or {}).items() if count}
    if left_out:
        lines += ["Left out: " + ", ".join(f"{_words(name)} {count}" for name, count in left_out.items()) + ".", ""]
    return lines


def _figure(one: Mapping[str, Any]) -> str:
    if one.get("low") is None or one.get("high") is None:
        return f"{one['value']:.3f}"
    return f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})"


def _words(name: object) -> str:
    return str(name).replace("_", " ")


def model_card(config: ModelConfig, report: Mapping[str, Any] | None = None) -> str:
    """Markdown made from the configuration, and from a ``report.json`` of the model where there is one."""
    recipe, made = config.recipe, config.provenance
    lines = [f"# {recipe.name}", ""]
    lines += [f"A face model made with auxface {made.get('versions', {}).get('auxface', '')}".rstrip() + ".", ""]
    lines += ["| task | kind | classes |", "|---|---|---|"]
    lines += [f"| {task.name} | {task.kind} | {_classes(task)} |" for task in config.tasks]
    encoder = recipe.encoder
    lines += _level_thresholds(config)
    lines += ["", "## Input", ""]
    lines += [f"{_clips(config)}RGB faces, {encoder.image_size} by {encoder.image_size} pixels, {_crop(config)}."]
    lines += ["", "## Training", ""]
    lines += [_objectives(recipe)]
    patch = "" if encoder.patch_size is None else f", patch {encoder.patch_size}"
    lines += [f"Encoder {encoder.name}{patch}, {recipe.train.epochs} epochs, seed {recipe.seed}."]
    if made.get("auxiliary_effect"):
        lines += [str(made["auxiliary_effect"])]
    if config.selection is not None:
        value = "not measurable" if config.selection.value is None else f"{config.selection.value:.4f}"
        lines += [
            f"Weights of epoch {config.selection.epoch}, chosen by {config.selection.metric} on the "
            f"{config.selection.split} split ({value})."
        ]
    lines += ["", *_found(made.get("objectives", {})), *measured_lines(report or {})]
    lines += ["## Limits", ""]
    lines += [
        "Scores are about images like those of the training data. Before using the model on people, measure it by "
        "group on your own data with `auxface evaluate`. A face model does not know what a person feels, who a person "
        "is, or whether an image is honest; it gives scores.",
        "",
    ]
    known = {key: value for key, value in made.items() if key != "objectives"}
    lines += ["## Provenance", ""] + [f"* {key}: {value}" for key, value in known.items()] + [""]
    return "\n".join(lines)


def _level_thresholds(config: ModelConfig) -> list[str]:
    own = next((task.level_thresholds for task in config.tasks if task.level_thresholds is not None), None)
    if own is None:
        return []
    return [
        "",
        f"`auxface evaluate` decides by a threshold for each {own.group} where it is known; every other use decides by "
        "one threshold for all.",
    ]


def _found(figures: object) -> list[str]:
    """What the auxiliaries found out about the training split; nothing where they report nothing."""
    known = figures if isinstance(figures, Mapping) else {}
    rows = [
        f"| {str(name).replace('_', ' ').replace('.', ', ')} | {value:.4f} |"
        for name, value in known.items()
        if isinstance(value, (int, float))
    ]
    if not rows:
        return []
    return ["What the auxiliaries found in the training split:", "", "| figure | value |", "|---|---|", *rows, ""]


def _clips(config: ModelConfig) -> str:
    frames, chosen = config.recipe.encoder.num_frames, config.recipe.sampled_clips
    if frames is None:
        return ""
    stride = recorded_clip(config.crop).get("stride", chosen.stride)
    return f"Clips of {frames} frames, {stride} apart, at most {chosen.per_video} of a video. "


def _crop(config: ModelConfig) -> str:
    cut = {key: value for key, value in (config.crop or {}).items() if key != "clip"}
    if not cut:
        return "used as they are (already cropped)"
    return "cropped with " + ", ".join(f"{key} {value}" for key, value in cut.items())


def _classes(task: TaskRecord) -> str:
    if task.kind == "ordinal":
        return f"a number from {task.values[0]:g} to {task.values[-1]:g}"
    return ", ".join(task.classes)


def _objectives(recipe: Recipe) -> str:
    if not recipe.all_auxiliaries or (
        recipe.scheme.kind == "joint" and recipe.balance.kind == "fixed" and recipe.primary_weight == 1
    ):
        return f"Supervised alone, on {_seen(recipe.primary.input, recipe)}."
    parts = [
        _auxiliary(options, recipe) if isinstance(options, ReconstructionOptions) else name.replace("_", " ")
        for name, options in recipe.all_auxiliaries.items()
    ]
    how = {
        "joint": f"at the same time ({_weights(recipe)})",
        "sequential": f"before it ({recipe.scheme.pretraining:.0%} of the steps)",
        "alternating": "in turn with it, step by step",
        "frozen": f"before it ({recipe.scheme.pretraining:.0%} of the steps), the encoder then frozen",
    }[recipe.scheme.kind]
    fused = (
        "" if recipe.fusion == "none" else f" The decoder's features are fused into the classifier's ({recipe.fusion})."
    )
    return f"Supervised on {_seen(recipe.primary.input, recipe)} and, {how}, {'; '.join(parts)}.{fused}"


def _auxiliary(options: ReconstructionOptions, recipe: Recipe) -> str:
    targets = ", ".join(f"{target.name} ({target.encoding})" for target in options.target)
    return (
        f"rebuilding {targets} of {options.mask_ratio:.0%} hidden patches ({options.masking}) from "
        f"{_seen(options.input, recipe)}"
    )


def _weights(recipe: Recipe) -> str:
    balance, weight = recipe.balance, recipe.primary_weight
    if balance.kind == "schedule":
        return f"primary weight from {balance.start:g} to {balance.end:g}, {balance.shape}"
    if balance.kind == "gradient":
        return f"auxiliary gradient held at {balance.ratio:g} times that of the task"
    return "weights learned" if balance.kind == "learned" else f"primary weight {weight:g}, auxiliaries {1 - weight:g}"


def _seen(kind: str, recipe: Recipe) -> str:
    return "RGB" if kind == "rgb" else f"the {recipe.texture_map.name} map"
