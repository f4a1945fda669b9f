"""The model card: the ``README.md`` of a model directory, generated from its configuration and an audit's report."""

import re
from collections.abc import Mapping
from typing import Any

from auxface.data.video.frames import recorded_clip
from auxface.errors import escape_controls
from auxface.model.config import LEARNED_FROM, Evidence, ModelConfig, TaskRecord
from auxface.recipe import Recipe, ReconstructionOptions
from auxface.sample_kind import SampleKind, kind_of

# Number of metrics per task, and of gaps per group, that the card shows.
_METRICS = 4
_GAPS = 4
# Characters that Markdown, GitHub's tables and formulas, or HTML could interpret.
_MARKUP = re.compile(r"[|`*$~\\]|<(?=[A-Za-z/!?])|&(?=#?\w+;)|(?<=\])\(|(?<!\w)_|_(?!\w)")


def markdown_text(value: object) -> str:
    """Return a name as one line of plain text for Markdown; special characters become character references.

    Example:
        >>> markdown_text("a|b <i>*c*")
        'a&#124;b &#60;i>&#42;c&#42;'
    """
    text = escape_controls(" ".join(str(value).split()))
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", text)


def model_card(config: ModelConfig, report: Mapping[str, Any] | None = None) -> str:
    """Return the model card as Markdown.

    Args:
        config: configuration of the model.
        report: content of the ``report.json`` of an audit of the model; None for a card without evaluation results.
    """
    recipe, facts, kind = config.recipe, config.provenance, kind_of(config.crop)
    lines = [f"# {markdown_text(recipe.name)}", ""]
    version = markdown_text(facts.get("versions", {}).get("auxface", ""))
    lines += [f"{kind.model} trained with auxface {version}".rstrip() + ".", ""]
    if config.tasks:
        lines += ["| task | kind | classes |", "|---|---|---|"]
        lines += [f"| {markdown_text(task.name)} | {task.kind} | {_classes(task)} |" for task in config.tasks]
    elif not recipe.trains_tasks:
        lines += [
            "The model was pre-trained without a task and makes no predictions. To train from its encoder, set "
            "`encoder.init_from`."
        ]
    lines += _identity(config)
    encoder = recipe.encoder
    lines += _level_thresholds(config)
    lines += ["", "## Input", ""]
    lines += [f"{_clips(config)}{_images(config)}."]
    if encoder.evaluation_crop < 1:
        lines += [
            "Each image is cropped to a central square whose side is "
            f"{encoder.evaluation_crop:g} times the shorter side of the image."
        ]
    lines += ["", "## Training", ""]
    lines += [_objectives(recipe, kind)]
    patch = "" if encoder.patch_size is None else f", patch {encoder.patch_size}"
    epochs = "1 epoch" if recipe.train.epochs == 1 else f"{recipe.train.epochs} epochs"
    lines += [f"Encoder {markdown_text(encoder.name)}{patch}, {epochs}, seed {recipe.seed}."]
    lines += _initial_weights(facts.get("initial_weights"))
    if facts.get("auxiliary_effect"):
        lines += [markdown_text(facts["auxiliary_effect"])]
    if config.selection is not None:
        value = "not measurable" if config.selection.value is None else f"{config.selection.value:.4f}"
        lines += [
            f"Weights of epoch {config.selection.epoch}, selected by {markdown_text(config.selection.metric)} on the "
            f"{markdown_text(config.selection.split)} split ({value})."
        ]
    # The last conclusion is a hint to the person who trained the model.
    said = [sentence for sentence in facts.get("conclusions", ()) if not str(sentence).startswith("Next: ")]
    lines += ["", *(f"* {markdown_text(sentence)}" for sentence in said)]
    lines += ["", *_last_figures(facts.get("auxiliaries")), *_training_split_figures(facts.get("objectives"))]
    lines += _evidence(config)
    lines += _measured(report or {})
    lines += ["## Limits", "", kind.limits, ""]
    shown = ("objectives", "auxiliaries", "auxiliary_effect", "initial_weights", "validation", "conclusions")
    known = {key: value for key, value in facts.items() if key not in shown}
    lines += (
        ["## Provenance", ""]
        + [f"* {markdown_text(key)}: {markdown_text(value)}" for key, value in known.items()]
        + [""]
    )
    return "\n".join(lines)


