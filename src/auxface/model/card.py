"""The model card: what a stranger should know before using the weights."""

from auxface.model.config import ModelConfig


def model_card(config: ModelConfig) -> str:
    """Markdown made from the configuration alone, so that it can never disagree with it."""
    recipe, made = config.recipe, config.provenance
    lines = [f"# {recipe.name}", ""]
    lines += [f"A face model made with auxface {made.get('versions', {}).get('auxface', '')}".rstrip() + ".", ""]
    lines += ["| task | kind | classes |", "|---|---|---|"]
    lines += [f"| {task.name} | {task.kind} | {', '.join(task.classes)} |" for task in config.tasks]
    encoder = recipe.encoder
    lines += ["", "## Input", ""]
    lines += [f"RGB faces, {encoder.image_size} by {encoder.image_size} pixels, {_crop(config)}."]
    lines += ["", "## Training", ""]
    auxiliary = recipe.auxiliary
    if auxiliary is None or recipe.primary_weight == 1:
        lines += ["Supervised alone."]
    else:
        targets = ", ".join(f"{target.name} ({target.encoding})" for target in auxiliary.target)
        lines += [
            f"Supervised (weight {recipe.primary_weight:g}) and, at the same time, rebuilding {targets} of "
            f"{auxiliary.mask_ratio:.0%} hidden patches (weight {1 - recipe.primary_weight:g})."
        ]
    lines += [f"Encoder {encoder.name}, patch {encoder.patch_size}, {recipe.train.epochs} epochs, seed {recipe.seed}."]
    if config.selection is not None:
        value = "not measurable" if config.selection.value is None else f"{config.selection.value:.4f}"
        lines += [
            f"Weights of epoch {config.selection.epoch}, chosen by {config.selection.metric} on the "
            f"{config.selection.split} split ({value})."
        ]
    lines += ["", "## Limits", ""]
    lines += [
        "Scores are about pictures like those of the training data. Before using the model on people, measure it by "
        "group on your own data with `auxface evaluate`. A face model does not know what a person feels, who a person "
        "is, or whether a picture is honest; it gives scores.",
        "",
    ]
    lines += ["## Provenance", ""] + [f"* {key}: {value}" for key, value in made.items()] + [""]
    return "\n".join(lines)


def _crop(config: ModelConfig) -> str:
    if config.crop is None:
        return "used as they are (already cropped)"
    return "cropped with " + ", ".join(f"{key} {value}" for key, value in config.crop.items())