def _evidence(config: ModelConfig) -> list[str]:
    """Return the section on the classes learned, as measured on the validation split; empty without evidence."""
    rows = [
        f"| {_words(task.name)} | {_words(name)} | {_interval(one)} | "
        f"{'-' if one.precision is None or not one.learned else format(one.precision, '.2f')} | {one.n} | "
        f"{'yes' if one.learned else 'no'} |"
        for task in config.tasks
        for name, one in task.evidence.items()
    ]
    if not rows:
        return []
    return [
        "## Learned classes",
        "",
        "AUC of each class against the others with its 95% interval, and precision of the decisions. Both are measured "
        "on the validation split, on which weights and thresholds were chosen. A class is considered not learned if "
        f"the interval of its AUC begins below {LEARNED_FROM:g}; it is then never predicted and has no precision.",
        "",
        "| task | class | AUC | precision | samples | learned |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
    ]


def _interval(one: Evidence) -> str:
    if one.auc is None:
        return "not measurable"
    return _figure({"value": one.auc, "low": one.low, "high": one.high})


def _measured(report: Mapping[str, Any]) -> list[str]:
    """Return the section on evaluation; empty for a report on several models, which does not identify this model."""
    tasks = report.get("tasks")
    if not isinstance(tasks, Mapping) or not tasks:
        return []
    lines = ["## Evaluation", "", "Each value is given with its 95% interval and the number of samples.", ""]
    for task, content in tasks.items():
        figures = [(name, one) for name, one in content.get("overall", {}).items() if one.get("value") is not None]
        lines += [f"| {markdown_text(task)} | value | samples |", "|---|---|---|"]
        lines += [f"| {_words(name)} | {_figure(one)} | {one.get('n', '')} |" for name, one in figures[:_METRICS]]
        for group, gaps in content.get("gaps", {}).items():
            shown = [(name, one) for name, one in gaps.items() if one.get("value") is not None][:_GAPS]
            lines += [
                f"| {_words(name)} by {_words(group)} | {_figure(one)} | {one.get('n', '')} |" for name, one in shown
            ]
        levels = {group: list(found) for group, found in content.get("groups", {}).items() if found}
        lines += [""]
        if levels:
            named = "; ".join(
                f"{_words(group)} ({', '.join(map(markdown_text, found))})" for group, found in levels.items()
            )
            lines += [f"Groups compared: {named}.", ""]
    excluded = {name: count for name, count in (report.get("left_out") or {}).items() if count}
    if excluded:
        lines += ["Excluded: " + ", ".join(f"{_words(name)} {count}" for name, count in excluded.items()) + ".", ""]
    return lines


def _figure(one: Mapping[str, Any]) -> str:
    if one.get("low") is None or one.get("high") is None:
        return f"{one['value']:.3f}"
    return f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})"


def _words(name: object) -> str:
    return markdown_text(str(name).replace("_", " "))


def _initial_weights(start: object) -> list[str]:
    if not isinstance(start, Mapping) or "source" not in start:
        return []
    if start["source"] == "random":
        return ["Random initial weights."]
    details = [f"license {markdown_text(start['license'])}"] if "license" in start else []
    details += [f"SHA-256 {markdown_text(start['sha256'])}"] if "sha256" in start else []
    return [
        f"Initial weights: {markdown_text(start['source'])}" + (f" ({', '.join(details)})" if details else "") + "."
    ]


def _level_thresholds(config: ModelConfig) -> list[str]:
    own = next((task.level_thresholds for task in config.tasks if task.level_thresholds is not None), None)
    if own is None:
        return []
    return [
        "",
        f"`auxface evaluate` uses a separate threshold for each level of {_words(own.group)} if the level is "
        "known; other commands use a single threshold.",
    ]


def _last_figures(auxiliaries: object) -> list[str]:
    """Return the section on the last logged metrics of the auxiliaries; empty if no metric was logged."""
    rows = [
        f"| {_words(name)} | {_words(figure).replace('.', ', ')} | {value:.4g} |"
        for name, figures in (auxiliaries if isinstance(auxiliaries, Mapping) else {}).items()
        for figure, value in (figures if isinstance(figures, Mapping) else {}).items()
        if isinstance(value, (int, float))
    ]
    if not rows:
        return []
    head = [
        "Each value is the mean over the last epoch in which it was measured:",
        "",
        "| auxiliary | metric | value |",
        "|---|---|---|",
    ]
    return [*head, *rows, ""]


def _training_split_figures(figures: object) -> list[str]:
    """Return the section on the auxiliaries' metrics on the training split; empty without these metrics."""
    known = figures if isinstance(figures, Mapping) else {}
    rows = [
        f"| {_words(name).replace('.', ', ')} | {value:.4f} |"
        for name, value in known.items()
        if isinstance(value, (int, float))
    ]
    if not rows:
        return []
    return ["Metrics of the auxiliary tasks on the training split:", "", "| metric | value |", "|---|---|", *rows, ""]


def _identity(config: ModelConfig) -> list[str]:
    """Return the section on the embedding of identities; empty for a model that was not trained on identities."""
    primary, found, kind = config.recipe.primary, config.verification, kind_of(config.crop)
    if primary.kind != "metric_learning" or (config.tasks and found is None):
        return []
    lines = ["", "## Identity", ""]
    lines += [
        f"The model embeds each {kind.sample} in {primary.embedding_width} dimensions ({primary.loss}); see "
        "`auxface embed`."
    ]
    if found is not None:
        lines += [
            f"Two {kind.samples} are considered the same {kind.identity} if their similarity is at least "
            f"{found.threshold:.4f}. On the {found.pairs} validation pairs of {found.people} {kind.identities} on "
            f"which this threshold was chosen, the false match rate was {found.false_match_rate:.1%} and the false "
            f"non-match rate {found.false_non_match_rate:.1%}."
        ]
    return [*lines, "", f"{kind.consent} {kind.contains_no}"]


def _clips(config: ModelConfig) -> str:
    frames, chosen = config.recipe.encoder.num_frames, config.recipe.sampled_clips
    if frames is None:
        return ""
    stride = recorded_clip(config.crop).get("stride", chosen.stride)
    return f"Clips of {frames} frames with a stride of {stride}, at most {chosen.per_video} per video. "


def _images(config: ModelConfig) -> str:
    size = f"{config.recipe.encoder.image_size} by {config.recipe.encoder.image_size} pixels"
    sound = (config.crop or {}).get("spectrogram")
    if isinstance(sound, dict):
        return f"Log-mel images of excerpts of music, {size}: " + ", ".join(
            f"{markdown_text(key)} {markdown_text(sound[key])}" for key in sound
        )
    cut = {key: value for key, value in (config.crop or {}).items() if key != "clip"}
    if not cut:
        return f"RGB faces, {size}, used as they are (already cropped)"
    return f"RGB faces, {size}, cropped with " + ", ".join(
        f"{markdown_text(key)} {markdown_text(value)}" for key, value in cut.items()
    )


def _classes(task: TaskRecord) -> str:
    if task.kind == "ordinal":
        return f"a number from {task.values[0]:g} to {task.values[-1]:g}"
    return ", ".join(map(markdown_text, task.classes))


def _objectives(recipe: Recipe, kind: SampleKind) -> str:
    supervised = _input(recipe.primary.input, recipe, kind)
    if not recipe.all_auxiliaries or (
        recipe.scheme.kind == "joint" and recipe.balance.kind == "fixed" and recipe.primary_weight == 1
    ):
        return f"Supervised training only, on {supervised}."
    parts = [
        _auxiliary(options, recipe, kind) if isinstance(options, ReconstructionOptions) else _words(name)
        for name, options in recipe.all_auxiliaries.items()
    ]
    tasks = " and ".join(parts)
    if not recipe.trains_tasks:
        return f"Trained without labels: {tasks}."
    pretrained = f"Pre-trained for {recipe.scheme.pretraining:.0%} of the steps with {tasks}"
    training = {
        "joint": f"Supervised training on {supervised}, jointly with {tasks} ({_weights(recipe)}).",
        "sequential": f"{pretrained}; supervised training on {supervised} followed.",
        "alternating": f"Supervised training on {supervised}, alternating step by step with {tasks}.",
        "frozen": f"{pretrained}; the encoder was then frozen for supervised training on {supervised}.",
    }[recipe.scheme.kind]
    fused = (
        "" if recipe.fusion == "none" else f" The features of the encoder and the decoder are fused ({recipe.fusion})."
    )
    return training + fused


def _auxiliary(options: ReconstructionOptions, recipe: Recipe, kind: SampleKind) -> str:
    targets = ", ".join(f"{markdown_text(target.name)} ({target.encoding})" for target in options.target)
    return (
        f"reconstruction of {targets} in the masked {options.mask_ratio:.0%} of the patches "
        f"({options.masking} masking) from {_input(options.input, recipe, kind)}"
    )


def _weights(recipe: Recipe) -> str:
    balance, weight = recipe.balance, recipe.primary_weight
    if balance.kind == "schedule":
        return f"primary weight from {balance.start:g} to {balance.end:g}, {balance.shape}"
    if balance.kind == "gradient":
        return f"auxiliary gradient norm set to {balance.ratio:g} times that of the task"
    return "learned weights" if balance.kind == "learned" else f"primary weight {weight:g}, auxiliaries {1 - weight:g}"


def _input(name: str, recipe: Recipe, kind: SampleKind) -> str:
    return kind.inputs if name == "rgb" else f"{_words(recipe.texture_map.name)} maps"
